"""The Model page through AppTest: the embedded model, folders good and bad, the hub switch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from kasa.dataspec import DataSpec
from kasa.runs.store import Store
from kasa.study import Study
from tests.known_answers import BERT_CONFIG, bert_tensors, write_model

MAIN = Path(__file__).resolve().parents[2] / "app" / "main.py"
pytestmark = pytest.mark.usefixtures("workspace")


def open_page(lang: str = "en", study: str | None = None) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    app.query_params["lang"] = lang
    if study:
        app.query_params["study"] = study
    app.run()
    return checked(app.switch_page("../pages/model.py").run())


def checked(app: AppTest) -> AppTest:
    assert [each.value for each in app.exception] == []
    return app


def choose_folder(app: AppTest, folder: Path) -> AppTest:
    checked(app.radio(key="model_choice").set_value("folder").run())
    return checked(app.text_input(key="model_folder").set_value(str(folder)).run())


def keys(app: AppTest) -> set[str]:
    return {button.key for button in app.button}


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_the_embedded_model_and_its_facts(lang: str) -> None:
    app = open_page(lang)
    words = " ".join(each.value for each in app.markdown)
    assert "22,713,216" in words
    assert "91 MB" in words
    weights = app.dataframe[0].value
    assert len(weights) == 37
    assert weights.iloc[:, 3].sum() == 36 // 6 * (4 * 384**2 + 2 * 384 * 1536) + 384**2
    assert weights.iloc[4, 2] == "1,536 × 384"
    assert len(app.dataframe[1].value) == 3  # the embeddings, each with its reason
    assert any("ed70379b" in each.value for each in app.caption)


def test_using_a_model_makes_it_the_drafts_and_leads_on() -> None:
    app = open_page()
    assert "next_step" not in keys(app)
    checked(app.button(key="use_model").click().run())
    (record,) = Store().studies()
    assert (record.study.model, record.status) == ("embedded", "draft")
    assert "next_step" in keys(app)
    assert "use_model" not in keys(app)


def test_a_folder_becomes_the_model_of_the_draft(tmp_path: Path) -> None:
    study = Store().create_study(Study("A", "embedded", DataSpec("", "", "")))
    app = choose_folder(open_page(study=study), write_model(tmp_path / "m", bert_tensors()))
    assert len(app.dataframe[0].value) == 9
    checked(app.button(key="use_model").click().run())
    assert Store().study(study).study.model == str((tmp_path / "m").resolve())
    again = open_page(study=study)
    assert again.radio(key="model_choice").value == "folder"
    assert "next_step" in keys(again)


def test_a_gpt2_weight_is_shown_as_it_works_and_not_as_it_is_stored(tmp_path: Path) -> None:
    tensors = {"h.0.attn.c_attn.weight": torch.ones(8, 24)}
    config = BERT_CONFIG | {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
    app = choose_folder(open_page(), write_model(tmp_path / "m", tensors, config))
    assert (
        app.dataframe[0].value.iloc[0, 2] == "24 × 8, stored transposed, several projections in one"
    )


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_a_pickle_folder_is_refused_in_words(tmp_path: Path, lang: str) -> None:
    folder = write_model(tmp_path / "m", bert_tensors())
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    app = choose_folder(open_page(lang), folder)
    assert "pytorch\\_model\\.bin" in app.error[0].value
    assert "use_model" not in keys(app)


def test_names_cannot_bring_markup(tmp_path: Path) -> None:
    config = BERT_CONFIG | {"architectures": ["[x](https://example.com) <b>"]}
    app = choose_folder(open_page(), write_model(tmp_path / "m", bert_tensors(), config))
    assert not any("](https" in each.value for each in app.markdown)


def test_the_hub_is_offered_only_when_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page()
    checked(app.radio(key="model_choice").set_value("hub").run())
    assert [each.key for each in app.text_input] == []
    assert "model_hub_settings" in keys(app)
    Store().save_settings(hub_access=True)
    # Nothing listens on the discard port of this machine: the attempt fails without leaving it.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    checked(app.run())
    checked(app.text_input(key="model_hub").set_value("nobody/nothing-at-all").run())
    assert len(app.error) == 0  # typing alone downloads nothing
    checked(app.button(key="model_hub_fetch").click().run())
    assert "nobody" in app.error[0].value
