"""The Experiment page through AppTest: settings, estimate, start, progress, stop, retry, copy."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from streamlit.testing.v1 import AppTest

from app.progress import overall_share, run_progress, seconds_left
from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.errors import StoreError, TrainingError
from kasa.runs.files import write_json
from kasa.runs.job import Job
from kasa.runs.process import born
from kasa.runs.records import RunRecord
from kasa.runs.schedule import end_stopped, pause, waiting_studies
from kasa.runs.store import Store
from kasa.study import Gates, Prices, Protocol, Study
from kasa.tuning.estimate import probe_key
from tests.small_studies import small_study

MAIN = str(Path(__file__).resolve().parents[2] / "app" / "main.py")
PAGE = "../pages/experiment.py"
ALL_ARMS = (Arm("kasa"), Arm("lora"), Arm("frozen_head"), Arm("tfidf"))


@pytest.fixture
def store(workspace: Path) -> Store:
    return Store()


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the queue stand still, so that a waiting run keeps waiting."""
    pages = ("app.shell", "app.live_panel", "app.estimate_panel", "app.queue_panel")
    for place in (*pages, "kasa.runs.local"):
        monkeypatch.setattr(f"{place}.ensure_dispatcher", lambda _: None)


def make_draft(store: Store, folder: Path, **changes: object) -> str:
    study = small_study(folder, ALL_ARMS)
    return store.create_study(replace(store.settled(study), **changes))


def open_page(study_id: str | None = None, lang: str = "en") -> AppTest:
    page = AppTest.from_file(MAIN, default_timeout=60)
    page.query_params["lang"] = lang
    if study_id:
        page.query_params["study"] = study_id
    page.run()
    return checked(page.switch_page(PAGE).run())


def checked(page: AppTest) -> AppTest:
    assert [each.value for each in page.exception] == []
    return page


def keys(page: AppTest) -> set[str]:
    return {button.key for button in page.button}


def words(page: AppTest) -> str:
    parts = [*page.markdown, *page.caption, *page.warning, *page.error, *page.info]
    lines = [str(part.value) for part in parts]
    lines += [bar.proto.text for bar in page.get("progress")]
    return "\n".join(lines).replace("\\", "")


def wait_for(done: Callable[[], bool], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.2)


def at_work(store: Store, run: RunRecord) -> Job:
    """Let this test stand for the run's worker process."""
    process = psutil.Process()
    store.mark_started(run.id, process.pid, born(process))
    return Job(run.id, "run", {}, run.folder)


# -- the settings --------------------------------------------------------------------------------


@pytest.mark.parametrize("has_study", [False, True])
def test_without_data_the_page_leads_to_the_data(store: Store, has_study: bool) -> None:
    study = Study("A", "embedded", DataSpec("", "", ""))
    page = open_page(store.create_study(study) if has_study else None)
    assert "start" not in keys(page)
    page.button(key="empty_next").click().run()
    assert checked(page).title[0].value == "Data"


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_a_draft_shows_its_settings_and_opening_it_changes_nothing(
    store: Store, tmp_path: Path, lang: str
) -> None:
    study_id = make_draft(store, tmp_path, gates=Gates(metric_min=0.85, train_minutes_max=10))
    before = store.study(study_id)
    page = open_page(study_id, lang)
    assert page.multiselect(key="arms").value == ["kasa", "lora", "frozen_head", "tfidf"]
    assert page.segmented_control(key="profile").value == "quick"
    assert page.multiselect(key="rates_quick").value == [1e-3, 3e-3]
    assert page.number_input(key="gate_metric").value == 85
    assert page.number_input(key="gate_money_max").value is None
    assert {"start", "estimate"} <= keys(page)
    assert "orders.csv" in words(page)
    assert store.study(study_id) == before


def test_a_profile_brings_its_own_seeds_rates_and_epochs(store: Store, tmp_path: Path) -> None:
    study_id = make_draft(store, tmp_path)
    page = open_page(study_id)
    assert "One seed is a first impression only" in words(page)
    checked(page.segmented_control(key="profile").set_value("standard").run())
    assert store.study(study_id).study.protocol == Protocol("standard", parallel_runs=1)
    assert "Seeds: 3." in words(page)
    assert "first impression" not in words(page)
    assert "12" in next(m.value for m in page.markdown if "Runs to be made" in m.value)
    # What was set by hand belongs to its profile.
    checked(page.number_input(key="epochs_standard").set_value(2).run())
    checked(page.number_input(key="seeds_standard").set_value(2).run())
    protocol = store.study(study_id).study.protocol
    assert (protocol.epochs, protocol.seeds) == (2, (0, 1))
    checked(page.segmented_control(key="profile").set_value("thorough").run())
    assert store.study(study_id).study.protocol == Protocol("thorough", parallel_runs=1)


