"""The Data page through AppTest: samples, uploads, problems, the split, and what is saved."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Selectbox, Toggle

from kasa.dataspec import DataSpec
from kasa.runs.datasets import delete_dataset
from kasa.runs.store import Store
from kasa.study import Study

MAIN = Path(__file__).resolve().parents[2] / "app" / "main.py"
pytestmark = pytest.mark.usefixtures("workspace")


WORDS = ("pump", "valve", "motor", "hose", "gear", "press", "boiler", "tank")


def open_page(lang: str = "en", study: str | None = None) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    app.query_params["lang"] = lang
    if study:
        app.query_params["study"] = study
    app.run()
    return checked(app.switch_page("../pages/data.py").run())


def checked(app: AppTest) -> AppTest:
    assert [each.value for each in app.exception] == []
    return app


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def own_rows(count: int = 60) -> bytes:
    lines = [
        f"{WORDS[i % 8]} {WORDS[i // 8]} leaks oil,{'ab'[i % 2]},{'x' * (i % 3)}"
        for i in range(count)
    ]
    lines[3] = lines[2]
    lines[4] = ",a,"
    return ("本文,区分,<b>*other*</b>\n" + "\n".join(lines) + "\n").encode("cp932")


def upload(app: AppTest, name: str, content: bytes) -> AppTest:
    checked(app.radio(key="data_source").set_value("own").run())
    return checked(app.file_uploader(key="data_upload").upload(name, content).run())


@pytest.mark.parametrize(
    ("lang", "text", "label", "readable"),
    [("en", "text", "crew", True), ("ja", "所見", "不良区分", False)],
)
def test_the_sample_in_the_persons_language(
    lang: str, text: str, label: str, readable: bool
) -> None:
    app = open_page(lang)
    boxes = {box.key.split("_")[1]: box.value for box in app.selectbox}
    assert {"task": "classification", "text": text, "label": label, "split": None}.items() <= (
        boxes.items()
    )
    # The embedded model knows English; a plain warning says that it cannot read Japanese.
    assert bool(app.warning) is not readable
    assert len(app.get("plotly_chart")) == 1
    app.button(key="data_save").click().run()
    (record,) = Store().studies()
    assert (record.study.data.text, record.study.data.label) == (text, label)
    assert Path(record.study.data.path).parent.name == record.study.data.sha256
    assert Path(record.study.data.path).is_file()


def test_own_file_in_cp932_with_its_problems() -> None:
    app = upload(open_page(), "工程記録.csv", own_rows())
    captions = " ".join(caption.value for caption in app.caption)
    assert "60 rows, 3 columns" in captions
    assert "CP932" in captions
    (problems,) = [frame.value for frame in app.dataframe if "Problem" in frame.value.columns]
    assert problems[["Problem", "Rows", "Row numbers"]].to_numpy().tolist() == [
        ["No text", 1, "6"],
        ["Duplicate", 1, "5"],
    ]
    assert metrics(app)["Test"] == "14 rows"  # a quarter of 58
    app.button(key="data_save").click().run()
    (record,) = Store().studies()
    assert record.study.title == "Can a model sort 工程記録?"
    assert record.study.data.label == "区分"


def test_a_bad_upload_is_explained_and_nothing_is_lost(workspace: Path) -> None:
    app = upload(open_page(), "good.csv", own_rows())
    app.file_uploader(key="data_upload").upload("bad.xlsx", b"PK\x03\x04 cut off").run()
    checked(app)
    (error,) = app.error
    assert "Excel file cannot be read" in error.value.replace("\\", "")
    assert "60 rows" in " ".join(caption.value for caption in app.caption)
    assert {path.name for path in workspace.glob("datasets/*/*")} >= {"good.csv"}
    assert not list(workspace.glob("datasets/*/bad*"))


def test_shares_and_columns_change_the_draft_and_keep_the_rest() -> None:
    store = Store()
    draft = store.create_study(Study("mine", "embedded", DataSpec("", "", "")))
    app = upload(open_page(study=draft), "rows.csv", own_rows())
    app.slider(key="data_test_share").set_value(40).run()
    app.slider(key="data_validation_share").set_value(10).run()
    sizes = metrics(checked(app))
    # 58 usable rows: 40 % are 23.2, and 10 % are 5.8.
    assert (sizes["Test"], sizes["Validation"], sizes["Training"]) == (
        "23 rows",
        "6 rows",
        "29 rows",
    )
    app.text_input[0].set_value("Leaks").run()
    app.button(key="data_save").click().run()
    study = store.study(draft).study
    assert (study.title, study.model) == ("Leaks", "embedded")
    assert (study.protocol.test_fraction, study.protocol.validation_fraction) == (0.4, 0.1)
    # Opened again, the page shows what was saved and leads on.
    again = open_page(study=draft)
    assert again.radio(key="data_source").value == "own"
    assert metrics(again)["Test"] == "23 rows"
    assert again.text_input[0].value == "Leaks"
    assert again.button(key="next_step").label


def test_the_same_column_twice_is_not_accepted() -> None:
    app = upload(open_page(), "rows.csv", own_rows())
    label = next(box for box in app.selectbox if box.key.startswith("data_label"))
    label.set_value("本文").run()
    assert "a different column" in checked(app).warning[0].value
    assert not [button for button in app.button if button.key == "data_save"]


def test_too_few_rows_are_an_error_in_words() -> None:
    app = upload(open_page("ja"), "few.csv", own_rows(12))
    assert "使える行が12行のうち" in app.error[-1].value.replace("\\", "")


def test_a_started_study_keeps_its_data() -> None:
    store = Store()
    first = open_page()
    first.button(key="data_save").click().run()
    (record,) = store.studies()
    with store.connect() as db:
        db.execute("UPDATE studies SET status = 'started'")
    app = open_page(study=record.id)
    assert "has been started" in app.info[0].value
    upload(app, "rows.csv", own_rows())
    app.button(key="data_save").click().run()
    assert len(store.studies()) == 2
    assert store.study(record.id).study.data == record.study.data


def test_cells_and_names_are_never_markup() -> None:
    content = own_rows().decode("cp932").replace("pump", "<script>x</script> **bold**").encode()
    app = upload(open_page(), "<i>*odd*.csv", content)
    for element in [*app.markdown, *app.caption, *app.info]:
        assert "<script>" not in element.value
        assert "**bold**" not in element.value
        assert "*odd*" not in element.value.replace("\\*", "")


def toggle(app: AppTest, kind: str) -> Toggle:
    """Return the switch of one kind of problem."""
    return next(each for each in app.toggle if each.key.endswith(f"_{kind}"))


MESSY = [
    *(
        f"{WORDS[i % 8]} {WORDS[i // 8]} leaks oil,{'ab'[i % 2]},M{i % 6},"
        f"2025-0{1 + i // 20}-{i % 20 + 1}"
        for i in range(60)
    ),
    "call 03-1234-5678 about the boiler,b,M1,2025-03-01",
    "gear\u3000tank stops,Ａ,M2,2025-03-02",
]


def messy() -> bytes:
    return "\n".join(["note,crew,machine,day", *MESSY]).encode()


def test_fixes_are_switched_one_by_one_and_together_and_kept() -> None:
    app = upload(open_page(), "messy.csv", messy())
    assert toggle(app, "label_variants").value
    assert not toggle(app, "personal_data").value
    toggle(app, "personal_data").set_value(True).run()
    toggle(app, "whitespace").set_value(False).run()
    assert not toggle(checked(app), "whitespace").value
    app.button(key="data_save").click().run()
    (record,) = Store().studies()
    fixes = set(record.study.data.fixes or ())
    assert "personal_data" in fixes
    assert "whitespace" not in fixes
    # Opened again the switches stand as they were left; one click goes back to the recommendation.
    again = open_page(study=record.id)
    assert not toggle(again, "whitespace").value
    checked(again.button(key="data_fix_recommended").click().run())
    assert toggle(again, "whitespace").value
    assert not toggle(again, "personal_data").value
    checked(again.button(key="data_fix_none").click().run())
    assert not toggle(again, "label_variants").value
    assert metrics(again)["Labels"] == "2"  # Ａ alone is a rare label, which always goes


def test_personal_data_is_hidden_unless_somebody_decides_otherwise() -> None:
    app = upload(open_page(), "messy.csv", messy())

    def shown() -> str:
        return " ".join(frame.value.to_csv() for frame in app.dataframe)

    assert "03-1234-5678" not in shown()
    assert "[phone]" in shown()
    toggle(app, "mask_switch").set_value(False).run()
    assert "03-1234-5678" in shown()
    checked(app).button(key="data_save").click().run()
    (record,) = Store().studies()
    assert record.study.data.mask is False


def test_rows_are_divided_by_group_or_date_where_there_are_any() -> None:
    app = upload(open_page(), "messy.csv", messy())
    for way in ("group", "date"):
        app.radio(key="data_split_way").set_value(way).run()
        assert sum(int(metrics(checked(app))[p].split()[0]) for p in PARTS) == 62
    app.button(key="data_save").click().run()
    (record,) = Store().studies()
    data = record.study.data
    assert (data.split_by, data.group, data.date) == ("date", "machine", "day")


PARTS = ("Training", "Validation", "Test")


def test_a_test_file_of_ones_own() -> None:
    app = upload(open_page(), "messy.csv", messy())
    app.radio(key="data_split_way").set_value("file").run()
    rows = [
        f"{word} of hall nine squeaks,{'ab'[i % 2]},M9,2025-05-01" for i, word in enumerate(WORDS)
    ]
    content = "\n".join(["note,crew,machine,day", *rows]).encode()
    checked(app.file_uploader(key="data_test_upload").upload("later.csv", content).run())
    assert metrics(app)["Test"] == "8 rows"
    app.button(key="data_save").click().run()
    (record,) = Store().studies()
    assert Path(str(record.study.data.test_path)).name == "later.csv"
    assert record.study.data.test_sha256 == Path(str(record.study.data.test_path)).parent.name


def test_a_file_can_be_read_otherwise() -> None:
    app = upload(open_page(), "rows.csv", own_rows())
    (header,) = [each for each in app.number_input if each.key.startswith("data_header")]
    header.set_value(0).run()
    captions = " ".join(caption.value for caption in checked(app).caption)
    assert "61 rows" in captions  # the line that named the columns is a row now
    (encoding,) = [each for each in app.selectbox if each.key.startswith("data_encoding")]
    encoding.set_value("utf-8").run()
    assert "do not fit" in checked(app).error[0].value
    encoding = next(each for each in app.selectbox if each.key.startswith("data_encoding"))
    encoding.set_value("cp932").run()
    assert not checked(app).error
    assert "61 rows" in " ".join(caption.value for caption in app.caption)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_score_makes_a_regression_with_arms_and_a_metric_of_its_own(lang: str) -> None:
    rows = [f"{WORDS[i % 8]} {WORDS[i // 8]} leaks oil,{i % 5}.{i % 10}" for i in range(60)]
    app = upload(open_page(lang), "scores.csv", "\n".join(["comment,rating", *rows]).encode())
    (task,) = [each for each in app.selectbox if each.key.startswith("data_task")]
    assert task.value == "regression"
    assert len(metrics(app)) >= 3
    checked(app.button(key="data_save").click().run())
    study = Store().studies()[0].study
    assert (study.task, study.metric) == ("regression", "pearson")
    assert [arm.method for arm in study.arms] == ["kasa", "lora", "frozen_head", "tfidf"]
    study.check_task()


def box(app: AppTest, role: str) -> Selectbox:
    """Return the field of one role."""
    return next(each for each in app.selectbox if each.key.startswith(f"data_{role}_"))


def test_a_wrong_guess_can_be_taken_back() -> None:
    app = upload(open_page(), "messy.csv", messy())
    assert (box(app, "group").value, box(app, "date").value) == ("machine", "day")
    box(app, "group").select_index(0).run()
    checked(app.button(key="data_save").click().run())
    (record,) = Store().studies()
    assert (record.study.data.group, record.study.data.date) == (None, "day")


def test_a_template_with_a_wrong_name_is_said_and_a_right_one_is_kept() -> None:
    app = upload(open_page(), "messy.csv", messy())
    field = next(each for each in app.text_area if each.key.startswith("data_template"))
    field.set_value("{machine} {nothing}").run()
    assert "nothing" in checked(app).warning[-1].value
    field = next(each for each in app.text_area if each.key.startswith("data_template"))
    field.set_value("{machine}: {note}").run()
    checked(app.button(key="data_save").click().run())
    (record,) = Store().studies()
    assert record.study.data.template == "{machine}: {note}"


def test_an_upload_belongs_to_its_study_and_ends_with_its_file() -> None:
    store = Store()
    first = store.create_study(Study("A", "embedded", DataSpec("")))
    app = upload(open_page(study=first), "messy.csv", messy())
    app.button(key="data_save").click().run()
    second = store.create_study(Study("B", "embedded", DataSpec("")))
    app.query_params["study"] = second
    checked(app.run())
    assert "messy" not in " ".join(caption.value for caption in app.caption)
    delete_dataset(store, str(store.study(first).study.data.sha256))
    app.query_params.clear()
    app.query_params["lang"] = "en"
    checked(app.run())
