"""Can KaSA be made better than LoRA? Cuts, beginnings and ranks read off the task, on six datasets.

Every arm has the same two learning rates, epochs and three seeds, through the studio's own queue; what wins is said on
validation, what it is worth on test, with the comparison engine's verdict against LoRA of the same rank. The task-aware
cut is the one that the Task knowledge page proposes: the largest shown to cost no more than 2 % of the loss. With
`--attempts kept` (the usual) those that won on the validation rows of fmc_mwo2kg run beside KaSA, LoRA and the frozen
base, with `all` the others too, with `none` none.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from banking77 import wait_for
from banking77 import write_data as write_banking77
from common import ROOT, conditions, shared

RATES = (3e-3, 5e-3)
PARTS = ("train", "validation", "test")


def write_parts(target: Path, header: tuple[str, ...], parts: dict[str, list[tuple]]) -> None:
    """Write rows with a last column that says which part each belongs to."""
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow((*header, "part"))
        writer.writerows((*row, part) for part, rows in parts.items() for row in rows)


def banking77(target: Path) -> dict:
    """30 intents: 300 rows to train, 90 to choose, all test rows of the intents."""
    write_banking77(shared("data/banking77"), target, 0)
    return {"text": "text", "label": "intent", "split": "part"}


def failure_modes(target: Path) -> dict:
    """fmc_mwo2kg: 400 of the training rows to train, its other 102 to choose, dev and test to report."""
    folder, rows = shared("data/fmc_mwo2kg"), {}
    for name in ("train", "dev", "test"):
        lines = (folder / f"{name}.txt").read_text("utf-8").splitlines()
        rows[name] = [tuple(line.rsplit(",", 1)) for line in lines if "," in line]
    random.Random(0).shuffle(rows["train"])
    parts = (rows["train"][:400], rows["train"][400:], rows["dev"] + rows["test"])
    write_parts(target, ("text", "mode"), dict(zip(PARTS, parts, strict=True)))
    return {"text": "text", "label": "mode", "split": "part"}


def arc_easy(target: Path) -> dict:
    """100 questions to train, 50 to choose, 200 of the test file to report."""
    folder, found = shared("data/arc_easy"), {}
    for name in ("train", "test"):
        rows = []
        for record in json.loads((folder / f"{name}.json").read_text("utf-8")):
            question, offered = record["instruction"].split("\n\n")[:2]
            choices = [piece.strip() for piece in re.split(r"Answer\d: ", offered)[1:]]
            right = int(record["answer"].removeprefix("answer")) - 1
            if 0 <= right < len(choices) and len(set(choices)) == len(choices):
                text = question.split("question: ", 1)[-1]
                rows.append((text, json.dumps(choices), choices[right]))
        random.Random(0).shuffle(rows)
        found[name] = rows
    parts = (found["train"][:100], found["train"][100:150], found["test"][:200])
    write_parts(target, ("question", "choices", "answer"), dict(zip(PARTS, parts, strict=True)))
    return {"prompt": "question", "choices": ("choices",), "answer": "answer", "split": "part"}


def jsts(target: Path) -> dict:
    """120 Japanese pairs to train, 60 to choose, 300 of the test file to report."""
    folder, found = shared("data/jsts"), {}
    for name in ("valid", "test"):
        lines = (folder / f"{name}-v1.3.json").read_text("utf-8").splitlines()
        records = [json.loads(line) for line in lines if line.strip()]
        rows = [(own["sentence1"], own["sentence2"], own["label"]) for own in records]
        random.Random(0).shuffle(rows)
        found[name] = rows
    parts = (found["valid"][:120], found["valid"][120:180], found["test"][:300])
    write_parts(target, ("first", "second", "score"), dict(zip(PARTS, parts, strict=True)))
    return {"text": "first", "second_text": "second", "score": "score", "split": "part"}


def sample(name: str, text: str, label: str) -> Callable[[Path], dict]:
    """Return a writer of one of the project's own sample files, divided by the studio."""

    def write(target: Path) -> dict:
        target.write_bytes((ROOT / "sample_data" / name).read_bytes())
        return {"text": text, "label": label}

    return write


DATASETS = {
    "fmc_mwo2kg": failure_modes,
    "banking77-30": banking77,
    "work_orders_en": sample("work_orders_en.csv", "text", "crew"),
    "inspection_notes_ja": sample("inspection_notes_ja.csv", "所見", "不良区分"),
    "jsts": jsts,
    "arc_easy": arc_easy,
}


