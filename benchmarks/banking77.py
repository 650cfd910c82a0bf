"""KaSA, LoRA and both baselines on the first 30 intents of BANKING77.

300 training rows drawn with seeds 0, 1, 2 (the training seed is the same number), 90 further rows of the
training file for choosing, all test rows of those intents for reporting; the embedded model, standard
profile. Runs go through the studio's own queue and worker processes.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import tempfile
from pathlib import Path

from common import conditions, shared

INTENTS, TRAIN_ROWS, VALIDATION_ROWS = 30, 300, 90
ARMS = ("kasa", "lora", "frozen_head", "tfidf")


def read_rows(file: Path, intents: set[str] | None = None) -> list[tuple[str, str]]:
    """Return (text, intent) of a file, of all intents or those named."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = [(row["text"], row["category"]) for row in csv.DictReader(stream)]
    return [row for row in rows if intents is None or row[1] in intents]


def write_data(folder: Path, target: Path, seed: int) -> None:
    """Write one draw as a file with a column that says which part a row belongs to."""
    names = sorted({intent for _, intent in read_rows(folder / "train.csv")})[:INTENTS]
    pool = read_rows(folder / "train.csv", set(names))
    random.Random(seed).shuffle(pool)
    chosen = []
    for intent in names:  # the same number of rows an intent, as a stratified draw
        own = [row for row in pool if row[1] == intent]
        train = TRAIN_ROWS // INTENTS
        chosen += [(*row, "train") for row in own[:train]]
        chosen += [(*row, "validation") for row in own[train : train + VALIDATION_ROWS // INTENTS]]
    chosen += [(*row, "test") for row in read_rows(folder / "test.csv", set(names))]
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([("text", "intent", "part"), *chosen])


def main() -> None:
    """Run the draws and print a row per arm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--profile", default="standard")
    options = parser.parse_args()
    data = shared("data/banking77")
    with tempfile.TemporaryDirectory() as home:
        os.environ["KASA_HOME"] = home
        from kasa.arms import Arm
        from kasa.dataspec import DataSpec
        from kasa.runs.local import ensure_dispatcher
        from kasa.runs.records import FinishedRun
        from kasa.runs.store import Store
        from kasa.study import Protocol, Study

        store = Store()
        finished: list[FinishedRun] = []
        for seed in options.seeds:
            file = Path(home) / f"banking77-{seed}.csv"
            write_data(data, file, seed)
            study = Study(
                title=f"BANKING77, draw {seed}",
                model="embedded",
                # Near copies of test rows stay in training, as in published figures.
                data=DataSpec(
                    str(file), "text", "intent", "part", fixes=("conflicting_labels", "duplicate")
                ),
                arms=tuple(Arm(method) for method in ARMS),
                protocol=Protocol(options.profile, seeds=(seed,)),
            )
            study_id = store.create_study(study)
            store.start_study(study_id)
            finished += wait_for(store, study_id, ensure_dispatcher)
    print_table(finished)
    print(conditions("torch", "transformers", "peft", "scikit-learn"))


def wait_for(store, study_id, ensure_dispatcher):  # noqa: ANN001, ANN201
    """Return the finished runs of a study; a failed one stops the benchmark."""
    import time

    while any(run.active for run in store.runs(study_id)):
        ensure_dispatcher(store)
        time.sleep(1)
    for run in store.runs(study_id):
        if run.error is not None:
            raise SystemExit(run.error.message("en"))
    return store.finished_runs(study_id)


def print_table(finished) -> None:  # noqa: ANN001
    """Print mean test accuracy with each draw's, seconds and memory."""
    print(
        "| arm | test accuracy, mean | by seed | seconds a run | peak memory | learning rates chosen |"
    )
    print("|---|---|---|---|---|---|")
    for arm in dict.fromkeys(run.arm for run in finished):
        runs = [run for run in finished if run.arm == arm]
        values = [run.metrics["accuracy"] for run in runs]
        mean = sum(values) / len(values)
        by_seed = " / ".join(f"{value:.3f}" for value in values)
        spent = sum(run.total_seconds for run in runs) / len(runs)
        memory = max(run.peak_memory_bytes for run in runs) / 1e9
        chosen = " / ".join(f"{next(iter(run.selected.values())):g}" for run in runs)
        print(f"| {arm} | {mean:.4f} | {by_seed} | {spent:.0f} | {memory:.2f} GB | {chosen} |")


if __name__ == "__main__":
    main()
