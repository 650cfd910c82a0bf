"""The Spectrum page through AppTest: from the job to the charts, its ends, the light server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Dataframe

from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.errors import ModelError
from kasa.jobs.spectrum import execute
from kasa.model.source import resolve_model
from kasa.runs.files import write_json
from kasa.runs.job import Job
from kasa.runs.process import born
from kasa.runs.records import RunRecord
from kasa.runs.store import Store
from kasa.spectral.powerlaw import fit_power_law
from kasa.spectral.spectrum import SPECTRA_FILE, effective_rank, spectrum_key
from kasa.spectral.truncation import CRITERIA
from kasa.study import Study
from tests.known_answers import bert_tensors, write_model
from tests.result_files import draft, finish

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "app" / "main.py"
pytestmark = pytest.mark.usefixtures("workspace")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "m", bert_tensors())


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the queue stand still, so that a waiting job keeps waiting."""
    for place in ("app.shell", "kasa.runs.local"):
        monkeypatch.setattr(f"{place}.ensure_dispatcher", lambda _: None)


def open_page(folder: Path, lang: str = "en", study: str | None = None) -> AppTest:
    study = study or Store().create_study(Study("A", str(folder), DataSpec("", "", "")))
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    app.query_params["lang"] = lang
    app.query_params["study"] = study
    app.run()
    return checked(app.switch_page("../pages/spectrum.py").run())


def checked(app: AppTest) -> AppTest:
    assert [each.value for each in app.exception] == []
    return app


def ended_job(folder: Path, status: str, method: str = "exact") -> RunRecord:
    """Keep a job in the store as its worker would have left it; a finished one has its results."""
    store = Store()
    source = resolve_model(str(folder))
    config = {"model": str(folder), "method": method}
    record = store.add_job("spectrum", config, spectrum_key(source, method))
    if status == "finished":
        job = Job(record.id, "spectrum", config, record.folder)
        write_json(record.folder / "result.json", {"measured": execute(job)})
    error = ModelError("model_not_finite", name="w", model="m") if status == "failed" else None
    store.mark(record.id, status, error=error)
    return store.run(record.id)


def test_from_the_button_to_the_charts_in_a_worker_process(folder: Path) -> None:
    app = open_page(folder)
    assert len(app.get("plotly_chart")) == 0
    checked(app.button(key="spectrum_start").click().run())
    key = spectrum_key(resolve_model(str(folder)))
    ends = time.monotonic() + 60
    while (job := Store().latest(key)) is None or job.active:
        assert time.monotonic() < ends
        time.sleep(0.2)
    assert (job.status, job.error) == ("finished", None)
    checked(app.run())
    assert len(app.get("plotly_chart")) == 3
    # A second study on the same content finds the spectra there.
    assert len(open_page(folder).get("plotly_chart")) == 3


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_choosing_comparing_and_the_criteria(folder: Path, lang: str) -> None:
    ended_job(folder, "finished")
    app = open_page(folder, lang)
    query = "encoder.layer.1.attention.self.query"
    checked(app.selectbox(key="spectrum_weight").set_value(query).run())
    cuts = app.dataframe[0].value
    assert len(cuts) == len(CRITERIA)
    # Singular values 8 … 1 of eight components: the paper's eight smallest leave one.
    assert cuts.iloc[0, 1:3].tolist() == [7, 1]
    checked(app.number_input(key="spectrum_r").set_value(2).run())
    cuts = app.dataframe[0].value
    assert cuts.iloc[0, 1:4].tolist() == [2, 6, "97.549%"]  # 199 of 204
    checked(app.number_input(key="spectrum_tau").set_value(50.0).run())
    energy = list(CRITERIA).index("energy")
    assert app.dataframe[0].value.iloc[energy, 1:3].tolist() == [6, 2]  # 64 + 49 of 204
    checked(app.number_input(key="spectrum_share").set_value(50.0).run())
    share = list(CRITERIA).index("share")
    assert app.dataframe[0].value.iloc[share, 1:3].tolist() == [4, 4]
    checked(app.selectbox(key="spectrum_compare").set_value("pooler.dense").run())
    assert len(app.dataframe[0].value) == 2 * len(CRITERIA)
    assert app.dataframe[1].value.shape == (7, 2)