def arms_for(planned: dict[str, list[int]], attempts: str) -> dict:
    """Return the arms by what they are called in the table."""
    from kasa.arms import Arm

    named = {
        "LoRA": Arm("lora"),
        "KaSA, paper": Arm("kasa"),
        "KaSA, no cut": Arm("kasa", removed_components=0),
        "frozen base": Arm("frozen_head"),
    }
    if attempts != "none":
        named |= {
            "LoRA, gradient, ranks spread": Arm("lora", start="gradient", spread=True),
            "KaSA, removed directions": Arm("kasa", start="removed"),
        }
    if attempts == "all":
        named |= {
            "LoRA, gradient": Arm("lora", start="gradient"),
            "LoRA, task's directions": Arm("lora", start="aligned"),
            "KaSA, no cut, gradient": Arm("kasa", removed_components=0, start="gradient"),
        }
    if planned:
        own = {"plan": planned, "plan_name": "task-aware"}
        named["KaSA, task-aware cut"] = Arm("kasa", **own)
    if planned and attempts != "none":
        begun = Arm("kasa", start="gradient", spread=True, **own)
        named["KaSA, task-aware cut, gradient, ranks spread"] = begun
    return named


def task_cut(store, study, ensure_dispatcher) -> dict[str, list[int]]:  # noqa: ANN001
    """Return the cut that the Task knowledge page proposes for a study."""
    import time

    from kasa.tuning.keys import TOLERANCE, knowledge_key

    config = {"study": study.to_dict(), "tolerance": TOLERANCE}
    job = store.enqueue("knowledge", config, knowledge_key(study, TOLERANCE))
    while store.run(job.id).active:
        ensure_dispatcher(store)
        time.sleep(1)
    plan = store.result(job.id)["measured"]["plan"]
    return {module: list(own) for module, own in plan["removed"].items()}


def carry_out(name: str, home: Path, options: argparse.Namespace) -> None:
    """Run one dataset's study and print its table."""
    from dataclasses import replace

    from kasa.dataspec import DataSpec
    from kasa.runs.local import ensure_dispatcher
    from kasa.runs.store import Store
    from kasa.study import Protocol, Study
    from kasa.verdict.compare import runs_by_arm
    from kasa.verdict.evidence import gather

    store, file = Store(), home / f"{name}.csv"
    spec = DataSpec(str(file), **DATASETS[name](file), fixes=("duplicate", "conflicting_labels"))
    budget = {"learning_rates": RATES, "epochs": options.epochs}
    protocol = Protocol("standard", parallel_runs=options.places, **budget)
    study = Study(title=name, model="embedded", data=spec, protocol=protocol)
    planned = task_cut(store, study, ensure_dispatcher)
    named = arms_for(planned, options.attempts)
    study = replace(study, arms=tuple(named.values()))
    study_id = store.create_study(study)
    store.start_study(study_id)
    wait_for(store, study_id, ensure_dispatcher)
    found, metric = gather(store, study_id), study.metric
    runs, names = runs_by_arm(found.finished), dict(zip(named, study.arm_names(), strict=True))
    count = sum(map(len, planned.values()))
    print(f"\n### {name}: {metric}, {found.card.sizes}, task-aware cut {count} components\n")
    print("| arm | validation | test | seeds | rates | − LoRA (95 %) | verdict |")
    print("|---|---|---|---|---|---|---|")
    for called, arm in names.items():
        own = runs[arm]
        tested = [run.metrics[metric] for run in own]
        chosen = sum(run.validation[metric] for run in own) / len(own)
        rates = " ".join(f"{next(iter(run.selected.values())):g}" for run in own)
        verdict = found.verdict_between(arm, names["LoRA"], metric)
        low, high = verdict.interval if verdict else (0.0, 0.0)
        said = f"{verdict.difference:+.4f} ({low:+.4f} … {high:+.4f})" if verdict else "–"
        print(
            f"| {called} | {chosen:.4f} | {sum(tested) / len(tested):.4f} | "
            f"{' '.join(f'{value:.4f}' for value in tested)} | {rates} | {said} | "
            f"{verdict.verdict if verdict else '–'} |",
            flush=True,
        )


def main() -> None:
    """Run the datasets that were asked for, one after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--places", type=int, default=2, help="runs at a time")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--attempts", choices=("none", "kept", "all"), default="kept")
    parser.add_argument("--home", type=Path, help="keep the studies and runs in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as thrown_away:
        home = (options.home or Path(thrown_away)).resolve()
        home.mkdir(parents=True, exist_ok=True)
        os.environ["KASA_HOME"] = str(home)
        for name in options.datasets:
            carry_out(name, home, options)
    print(conditions("torch", "transformers", "peft", "scikit-learn"))


if __name__ == "__main__":
    main()
