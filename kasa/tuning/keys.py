"""What can be asked of a task and of a tuned run: usual settings, keys of jobs, kinds of export.

It is light, so that pages and the command line can say what is usual without loading a model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress

from kasa.arms import Arm
from kasa.errors import StoreError
from kasa.study import Study

# What a cut is asked about: all matrices, or each layer, kind of layer, or matrix on its own.
SCOPES = ("all", "layer", "kind", "matrix")
# A rise of the loss by this share of it is taken as none, unless the user says otherwise.
TOLERANCE = 0.02
# How many cuts a plan may try.
BUDGET = 32
# Methods whose change of a weight is a sum of a few components beside the untouched base.
LOW_RANK = ("kasa", "lora", "rslora")
EXPORTS = ("lora", "merged", "peft")
# What decides which rows score and measure, and how they are read.
READING = ("max_length", "validation_fraction", "test_fraction", "split_seed", "class_weights")


def answers_key(study_id: str) -> str:
    """Return the key of the job `answers`: a study keeps the answers to its last questions."""
    return f"answers:{study_id}"


def kasa_arm(study: Study) -> Arm:
    """Return the study's first KaSA arm, whose layers are looked at, or KaSA as it usually is."""
    return next((arm for arm in study.arms if arm.method == "kasa"), Arm("kasa"))


def knowledge_key(study: Study, tolerance: float) -> str:
    """Return the key of the job `knowledge`, which equal studies share.

    It holds model, data, division, layers and tolerance.
    """
    record = study.to_dict()
    facts = {
        "model": study.model,
        "data": {k: v for k, v in record["data"].items() if k != "path" or not study.data.sha256},
        "reading": {name: record["protocol"][name] for name in READING},
        "modules": kasa_arm(study).target_modules,
        "tolerance": tolerance,
    }
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    return f"knowledge:{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def check_kind(arm: Arm, kind: str, run: str) -> None:
    """Raise `StoreError` where an arm cannot be exported so."""
    if kind not in EXPORTS:
        raise StoreError("unknown_export", got=kind, wanted=", ".join(EXPORTS))
    if kind == "lora" and arm.method not in LOW_RANK:
        raise StoreError("export_not_low_rank", run=run, method=arm.method)
    if kind == "peft" and arm.method == "full":
        raise StoreError("export_no_adapter", run=run)
    usual_cut = arm.plan is None and not arm.spread and arm.components_to_remove == arm.rank
    follows_paper = arm.diagonal and usual_cut
    if kind == "peft" and arm.method == "kasa" and not follows_paper:
        raise StoreError("export_own_cut", run=run)


def possible_exports(arm: Arm) -> list[str]:
    """Return the kinds in which an arm can be exported."""
    found = []
    for kind in EXPORTS:
        with suppress(StoreError):
            check_kind(arm, kind, "-")
            found.append(kind)
    return found


def explain_key(run_id: str) -> str:
    """Return the key of the job `explain` for a run."""
    return f"explain:{run_id}"


def export_key(run_id: str, kind: str) -> str:
    """Return the key of the job `export` for a run and a kind."""
    return f"export:{run_id}:{kind}"


def keys_of_study(study_id: str, run_ids: Iterable[str]) -> list[str]:
    """Return the keys of all jobs that belong to a study and to its runs."""
    keys = [answers_key(study_id)]
    for run_id in run_ids:
        keys += [explain_key(run_id), *(export_key(run_id, kind) for kind in EXPORTS)]
    return keys
