"""Keys of jobs, and the usual settings of what asks for a task's knowledge.

It is light, so that pages and the command line can say what is usual without loading a model.
"""

from __future__ import annotations

import hashlib
import json

from kasa.arms import Arm
from kasa.study import Study

# What a cut is asked about: all matrices, or each layer, kind of layer, or matrix on its own.
SCOPES = ("all", "layer", "kind", "matrix")
# A rise of the loss by this share of it is taken as none, unless the user says otherwise.
TOLERANCE = 0.02
# How many cuts a plan may try.
BUDGET = 32
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