@pytest.mark.parametrize("measure", ["effective_rank", "stable_rank", "energy_kept"])
@pytest.mark.parametrize("lang", ["ja", "en"])
def test_every_measure_has_its_sentence(folder: Path, measure: str, lang: str) -> None:
    ended_job(folder, "finished")
    app = open_page(folder, lang)
    checked(app.selectbox(key="spectrum_measure").set_value(measure).run())
    assert len(app.get("plotly_chart")) == 3
    assert any("pooler" in each.value for each in app.caption)  # it lies outside the layers


@pytest.mark.parametrize(("status", "element"), [("failed", "error"), ("lost", "warning")])
def test_an_ended_job_says_why_and_can_be_started_again(
    folder: Path, status: str, element: str
) -> None:
    ended_job(folder, status)
    app = open_page(folder)
    assert len(app.get(element)) == 1
    assert "spectrum_start" in {button.key for button in app.button}


def test_damaged_spectra_are_said_and_can_be_computed_again(folder: Path) -> None:
    job = ended_job(folder, "finished")
    (job.folder / SPECTRA_FILE).write_bytes(b"PK cut off")
    app = open_page(folder)
    assert "cannot be read" in app.error[0].value.replace("\\", "")
    assert {"spectrum_start", "next_step"} <= {button.key for button in app.button}


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_a_running_job_is_shown_and_can_be_stopped(folder: Path, lang: str) -> None:
    store = Store()
    source = resolve_model(str(folder))
    record = store.add_job("spectrum", {"model": str(folder)}, spectrum_key(source))
    process = psutil.Process()  # this test stands for the worker
    store.mark_started(record.id, process.pid, born(process))
    job = Job(record.id, "spectrum", {}, record.folder)
    job.progress(0, 9, module="a_b")
    job.progress(3, 9, module="a_b")
    app = open_page(folder, lang)
    assert "spectrum_start" not in {button.key for button in app.button}
    (progress,) = app.get("progress")
    assert progress.proto.value == 33
    assert "a\\_b" in progress.proto.text
    checked(app.button(key="spectrum_stop").click().run())
    assert store.run(record.id).status == "stopping"
    store.mark(record.id, "cancelled")
    checked(app.run())
    assert "spectrum_start" in {button.key for button in app.button}


# -- the plan -----------------------------------------------------------------------------------

QUERIES = [f"encoder.layer.{layer}.attention.self.query" for layer in range(2)]
VALUES = [f"encoder.layer.{layer}.attention.self.value" for layer in range(2)]


def editor(app: AppTest) -> Dataframe:
    (found,) = app.data_editor
    return found


def typed(app: AppTest, row: int, removed: int) -> AppTest:
    """Type a number into a row of the plan, as the editor would report it."""
    state = {"edited_rows": {row: {"removed": removed}}, "added_rows": [], "deleted_rows": []}
    app.session_state[editor(app).key] = state
    return app


