"""Time, memory, the number format and the conditions that travel with every number."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from kasa.tuning import measure
from kasa.tuning.measure import (
    PACKAGES,
    EnergyMeter,
    Precision,
    choose_precision,
    conditions,
    machine,
    memory_bytes,
    peak_memory_bytes,
    precision_file,
    stopwatch,
)

ROOT = Path(__file__).resolve().parent.parent


def test_the_stopwatch_measures_the_block_and_nothing_else() -> None:
    with stopwatch() as watch:
        time.sleep(0.05)
    seconds = watch.seconds
    assert 0.05 <= seconds < 2
    time.sleep(0.01)
    assert watch.seconds == seconds


def test_the_stopwatch_stops_when_the_work_fails() -> None:
    with pytest.raises(ZeroDivisionError), stopwatch() as watch:
        _ = 1 / 0
    assert watch.seconds > 0


def test_memory_is_this_processs_in_bytes() -> None:
    now = psutil.Process().memory_info().rss
    assert memory_bytes() == pytest.approx(now, rel=0.2)
    assert peak_memory_bytes() >= 0.95 * memory_bytes()


PEAK = """
from kasa.tuning.measure import memory_bytes, peak_memory_bytes
before = peak_memory_bytes()
block = bytearray(b"x") * 200_000_000
held = memory_bytes()
del block
print(before, held, memory_bytes(), peak_memory_bytes())
"""


def test_the_peak_remembers_what_was_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK], cwd=ROOT, capture_output=True, text=True, check=True
    )
    before, held, after, peak = map(int, done.stdout.split())
    assert after < held - 150_000_000
    assert peak >= 0.99 * held  # the kernel counts in batches
    # `before` counts this child alone: pytest, its parent, is many times larger.
    assert before < 150_000_000
    assert 190_000_000 <= peak - before < 300_000_000


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return where a run of this workspace keeps the number format."""
    run = tmp_path / "runs" / "abc"
    run.mkdir(parents=True)
    assert precision_file(run) == tmp_path / "precision.json"
    return precision_file(run)


def test_the_number_format_is_measured_and_kept_with_its_device(kept: Path) -> None:
    chosen = choose_precision(kept)
    assert chosen.bf16_speedup > 0
    assert chosen.name == ("bf16" if chosen.bf16_speedup >= 1.3 else "fp32")
    record = json.loads(kept.read_text("utf-8"))
    device = record.pop("device")
    assert record.pop("threads") == torch.get_num_threads()
    assert device == (torch.cuda.get_device_name() if torch.cuda.is_available() else cpu())
    assert Precision(**record) == chosen
    assert [file.name for file in kept.parent.iterdir() if file.is_file()] == [kept.name]


def cpu() -> str:
    return str(machine()["processor"])


def write(kept: Path, **changes: Any) -> None:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu()
    measured_on = {"device": device, "threads": torch.get_num_threads()}
    record = measured_on | {"name": "bf16", "bf16_speedup": 77.0} | changes
    kept.write_text(json.dumps(record), "utf-8")


def test_a_kept_number_format_is_not_measured_again(kept: Path) -> None:
    write(kept)
    assert choose_precision(kept) == Precision("bf16", 77.0)


@pytest.mark.parametrize("other", [{"device": "Another CPU"}, {"threads": 1000}], ids=list)
def test_another_device_or_share_of_it_is_measured_again(kept: Path, other: dict[str, Any]) -> None:
    write(kept, **other)
    chosen = choose_precision(kept)
    assert chosen.bf16_speedup != 77.0
    assert json.loads(kept.read_text("utf-8"))["bf16_speedup"] == chosen.bf16_speedup


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"device": 1}', "\x00"])
def test_a_damaged_file_is_measured_again(kept: Path, text: str) -> None:
    kept.write_text(text, "utf-8")
    chosen = choose_precision(kept)
    assert choose_precision(kept) == chosen


@pytest.mark.parametrize(("fast", "name"), [(0.5, "bf16"), (0.8, "fp32"), (2.0, "fp32")])
def test_bf16_must_be_clearly_faster(
    kept: Path, monkeypatch: pytest.MonkeyPatch, fast: float, name: str
) -> None:
    seconds = iter([1.0, fast])
    monkeypatch.setattr(measure, "_best_seconds", lambda *_: next(seconds))
    flops = 2 * 512 * 1024 * 1024 / min(1.0, fast if name == "bf16" else 1.0)
    assert choose_precision(kept) == Precision(name, round(1 / fast, 2), flops)
    assert choose_precision(kept).matmul_flops == flops  # from the file, as from the measurement


class Slow:
    """A factor whose products take a fifth of a second, as in a format that is only emulated."""

    products = 0

    def __getitem__(self, rows: slice) -> Slow:
        return Slow()

    def __matmul__(self, other: object) -> None:
        self.products += 1
        time.sleep(0.2)


def test_a_format_that_the_processor_lacks_is_not_measured_for_long() -> None:
    left: Any = Slow()
    seconds = measure._best_seconds(left, left)
    assert 0.2 <= seconds < 0.4
    assert left.products == 3


def counter(folder: Path, energy: int | str, largest: int = 1_000_000_000) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "energy_uj").write_text(str(energy), "ascii")
    (folder / "max_energy_range_uj").write_text(str(largest), "ascii")


def test_energy_is_summed_over_packages_and_counters_that_turned_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "POWERCAP", tmp_path)
    counter(tmp_path / "intel-rapl:0", 10_000_000)
    counter(tmp_path / "intel-rapl:1", 990_000_000)
    counter(tmp_path / "intel-rapl:0:0", 0)  # a part of package 0, counted there already
    meter = EnergyMeter()
    counter(tmp_path / "intel-rapl:0", 15_000_000)
    counter(tmp_path / "intel-rapl:1", 2_000_000)
    counter(tmp_path / "intel-rapl:0:0", 4_000_000)
    assert meter.joules() == pytest.approx(5 + 12)
    assert meter.joules(shared_by=2) == pytest.approx((5 + 12) / 2)


def test_energy_that_nobody_reports_is_not_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "POWERCAP", tmp_path)
    assert EnergyMeter().joules() is None
    counter(tmp_path / "intel-rapl:0", "secret")
    assert EnergyMeter().joules() is None


def test_conditions_name_versions_machine_commit_and_times() -> None:
    started = datetime.now(UTC) - timedelta(seconds=90)
    found = conditions(started)
    assert set(found["versions"]) == {"python", *PACKAGES}
    assert found["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["versions"]["python"] == sys.version.split()[0]
    assert found["machine"]["cores"] == os.cpu_count()
    assert found["machine"]["memory_bytes"] == psutil.virtual_memory().total
    assert found["machine"]["processor"]
    assert found["git_commit"] is None or re.fullmatch("[0-9a-f]{40}", found["git_commit"])
    took = datetime.fromisoformat(found["finished_at"]) - datetime.fromisoformat(
        found["started_at"]
    )
    assert 90 <= took.total_seconds() < 120
    assert json.loads(json.dumps(found)) == found


def test_conditions_tell_no_path_and_no_name_of_the_person() -> None:
    text = json.dumps(conditions(datetime.now(UTC)))
    # Separators are escaped the same way on both sides.
    for place in (ROOT, Path(sys.prefix), Path.home()):
        if len(place.parts) > 1:
            assert json.dumps(str(place))[1:-1] not in text
    assert psutil.Process().username() not in text or len(psutil.Process().username()) < 5


def test_the_commit_is_this_projects_own() -> None:
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    wanted = head.stdout.strip() if head.returncode == 0 else None
    assert conditions(datetime.now(UTC))["git_commit"] == wanted
