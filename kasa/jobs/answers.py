"""The job `answers`: what the base, the tuned runs and TF-IDF answer to somebody's questions."""

from __future__ import annotations

import gc
import time
from functools import cache
from pathlib import Path
from typing import Any

from kasa.data.personal import find_personal
from kasa.model.source import ModelSource, resolve_model
from kasa.runs.again import run_again
from kasa.runs.job import Job
from kasa.runs.store import Store
from kasa.study import Study, study_from_dict
from kasa.tuning.addition import updates_of
from kasa.tuning.answers import Answers
from kasa.tuning.baselines import fit_tfidf
from kasa.tuning.excited import Span, excitations, speakers
from kasa.tuning.explain import place_of
from kasa.tuning.heads import HeadTask
from kasa.tuning.keys import LOW_RANK
from kasa.tuning.outcome import Part, Parts, asked_part, split_parts
from kasa.tuning.predict import Tuned, load_base, load_tuned
from kasa.tuning.train import quiet_transformers

# On how many questions it is said which components spoke; so many fit on the page.
MOST_LISTENED = 100


def execute(job: Job) -> dict[str, Any]:
    """Answer every question with the untouched base, each chosen run, and TF-IDF.

    `config`: study, study_id, runs (ids), questions (each a list of its pieces). One model is in
    memory at a time. Rows and their parts are those that the runs were trained on.
    """
    started, store = time.perf_counter(), Store()
    study_id = job.config["study_id"]
    study = study_from_dict(job.config["study"])
    job.progress(0, 1, phase="prepare")
    quiet_transformers()

    @cache
    def source_of(name: str) -> ModelSource:
        return resolve_model(name, hub_access=bool(job.config.get("hub_access")))

    runs = [run_again(store, run_id, source_of) for run_id in job.config["runs"]]
    source = source_of(study.model)
    parts = split_parts(store.rows(study_id), study.task)
    part = asked_part(study.data, parts, job.config["questions"])
    methods: list[dict[str, Any]] = []
    total = len(runs) + 2

    def step(phase: str, **info: Any) -> None:
        gc.collect()
        job.stop_if_asked()
        job.progress(len(methods), total, phase=phase, **info)

    def keep(method: str, answers: Answers, **info: Any) -> None:
        methods.append({"method": method, **info, "answers": answers.records()})

    step("base")
    keep(*_base(source, study, parts, part, store.study_folder(study_id) / "features"))
    step("tfidf")
    keep("tfidf", fit_tfidf(parts, class_weights=study.protocol.class_weights).answers(part))
    for run in runs:
        facts: dict[str, Any] = {"arm": run.record.arm, "seed": run.record.seed}
        step("run", **facts)
        tuned = load_tuned(run.source, run.study, parts, run.arm_index, run.record.folder)
        answers = tuned.answers(part)
        if run.record.method in LOW_RANK:
            facts["spoke"] = _spoke(tuned, part, masked=study.data.mask)
        keep(str(run.record.method), answers, run=run.record.id, **facts)
    return {
        "task": study.task,
        "methods": methods,
        "total_seconds": time.perf_counter() - started,
        "conditions": {"model_sha256": source.sha256, "data_sha256": study.data.sha256},
    }


def _base(
    source: ModelSource, study: Study, parts: Parts, part: Part, features: Path
) -> tuple[str, Answers]:
    """Return which method of the study's own the untouched base amounts to, and its answers."""
    base = load_base(source, study, parts, features)
    name = "frozen_head" if isinstance(base.task, HeadTask) else "zero_shot"
    return name, base.answers(part)


def _spoke(tuned: Tuned, part: Part, *, masked: bool) -> list[list[dict[str, Any]]]:
    """Return which components of the addition speak loudest on each of the first questions."""
    few = part.take(range(min(MOST_LISTENED, len(part.rows))))
    updates = updates_of(tuned.model)
    places = {name: place_of(tuned.model, name) for name in updates}
    return [
        [
            {
                "module": own.module,
                "layer": places[own.module],
                "number": own.number,
                "share": own.share,
                "word": _word(few, row, own.span, masked=masked),
            }
            for own in speakers(heard, updates)
        ]
        for row, heard in enumerate(excitations(tuned.task, tuned.model, few, updates))
    ]


def _word(part: Part, row: int, span: Span | None, *, masked: bool) -> str | None:
    """Return the word in a span; None for none, and for likely personal data to be hidden."""
    if span is None:
        return None
    others = part.choices[row] if part.choices else part.seconds[row : row + 1]
    (piece, start, end), pieces = span, (part.texts[row], *others)
    found = find_personal(pieces[piece]) if masked else []
    if any(start < each.end and each.start < end for each in found):
        return None
    return pieces[piece][start:end]
