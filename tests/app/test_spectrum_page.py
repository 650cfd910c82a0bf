"""The Spectrum page through AppTest: from the job to the charts, its ends, the light server."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from streamlit.testing.v1 import AppTest

from kasa.errors import ModelError
from kasa.jobs.spectrum import execute
from kasa.model.source import resolve_model
from kasa.runs.files import write_json
from kasa.runs.job import Job
from kasa.runs.records import RunRecord
from kasa.runs.store import Store
from kasa.spectral.spectrum import SPECTRA_FILE, spectrum_key
from kasa.spectral.truncation import CRITERIA
from kasa.study import DataSpec, Study
from tests.known_answers import bert_tensors, write_model

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "app" / "main.py"
pytestmark = pytest.mark.usefixtures("workspace")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "m", bert_tensors())


def open_page(folder: Path, lang: str = "en") -> AppTest:
    study = Store().create_study(Study("A", str(folder), DataSpec("", "", "")))
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    app.query_params["lang"] = lang
    app.query_params["study"] = study
    app.run()
    return checked(app.switch_page("../pages/spectrum.py").run())


def checked(app: AppTest) -> AppTest:
    assert [each.value for each in app.exception] == []
    return app


def ended_job(folder: Path, status: str) -> RunRecord:
    """Keep a job in the store as its worker would have left it; a finished one has its results."""
    store = Store()
    source = resolve_model(str(folder))
    record = store.add_job("spectrum", {"model": str(folder)}, spectrum_key(source))
    if status == "finished":
        job = Job(record.id, "spectrum", {"model": str(folder)}, record.folder)
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
    store.mark_started(record.id, process.pid, process.create_time())
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