def test_methods_keep_their_own_settings_when_others_go(store: Store, tmp_path: Path) -> None:
    study_id = make_draft(store, tmp_path)
    page = open_page(study_id)
    checked(page.number_input(key="rank_kasa_0").set_value(16).run())
    assert store.study(study_id).study.arms[:2] == (Arm("kasa", rank=16), Arm("lora"))
    checked(page.multiselect(key="arms").set_value(["lora", "tfidf"]).run())
    assert store.study(study_id).study.arms == (Arm("lora"), Arm("tfidf"))
    checked(page.multiselect(key="arms").set_value(["tfidf", "lora", "kasa"]).run())
    assert store.study(study_id).study.arms == (Arm("kasa"), Arm("lora"), Arm("tfidf"))


def test_the_removal_follows_the_rank_until_it_is_set(store: Store, tmp_path: Path) -> None:
    study_id = make_draft(store, tmp_path)
    page = open_page(study_id)
    checked(page.number_input(key="rank_kasa_0").set_value(4).run())
    assert page.number_input(key="removed_kasa_0_4").value == 4
    assert store.study(study_id).study.arms[0] == Arm("kasa", rank=4)
    checked(page.number_input(key="removed_kasa_0_4").set_value(0).run())
    checked(page.number_input(key="rank_kasa_0").set_value(2).run())
    checked(page.number_input(key="beta_kasa_0").set_value(0.01).run())
    wanted = Arm("kasa", rank=2, removed_components=0, beta=0.01)
    assert store.study(study_id).study.arms[0] == wanted


def test_a_truncation_plan_is_named_and_kept(store: Store, tmp_path: Path) -> None:
    planned = Arm("kasa", plan={"layer.0.query": 3}, plan_name="energy 99%")
    study_id = make_draft(store, tmp_path, arms=(planned, Arm("kasa")))
    page = open_page(study_id)
    assert page.text_input(key="plan_kasa_0").value == "energy 99%"
    checked(page.number_input(key="rank_kasa_0").set_value(4).run())
    assert store.study(study_id).study.arms == (replace(planned, rank=4), Arm("kasa"))


def test_gates_and_prices(store: Store, tmp_path: Path) -> None:
    study_id = make_draft(store, tmp_path, gates=Gates(metric_min=0.6))
    page = open_page(study_id)
    page.selectbox(key="gate_metric_name_classification").set_value("macro_f1")
    page.number_input(key="gate_metric").set_value(82.5)
    page.number_input(key="gate_train_minutes_max").set_value(5.0)
    page.number_input(key="gate_peak_memory_gb_max").set_value(2.0)
    page.selectbox(key="currency").set_value("USD")
    page.number_input(key="price").set_value(1.5)
    checked(page.run())
    study = store.study(study_id).study
    assert study.gates == Gates("macro_f1", 0.825, 5.0, 2.0)
    assert study.prices == Prices("USD", 1.5)
    assert page.number_input(key="gate_metric").label == "Macro-F1 at least (%)"
    checked(page.run())
    assert "(USD)" in page.number_input(key="gate_money_max").label
    checked(page.number_input(key="gate_train_minutes_max").set_value(None).run())
    assert store.study(study_id).study.gates.train_minutes_max is None


@pytest.mark.parametrize(
    ("empty", "sentence"),
    [
        ("study_title", "Give the study a name"),
        ("arms", "at least one method"),
        ("rates_quick", "at least one learning rate"),
    ],
)
def test_an_empty_field_is_named_and_nothing_can_start(
    store: Store, tmp_path: Path, empty: str, sentence: str
) -> None:
    study_id = make_draft(store, tmp_path)
    before = store.study(study_id)
    page = open_page(study_id)
    if empty == "study_title":
        page.text_input(key=empty).set_value("  ")
    else:
        page.multiselect(key=empty).set_value([])
    checked(page.run())
    assert sentence in words(page)
    assert "start" not in keys(page)
    assert store.study(study_id) == before