def planned(study: str) -> list[Arm]:
    return [arm for arm in Store().study(study).study.arms if arm.plan is not None]


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_proposals_stand_side_by_side(folder: Path, lang: str) -> None:
    ended_job(folder, "finished")
    app = open_page(folder, lang)
    table = app.dataframe[2].value
    assert len(table) == len(CRITERIA)
    # Nine weights of eight singular values; the paper's eight smallest leave one of each.
    paper, none = table.iloc[0], table.iloc[list(CRITERIA).index("none")]
    assert paper.iloc[1] == "63"
    assert any("72" in each.value for each in app.markdown)
    assert none.iloc[2:5].tolist() == ["0.0%", "100.000%", "0.000%"]


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_a_plan_goes_into_the_study_and_follows_the_slider(folder: Path, lang: str) -> None:
    ended_job(folder, "finished")
    app = open_page(folder, lang)
    study = str(app.session_state["study"])
    table = editor(app).value
    # 99 % of the energy: seven of 8 … 1, and one of a single direction.
    assert dict(zip(table["weight"], table["removed"], strict=True)) == {"query": 1, "value": 7}
    checked(app.button(key="plan_add").click().run())
    (arm,) = planned(study)
    assert arm.plan == dict.fromkeys(QUERIES, 1) | dict.fromkeys(VALUES, 7)
    assert arm.plan_name in app.success[0].value.replace("\\", "")
    assert Store().study(study).study.arms[:2] == (Arm("kasa"), arm)
    # The same plan again replaces itself; half of it is another one.
    checked(app.button(key="plan_add").click().run())
    checked(app.slider(key="plan_scale").set_value(50).run())
    checked(app.button(key="plan_add").click().run())
    first, half = planned(study)
    assert first == arm
    assert half.plan == dict.fromkeys(QUERIES, 0) | dict.fromkeys(VALUES, 4)
    assert half.plan_name != arm.plan_name


def test_a_plan_can_be_edited_but_leaves_one_component(folder: Path) -> None:
    ended_job(folder, "finished")
    app = open_page(folder)
    study = str(app.session_state["study"])
    checked(app.selectbox(key="plan_criterion").set_value("paper").run())
    row = list(editor(app).value["weight"]).index("query")
    typed(app, row, 5).button(key="plan_add").click()
    checked(app.run())
    (arm,) = planned(study)
    assert arm.plan is not None
    assert (arm.plan[QUERIES[0]], arm.plan[QUERIES[1]]) == (5, 7)
    assert arm.plan_name == "Paper (KaSA): 7 smallest (edited)"
    # The energy of the row follows: 8² + 7² + 6² of 204 are left.
    assert editor(app).value["energy"][row] == "73.039%"
    assert len(app.warning) == 0
    typed(app, row, 7 + 99).button(key="plan_add").click()
    checked(app.run())
    last = planned(study)[-1]
    assert (last.plan, last.plan_name) == (
        dict.fromkeys([*QUERIES, *VALUES], 7),
        "Paper (KaSA): 7 smallest",
    )
    assert len(app.warning) == 1


def test_the_plan_holds_what_kasa_adapts_or_all_weights(folder: Path) -> None:
    ended_job(folder, "finished")
    arms = (Arm("kasa", target_modules=("output.dense",)), Arm("lora"))
    record = Study("A", str(folder), DataSpec("", "", ""), arms)
    app = open_page(folder, study=Store().create_study(record))
    assert set(editor(app).value["weight"]) == {"attention.output.dense", "output.dense"}
    checked(app.toggle(key="plan_all").set_value(True).run())
    assert len(editor(app).value) == 9


def test_a_plan_for_a_started_study_goes_into_a_copy(folder: Path, tmp_path: Path) -> None:
    ended_job(folder, "finished")
    store = Store()
    started = draft(store, tmp_path)
    store.update_study(started, replace(store.study(started).study, model=str(folder)))
    finish(store, started)
    app = open_page(folder, study=started)
    checked(app.button(key="plan_add").click().run())
    assert "copy" in app.success[0].value
    copy = str(app.session_state["study"])
    assert copy != started
    assert planned(started) == []
    assert len(planned(copy)) == 1
    assert store.study(copy).status == "draft"


# -- the table of all weights -------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_all_weights_in_one_table_with_power_laws_on_demand(tmp_path: Path, lang: str) -> None:
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(20, 20, generator=random)
    name = "encoder.layer.0.attention.self.query.weight"
    folder = write_model(tmp_path / "m", {name: weight, "pooler.dense.weight": torch.eye(8)})
    ended_job(folder, "finished")
    app = open_page(folder, lang)

    def table() -> pd.DataFrame:
        return app.dataframe[4].value

    assert table().shape == (2, 12)
    values = torch.linalg.svdvals(weight.double()).numpy()
    law = fit_power_law(values)
    assert law is not None
    first = table().iloc[0]
    assert first.iloc[3] == 20
    assert first.iloc[4] == pytest.approx(effective_rank(values))
    assert first.iloc[10] == pytest.approx(law.alpha, rel=1e-4)
    assert first.iloc[11] == pytest.approx(law.alpha_error, rel=1e-4)
    assert table().iloc[1, 10:].isna().all()  # an identity has no tail
    checked(app.toggle(key="spectrum_fit").set_value(False).run())
    assert table().shape == (2, 10)


