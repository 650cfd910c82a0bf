"""Studies small enough to run for real in a test: 60 short rows of two kinds of work order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.runs.store import Store
from kasa.study import Gates, Protocol, Study

# Two threads per process wait for each other where the machine is shared: many times slower.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
NOTES = {
    "electrical": ("fuse blown in panel", "motor trips the breaker", "cable sparks at socket"),
    "hydraulic": ("oil leaks at the pump", "hose bursts under pressure", "cylinder loses oil"),
}


def write_rows(folder: Path) -> Path:
    """Write 60 rows that even counting words can tell apart."""
    rows = [
        f"{notes[row % 3]} {row % 7} in hall {row},{crew}"
        for row in range(30)
        for crew, notes in NOTES.items()
    ]
    path = folder / "orders.csv"
    path.write_text("\n".join(["order,crew", *rows]), "utf-8")
    return path


def small_study(
    folder: Path, arms: Sequence[Arm] = (Arm("tfidf"),), protocol: Protocol | None = None
) -> Study:
    """Return a study of these rows; by default TF-IDF alone, one seed."""
    return Study(
        title="Which crew?",
        model="embedded",
        data=DataSpec(str(write_rows(folder)), "order", "crew"),
        arms=tuple(arms),
        protocol=protocol or Protocol("quick", parallel_runs=1),
        gates=Gates(metric_min=0.6),
    )


def start_small_study(store: Store, folder: Path, num_seeds: int = 1) -> list[str]:
    """Queue a TF-IDF run per seed and return their ids in order."""
    protocol = Protocol("quick", seeds=tuple(range(num_seeds)), parallel_runs=1)
    study_id = store.create_study(small_study(folder, protocol=protocol))
    return [run.id for run in store.start_study(study_id)]