def test_two_equal_methods_are_explained(store: Store, tmp_path: Path) -> None:
    arms = (Arm("lora", rank=8), Arm("lora", rank=4))
    page = open_page(make_draft(store, tmp_path, arms=arms))
    checked(page.number_input(key="rank_lora_1").set_value(8).run())
    assert "arms that differ" in words(page)
    assert "start" not in keys(page)


def test_values_from_a_study_file_beyond_the_usual_have_room(store: Store, tmp_path: Path) -> None:
    arms = (Arm("kasa", rank=1000, removed_components=2000, beta=50, gamma=11),)
    protocol = Protocol(
        "quick",
        seeds=tuple(range(3, 33)),
        learning_rates=(0.5, 7e-5),
        equivalence_margin=0.5,
        batch_size=1024,
        max_length=8192,
    )
    gates = Gates(metric_min=0.0001, train_minutes_max=1, money_max=1e-4)
    title = "A long title " * 20
    study_id = make_draft(
        store,
        tmp_path,
        arms=arms,
        protocol=protocol,
        gates=gates,
        prices=Prices("SEK", 1),
        title=title.strip(),
    )
    before = store.study(study_id).study
    open_page(study_id)
    after = store.study(study_id).study
    # The rates come back in order; everything else is untouched.
    rates = replace(before.protocol, learning_rates=(7e-5, 0.5))
    assert after == replace(before, protocol=rates)


def test_a_new_title_shows_at_the_head_of_the_page(store: Store, tmp_path: Path) -> None:
    page = open_page(make_draft(store, tmp_path))
    checked(page.text_input(key="study_title").set_value("Crews *2*").run())
    assert page.caption[0].value == "Study: Crews \\*2\\*"


# -- the estimate --------------------------------------------------------------------------------

MEASURED = {
    "rows": {"train": 33, "validation": 12, "test": 15},
    "startup_seconds": 10.0,
    "base_seconds": 2.0,
    "answer_seconds_per_row": 0.01,
    "arms": {
        "kasa-r8": {"prepare_seconds": 3.0, "step_seconds": 0.5, "peak_memory_bytes": 900_000_000},
        "lora-r8": {"prepare_seconds": 1.0, "step_seconds": 0.4, "peak_memory_bytes": 800_000_000},
        "frozen_head": {"run_seconds": 4.0, "peak_memory_bytes": 700_000_000},
        "tfidf": {"run_seconds": 0.5, "peak_memory_bytes": 200_000_000},
    },
}


def finish_probe(store: Store, study_id: str, **measured: object) -> None:
    study = store.study(study_id).study
    job = store.add_job("estimate", {"study": study.to_dict()}, probe_key(study))
    write_json(job.folder / "result.json", {"measured": MEASURED | measured})
    store.mark(job.id, "finished")


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def test_the_estimate_follows_the_settings_without_a_new_measurement(
    store: Store, tmp_path: Path, still: None
) -> None:
    study_id = make_draft(store, tmp_path, prices=Prices("USD", 36.0))
    finish_probe(store, study_id)
    page = open_page(study_id)
    # KaSA 10+2 + 2(3 + 12·0.5 + 4·12·0.01) + 0.15 = 31.11, LoRA 24.71, head 14, TF-IDF 0.5 s
    assert metrics(page) == {
        "Time in total": "about 1 min 10 sec",
        "Peak memory": "about 900 MB",
        "Machine cost": "about $0.70",
    }
    assert len(page.table[0].value) == 4
    assert list(page.table[0].value.columns) == ["Method", "One run", "Peak memory"]
    checked(page.segmented_control(key="profile").set_value("standard").run())
    assert metrics(page)["Time in total"] == "about 5 min"
    assert "All seeds" in page.table[0].value.columns
    # Another batch size is another measurement.
    checked(page.number_input(key="batch_size").set_value(8).run())
    assert metrics(page) == {}
    assert "estimate" in keys(page)


def test_an_estimate_beyond_the_memory_warns(store: Store, tmp_path: Path, still: None) -> None:
    study_id = make_draft(store, tmp_path)
    arms = MEASURED["arms"] | {"tfidf": {"run_seconds": 1.0, "peak_memory_bytes": 10**15}}
    finish_probe(store, study_id, arms=arms)
    shown = words(open_page(study_id))
    assert "may not fit" in shown
    assert "Even single rows" in shown  # TF-IDF knows no batches


