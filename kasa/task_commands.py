"""The verbs about what a task needs and what it has learned: scores, cuts, exports."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from kasa.commands import DATA_OPTIONS, say, source_of, tell, writing
from kasa.data.card import prepare_study
from kasa.data.check import guessed_spec
from kasa.data.columns import guess_columns
from kasa.data.read import read_table
from kasa.dataspec import DataSpec
from kasa.errors import ModelError
from kasa.report.explain import sentences as explain_sentences
from kasa.report.model_card import model_card
from kasa.runs.again import reading, run_again, tuned_again
from kasa.runs.files import write_bytes
from kasa.runs.store import Store
from kasa.study import Protocol
from kasa.text import translator
from kasa.tuning.keys import check_kind

if TYPE_CHECKING:
    from kasa.spectral.importance import Scores
    from kasa.tuning.knowledge import Knowledge


def data_spec(args: argparse.Namespace) -> DataSpec:
    """Return the columns that the arguments name, the others as guessed."""
    chosen = {name: getattr(args, name) for name in DATA_OPTIONS}
    return guessed_spec(guess_columns(read_table(Path(args.data)).frame), args.data, **chosen)


def _knowledge(args: argparse.Namespace) -> tuple[Knowledge, list[Scores]]:
    """Load model and data, and score the components of the layers that were asked for."""
    from kasa.tuning.knowledge import Knowledge
    from kasa.tuning.outcome import split_parts
    from kasa.tuning.tasks import task_for
    from kasa.tuning.train import quiet_transformers

    quiet_transformers()
    protocol = Protocol("quick")
    prepared, _ = prepare_study(data_spec(args), protocol)
    parts = split_parts(prepared.rows, prepared.task)
    known = Knowledge(task_for(source_of(args.model), parts, protocol))
    wanted = tuple(args.targets or ())
    modules = [name for name in known.modules() if not wanted or name.endswith(wanted)]
    if not modules:
        kind = type(known.base).__name__
        raise ModelError("no_targets", model_type=kind, wanted=", ".join(wanted))
    return known, list(known.scores(modules, args.rows))


def importance(args: argparse.Namespace) -> dict[str, Any]:
    """Score every component of the base's linear layers from training rows."""
    import numpy as np

    _, scores = _knowledge(args)
    for own in scores:
        print(f"{own.module:60} {own.shape!s:14} {own.stability['first_order']:6.2f}")
    if args.out:
        arrays = {
            f"{own.module}/{name}": value
            for own in scores
            for name, value in (*own.values.items(), ("expected", own.expected))
        }
        with writing(Path(args.out)), Path(args.out).open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        tell(args, "cli.written", path=args.out)
    return {
        "rows": scores[0].num_rows,
        "modules": [
            {"module": own.module, "shape": list(own.shape), "stability": own.stability}
            for own in scores
        ],
    }


def sensitivity(args: argparse.Namespace) -> dict[str, Any]:
    """Remove components, measure the held-out loss, and propose the largest cut without harm."""
    from kasa.tuning import sensitivity as measured

    known, scores = _knowledge(args)
    part = known.parts.validation

    def progress(done: int, total: int) -> None:
        tell(args, "cli.measured", done=done, total=total)

    curves = list(
        measured.sensitivity(
            known, scores, part, scope=args.scope, tolerance=args.tolerance, progress=progress
        )
    )
    for curve in curves:
        rises = " ".join(f"{step.change:+.4f}" for step in curve.steps[1:])
        print(f"{curve.name:40} {curve.criterion:12} {curve.stable:6.3f}  {rises}")
    found = measured.plan(known, scores, part, tolerance=args.tolerance, budget=args.budget)
    if found.chosen is None:
        print(say(args, "cli.no_cut"))
    else:
        chosen = found.chosen
        facts = {"count": chosen.num_removed, "change": f"{chosen.step.change:+.4f}"}
        print(
            say(args, "cli.cut", **facts, criterion=chosen.criterion, loss=f"{found.base_loss:.4f}")
        )
    if args.out:
        plan = {module: list(own) for module, own in found.removed.items()}
        arm = {"method": "kasa", "plan_name": f"task-aware, {args.tolerance:g}", "plan": plan}
        with writing(Path(args.out)):
            Path(args.out).write_text(tomli_w.dumps({"arms": [arm]}), "utf-8")
        tell(args, "cli.written", path=args.out)
    return {"rows": len(part.rows), "curves": [asdict(c) for c in curves], "plan": asdict(found)}


def explain(args: argparse.Namespace) -> dict[str, Any]:
    """Say what training added, in which layers it sits, and what is lost without it."""
    from kasa.tuning.explain import explain as explained
    from kasa.tuning.train import quiet_transformers

    quiet_transformers()
    store = Store()
    run = run_again(store, args.run, source_of)

    def progress(done: int, total: int) -> None:
        tell(args, "cli.measured", done=done, total=total)

    arm = run.study.arms[run.arm_index]
    with reading(store, run, "explain"):
        found = explained(tuned_again(store, run), run.source, arm, run.record.id, progress)
    for sentence in explain_sentences(found, translator(args.lang), masked=run.study.data.mask):
        print(sentence)
    return {"run": run.record.id, "arm": run.record.arm, **found}


def export(args: argparse.Namespace) -> dict[str, Any]:
    """Write a tuned run as a model that others can load, with a card, proven by a fresh process."""
    from kasa.tuning import export as exporting
    from kasa.tuning.train import quiet_transformers

    quiet_transformers()
    store, out = Store(), Path(args.out)
    run = run_again(store, args.run, source_of)
    arm = run.study.arms[run.arm_index]
    check_kind(arm, args.kind, run.record.id)
    with reading(store, run, "export"), writing(out):
        tuned = tuned_again(store, run)
        found = exporting.export(tuned, run.source, arm, run.record.folder, args.kind, out)
        card = model_card(run.study, run.result, found.facts(), translator(args.lang))
        write_bytes(out / "README.md", card.encode())
    study_id = run.record.study_id
    store.ledger.note("export_written", study=study_id, run=run.record.id, format=args.kind)
    facts = {"count": found.num_texts, "deviation": f"{found.deviation:.1e}"}
    print(say(args, "export.written", path=str(out), **facts))
    return {"run": run.record.id, "folder": str(out), **found.facts()}