# -- the sketch ---------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a model that counts as large, with one weight that is worth a sketch."""
    monkeypatch.setattr("app.spectrum_jobs.LARGE_PARAMS", 1000)
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(800, 800, generator=random)
    tensors = bert_tensors() | {"encoder.layer.0.attention.self.query.weight": weight}
    return write_model(tmp_path / "large", tensors)


def jobs(folder: Path) -> tuple[RunRecord | None, RunRecord | None]:
    source = resolve_model(str(folder))
    sketch, exact = (Store().latest(spectrum_key(source, m)) for m in ("sketch", "exact"))
    return sketch, exact


def energy_traces(app: AppTest) -> list[dict[str, Any]]:
    charts = app.get("plotly_chart")
    traces: list[dict[str, Any]] = json.loads(charts[2].proto.spec)["data"]
    return traces


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("lang", ["ja", "en"])
def test_a_large_model_is_sketched_until_the_exact_values_are_there(large: Path, lang: str) -> None:
    word = {"ja": "概算", "en": "sketch"}[lang]
    app = open_page(large, lang)
    checked(app.button(key="spectrum_sketch").click().run())
    sketch, exact = jobs(large)
    assert sketch is not None
    assert exact is not None
    assert (sketch.status, exact.status) == ("queued", "queued")
    ended_job(large, "finished", "sketch")
    checked(app.run())
    checked(app.selectbox(key="spectrum_weight").set_value(QUERIES[0]).run())
    # The sketch with its band, above it the progress of the exact values.
    assert len(app.get("progress")) == 1
    assert word in app.info[0].value
    traces = energy_traces(app)
    assert [trace.get("fill") for trace in traces] == [None, "tonexty", None]
    assert word in traces[1]["name"]
    ended_job(large, "finished")
    checked(app.run())
    assert len(app.get("progress")) == 0
    assert not any(word in each.value for each in app.info)
    assert [trace.get("fill") for trace in energy_traces(app)] == [None]


@pytest.mark.usefixtures("still")
def test_stop_ends_the_sketch_and_what_would_follow(large: Path) -> None:
    app = open_page(large)
    checked(app.button(key="spectrum_sketch").click().run())
    checked(app.button(key="spectrum_stop").click().run())
    assert [job.status for job in jobs(large) if job] == ["cancelled", "cancelled"]
    checked(app.run())
    assert {"spectrum_sketch", "spectrum_start"} <= {button.key for button in app.button}


@pytest.mark.usefixtures("still")
def test_above_a_sketch_stopped_exact_values_are_offered_again(large: Path) -> None:
    ended_job(large, "finished", "sketch")
    ended_job(large, "cancelled")
    app = open_page(large)
    assert len(app.get("plotly_chart")) == 3
    checked(app.button(key="spectrum_start").click().run())
    _, exact = jobs(large)
    assert exact is not None
    assert exact.status == "queued"


LIGHT = """
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file(sys.argv[1], default_timeout=60)
app.query_params["study"] = sys.argv[2]
app.run()
for page in ("model", "spectrum"):
    app.switch_page(f"../pages/{page}.py").run()
    assert not app.exception, app.exception
assert len(app.get("plotly_chart")) == 3
heavy = [name for name in ("torch", "transformers", "peft") if name in sys.modules]
sys.exit(f"loaded {heavy}" if heavy else 0)
"""


def test_both_pages_leave_torch_out_of_the_server(folder: Path) -> None:
    ended_job(folder, "finished")
    study = Store().create_study(Study("A", str(folder), DataSpec("", "", "")))
    command = [sys.executable, "-c", LIGHT, str(MAIN), study]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