def test_an_estimate_beyond_the_memory_says_what_would_fit(
    store: Store, tmp_path: Path, still: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.estimate_panel.machine", lambda: {"memory_bytes": 1_000_000_000})
    kasa = {"prepare_seconds": 3.0, "step_seconds": 0.5, "start_memory_bytes": 600_000_000}
    arms = MEASURED["arms"] | {"kasa-r8": kasa | {"peak_memory_bytes": 1_000_000_000}}
    study_id = make_draft(store, tmp_path)
    finish_probe(store, study_id, arms=arms)
    shown = words(open_page(study_id))
    # 600 + 400 · 8/16 = 800 MB is the most of 1 GB that may be used.
    assert "Set “Batch size” to 8." in shown
    assert "about 800 MB" in shown


def test_an_estimate_at_work_is_shown_and_can_be_stopped(
    store: Store, tmp_path: Path, still: None
) -> None:
    study_id = make_draft(store, tmp_path)
    page = open_page(study_id)
    checked(page.button(key="estimate").click().run())
    (job,) = store.active_runs()
    at_work(store, job).progress(1, 4, arm="frozen_head")
    checked(page.run())
    (bar,) = page.get("progress")
    assert bar.proto.value == 25
    checked(page.button(key="estimate_stop").click().run())
    assert store.run(job.id).status == "stopping"
    store.mark(job.id, "failed", error=TrainingError("out_of_memory"))
    checked(page.run())
    assert "estimate" in keys(page)
    assert len(page.error) == 1


# -- start and what follows ----------------------------------------------------------------------


def test_from_start_to_finished_in_real_worker_processes(store: Store, tmp_path: Path) -> None:
    study_id = store.create_study(small_study(tmp_path))
    page = open_page(study_id)
    checked(page.button(key="start").click().run())
    (run,) = store.runs(study_id)
    wait_for(lambda: not store.run(run.id).active)
    assert (store.run(run.id).status, store.run(run.id).error) == ("finished", None)
    checked(page.run())
    assert "1 of 1 runs have ended" in words(page)
    assert ":green-badge[Finished] TF-IDF + linear model · seed 0" in words(page)
    assert "stop" not in keys(page)
    assert "retry" not in keys(page)
    checked(page.button(key="next_step").click().run())
    assert page.title[0].value == "Results"
    assert "Only TF-IDF" in words(page)


def test_start_pressed_on_two_pages_makes_one_set_of_runs(
    store: Store, tmp_path: Path, still: None
) -> None:
    study_id = make_draft(store, tmp_path)
    first, second = open_page(study_id), open_page(study_id)
    checked(first.button(key="start").click().run())
    ids = [run.id for run in store.runs(study_id)]
    checked(second.button(key="start").click().run())
    checked(first.run())
    assert [run.id for run in store.runs(study_id)] == ids
    assert len(ids) == 4
    assert "stop" in keys(second)


def test_the_click_that_follows_an_edit_at_once_counts(
    store: Store, tmp_path: Path, still: None
) -> None:
    # Leaving a field by clicking Start sends the new value and the click together.
    study_id = make_draft(store, tmp_path)
    page = open_page(study_id)
    page.text_input(key="study_title").set_value("Renamed")
    page.number_input(key="epochs_quick").set_value(2)
    checked(page.button(key="start").click().run())
    record = store.study(study_id)
    assert (record.status, record.study.title, record.study.protocol.epochs) == (
        "started",
        "Renamed",
        2,
    )


def test_start_stops_the_estimate_that_would_slow_the_runs(
    store: Store, tmp_path: Path, still: None
) -> None:
    study_id = make_draft(store, tmp_path)
    page = open_page(study_id)
    checked(page.button(key="estimate").click().run())
    (job,) = store.active_runs()
    checked(page.button(key="start").click().run())
    assert store.run(job.id).status == "cancelled"
    assert len(store.runs(study_id)) == 4


@pytest.mark.parametrize("what", ["data", "model"])
def test_what_would_fail_every_run_is_said_before_the_start(
    store: Store, tmp_path: Path, still: None, what: str
) -> None:
    study_id = make_draft(store, tmp_path)
    study = store.study(study_id).study
    if what == "data":
        Path(study.data.path).unlink()
    else:
        store.update_study(study_id, replace(study, model=str(tmp_path / "no model here")))
    page = open_page(study_id)
    checked(page.button(key="start").click().run())
    assert len(page.error) == 1
    assert store.runs(study_id) == []
    assert store.study(study_id).status == "draft"


def test_several_runs_at_a_time_are_chosen_estimated_and_followed(
    store: Store, tmp_path: Path, still: None
) -> None:
    study_id = make_draft(store, tmp_path, prices=Prices("USD", 36.0))
    page = open_page(study_id)
    assert "one after another" in words(page)
    checked(page.number_input(key="parallel_runs").set_value(None).run())
    assert store.study(study_id).study.protocol.parallel_runs == 0
    checked(page.number_input(key="parallel_runs").set_value(2).run())
    assert store.study(study_id).study.protocol.parallel_runs == 2
    assert "2 at a time" in words(page)
    finish_probe(store, study_id)
    checked(page.run())
    # 24.71 + 14 beside 31.11 s; the price is that of half the machine.
    assert metrics(page) == {
        "Time in total": "about 39 sec",
        "Peak memory": "about 1.7 GB",
        "Machine cost": "about $0.35",
    }
    assert "for 2 runs at a time" in words(page)
    for run in store.start_study(study_id)[:2]:
        step = {"trial": 1, "trials": 2, "learning_rate": 0.001, "loss": 2.0, "memory_bytes": 1}
        at_work(store, run).progress(3, 24, phase="train", **step)
    page = open_page(study_id)
    assert len(page.get("plotly_chart")) == 2
    assert [tab.label for tab in page.tabs] == [r"KaSA \(r=8\) · seed 0", r"LoRA \(r=8\) · seed 0"]
    assert words(page).count("step 3 of 24") == 2


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_a_run_at_work_shows_step_memory_time_and_curve(
    store: Store, tmp_path: Path, still: None, lang: str
) -> None:
    study_id = make_draft(store, tmp_path)
    first = store.start_study(study_id)[0]
    job = at_work(store, first)
    job.progress(0, 1, phase="prepare")
    page = open_page(study_id, lang)
    assert {"en": "preparing", "ja": "準備中"}[lang] in words(page)
    assert len(page.get("plotly_chart")) == 0
    for step in (1, 2, 3):
        job.progress(
            step,
            24,
            phase="train",
            trial=1,
            trials=2,
            learning_rate=0.001,
            loss=2.0 / step,
            memory_bytes=912_000_000,
        )
    checked(page.run())
    shown = words(page)
    wanted = {
        "en": ("step 3 of 24, learning rate 0.001 (1 of 2)", "memory 912 MB", "0 of 4 runs"),
        "ja": ("24 ステップ中 3", "学習率 0.001（2 通り中 1 番目）", "4 件中 0 件終了"),
    }[lang]
    for part in wanted:
        assert part in shown
    assert {"en": " left", "ja": "残り約"}[lang] in shown
    assert len(page.get("plotly_chart")) == 1
    # A run that ends while the page is open brings up what can be done now.
    assert "next_step" not in keys(page)
    store.mark(first.id, "failed", error=TrainingError("worker_killed", signal=9))
    checked(page.run())
    assert "retry" in keys(page)
    assert len(page.error) == 1


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_a_run_with_a_budget_of_seconds_shows_them_in_place_of_steps(
    store: Store, tmp_path: Path, still: None, lang: str
) -> None:
    study_id = make_draft(store, tmp_path)
    job = at_work(store, store.start_study(study_id)[0])
    step = {"trial": 1, "trials": 2, "learning_rate": 0.001, "loss": 2.0, "memory_bytes": 1}
    job.progress(7.25, 60, phase="train", unit="seconds", **step)
    page = open_page(study_id, lang)
    wanted = {"en": "second 7 of 60, learning rate 0.001", "ja": "60 秒中 7 秒、学習率 0.001"}[lang]
    assert wanted in words(page)
    (shown,) = page.get("plotly_chart")
    title = {"en": "Seconds of preparation and training", "ja": "準備と学習の秒数"}[lang]
    assert json.loads(shown.proto.spec)["layout"]["xaxis"]["title"]["text"] == title


def test_stop_retry_and_the_requirements_afterwards(
    store: Store, tmp_path: Path, still: None
) -> None:
    study_id = make_draft(store, tmp_path)
    runs = store.start_study(study_id)
    at_work(store, runs[0])
    page = open_page(study_id)
    checked(page.button(key="stop").click().run())
    statuses = [run.status for run in store.runs(study_id)]
    assert statuses == ["stopping", "cancelled", "cancelled", "cancelled"]
    assert page.button(key="stop").disabled
    store.mark(runs[0].id, "cancelled")
    checked(page.run())
    assert not {"stop", "pause", "stop_after"} & keys(page)
    assert page.button(key="retry").label == "Start again what did not finish (4)"
    checked(page.button(key="retry").click().run())
    assert {run.status for run in store.runs(study_id)} == {"queued"}
    # The verdict is made anew from the same runs when a requirement changes.
    checked(page.number_input(key="gate_metric").set_value(91.0).run())
    record = store.study(study_id)
    assert (record.study.gates.metric_min, record.status) == (0.91, "started")


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_pause_and_go_on(store: Store, tmp_path: Path, still: None, lang: str) -> None:
    study_id = make_draft(store, tmp_path)
    runs = store.start_study(study_id)
    at_work(store, runs[0])
    page = open_page(study_id, lang)
    assert {"pause", "stop_after", "stop"} <= keys(page)
    checked(page.button(key="pause").click().run())
    assert [run.status for run in store.runs(study_id)] == ["stopping", *["queued"] * 3]
    assert {"go_on", "stop"} <= keys(page)
    assert not {"pause", "stop_after"} & keys(page)
    end_stopped(store, runs[0].id)  # as its worker does when it hears it
    checked(page.run())
    assert [run.status for run in store.runs(study_id)] == ["queued"] * 4
    assert ("一時停止中です" if lang == "ja" else "This study is paused") in words(page)
    assert store.due_runs() == []
    checked(page.button(key="go_on").click().run())
    assert store.due_runs() == store.runs(study_id)
    assert {"pause", "stop"} <= keys(page)


def test_stop_after_this_run(store: Store, tmp_path: Path, still: None) -> None:
    study_id = make_draft(store, tmp_path)
    runs = store.start_study(study_id)
    at_work(store, runs[0])
    page = open_page(study_id)
    checked(page.button(key="stop_after").click().run())
    statuses = [run.status for run in store.runs(study_id)]
    assert statuses == ["running", "cancelled", "cancelled", "cancelled"]
    assert {"pause", "stop"} <= keys(page)
    assert "stop_after" not in keys(page)


def test_starting_again_ends_a_pause(store: Store, tmp_path: Path, still: None) -> None:
    study_id = make_draft(store, tmp_path)
    runs = store.start_study(study_id)
    store.mark(runs[0].id, "lost", error=TrainingError("worker_lost"))
    pause(store, study_id)
    page = open_page(study_id)
    checked(page.button(key="retry").click().run())
    assert len(store.due_runs()) == 4


def test_a_study_moves_in_the_queue(store: Store, tmp_path: Path, still: None) -> None:
    first = make_draft(store, tmp_path, title="First")
    second = make_draft(store, tmp_path, title="Second *one*")
    (runs, _) = store.start_study(first), store.start_study(second)
    page = open_page(first)
    assert "Place 1 of 2 in the queue: **First** → Second *one*" in words(page)
    assert [page.button(key=f"queue_{name}").disabled for name in ("front", "later")] == [1, 0]
    checked(page.button(key="queue_later").click().run())
    assert waiting_studies(store) == [second, first]
    assert "Place 2 of 2 in the queue: Second *one* → **First**" in words(page)
    assert page.button(key="queue_later").disabled
    checked(page.button(key="queue_front").click().run())
    assert waiting_studies(store) == [first, second]
    at_work(store, runs[0])
    page = open_page(second)
    assert "Waiting until another study has finished its run: First" in words(page)
    for run in store.runs(first):
        store.stop(run.id)
    checked(page.run())
    assert "queue_front" not in keys(page)


def test_the_log_of_a_run_at_work_or_failed(store: Store, tmp_path: Path, still: None) -> None:
    study_id = make_draft(store, tmp_path)
    first, second, *_ = store.start_study(study_id)
    at_work(store, first)
    page = open_page(study_id)
    (log,) = [each.label for each in page.expander if each.label.startswith("Log")]
    assert log.replace("\\", "") == "Log: KaSA (r=8) · seed 0"
    assert "Nothing has been written yet." in words(page)
    lines = [f"<b>line {number}</b>" for number in range(100)]
    (first.folder / "log.txt").write_text("\n".join([*lines, "10%\r20%\r30%"]) + "\n", "utf-8")
    (second.folder / "log.txt").write_text("what went wrong", "utf-8")
    store.mark(second.id, "failed", error=TrainingError("worker_killed", signal=9))
    checked(page.run())
    shown = [code.value for code in page.code]
    assert shown == ["\n".join([*lines[61:], "30%"]), "what went wrong"]


def test_a_copy_is_a_draft_of_its_own(store: Store, tmp_path: Path, still: None) -> None:
    study_id = make_draft(store, tmp_path)
    store.start_study(study_id)
    page = open_page(study_id)
    original = store.study(study_id).study
    assert "Learning rates: 0.001, 0.003. Seeds: 0." in words(page)
    checked(page.button(key="copy_study").click().run())
    copy, _ = store.studies()
    assert copy.study == replace(original, title="Which crew? (copy)")
    assert copy.status == "draft"
    assert "start" in keys(page)
    assert page.query_params["study"] == copy.id


# -- the arithmetic of progress ------------------------------------------------------------------


def events(*steps: tuple[float, int], total: int = 10) -> list[dict[str, float]]:
    return [
        {"time": moment, "done": done, "total": total, "loss": 1.0, "memory_bytes": 5}
        for moment, done in steps
    ]


def test_the_time_left_of_a_run() -> None:
    assert run_progress([]).seconds_left is None
    assert run_progress(events((100.0, 1))).seconds_left is None
    progress = run_progress(events((100.0, 1), (108.0, 5)))
    assert (progress.share, progress.seconds_left) == (0.5, 10.0)  # five steps of two seconds
    # After an interruption the pace is that of the process at work, which goes on at step 5.
    starts = [{"time": 0.0, "done": 0, "total": 1, "phase": "prepare"}]
    again = [*starts, *events((100.0, 1), (108.0, 4)), *starts]
    assert run_progress(again).share == 0.0
    progress = run_progress([*again, *events((900.0, 5), (901.0, 6))])
    assert (progress.share, progress.seconds_left) == (0.6, 4.0)


def test_the_time_left_of_a_study(store: Store, tmp_path: Path) -> None:
    study_id = make_draft(store, tmp_path)
    runs = store.start_study(study_id)
    assert seconds_left(runs, {}, {"kasa-r8": 30.0}, 1) is None
    expected = {"kasa-r8": 30.0, "lora-r8": 20.0, "frozen_head": 8.0, "tfidf": 2.0}
    assert seconds_left(runs, {}, expected, 1) == 60.0
    assert seconds_left(runs, {}, expected, 2) == 30.0  # 20 + 8 + 2 beside 30
    at_work(store, runs[0])
    working = store.runs(study_id)
    progress = {runs[0].id: run_progress(events((0.0, 1), (8.0, 5)))}
    assert seconds_left(working, progress, expected, 1) == 40.0
    assert overall_share(working, progress, expected) == 0.25
    assert overall_share(working, progress, {}) == 0.125
    at_work(store, runs[1])
    progress[runs[1].id] = run_progress(events((0.0, 1), (12.0, 5)))
    working = store.runs(study_id)
    assert seconds_left(working, progress, expected, 2) == 18.0  # 10 + 8, then 15 + 2
    assert overall_share(working, progress, {}) == 0.25
    store.stop(runs[1].id)  # what is being stopped holds nobody up for long
    assert seconds_left(store.runs(study_id), progress, expected, 2) == 10.0
    store.mark(runs[0].id, "cancelled")
    store.mark(runs[1].id, "cancelled")
    assert overall_share(store.runs(study_id), {}, expected) == pytest.approx(50 / 60)


def test_a_study_deleted_in_another_tab_is_said_in_the_live_part(
    store: Store, tmp_path: Path, still: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = make_draft(store, tmp_path)
    store.start_study(study_id)
    page = open_page(study_id)

    def gone(*_: object) -> None:
        raise StoreError("no_such_study", study=study_id)

    monkeypatch.setattr("app.live_panel.ensure_dispatcher", gone)
    checked(page.run())
    assert len(page.error) == 1
    assert "copy_study" in keys(page)  # the rest of the page is there
