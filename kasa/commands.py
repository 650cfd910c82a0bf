"""What each verb of the command line does: prints for people, returns the JSON document."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from kasa.data.check import check_file
from kasa.dataspec import DELIMITERS, ENCODINGS, Reading
from kasa.errors import StoreError, StudyError
from kasa.model.source import ModelSource, model_facts, resolve_model
from kasa.model.weights import linear_weights
from kasa.report.decision import decision_message
from kasa.report.headline import headline
from kasa.report.labels import metric_words
from kasa.runs import schedule
from kasa.runs.again import reading, run_again
from kasa.runs.local import ensure_dispatcher
from kasa.runs.records import RunRecord
from kasa.runs.store import Store
from kasa.spectral.spectrum import Spectrum, effective_rank, save_spectra, stable_rank
from kasa.spectral.stream import METHODS, Progress, analyse
from kasa.spectral.truncation import CRITERIA, Options, plan_to_toml, propose
from kasa.study import Study, load_study
from kasa.text import Translator, translator
from kasa.tuning.estimate import extrapolate, probe_key, study_memory_bytes, study_seconds
from kasa.tuning.measure import machine
from kasa.tuning.room import fits, fitting_change
from kasa.verdict.costs import run_cost
from kasa.verdict.decision import decide
from kasa.verdict.evidence import Evidence, gather
from kasa.verdict.facts import evidence_to_dict

CRITERION_NAMES = tuple(CRITERIA)
SPECTRUM_METHODS = METHODS
POLL_SECONDS = 0.3
ENCODING_NAMES, DELIMITER_NAMES = ENCODINGS, DELIMITERS
QUEUE_ACTIONS: dict[str, Callable[[Store, str], None]] = {
    "pause": schedule.pause,
    "go_on": schedule.go_on,
    "stop": Store.stop_study,
    "stop_after": schedule.stop_waiting,
    **{name: partial(schedule.move, places=places) for name, places in schedule.MOVES.items()},
}
QUEUE_HELP = {
    "pause": "hold a study back; its run at work goes on from its checkpoint later",
    "go_on": "let a paused study work again",
    "stop": "stop a study now",
    "stop_after": "stop a study after its run at work",
    "front": "move a study's waiting runs to the front",
    "earlier": "move a study's waiting runs before the study ahead of it",
    "later": "move a study's waiting runs behind the study after it",
}
COLUMN_OPTIONS = {
    "text": "the column with the text",
    "label": "the column with the right answer",
    "second_text": "the second text of a pair",
    "score": "the column with a number to predict",
    "prompt": "the column with what is asked",
    "answer": "the column with what should be answered",
    "group": "the column with a group, such as a machine",
    "date": "the column with a date",
    "split": "the column that says training, validation or test",
}


DATA_OPTIONS = (*COLUMN_OPTIONS, "choices")


def say(args: argparse.Namespace, key: str, **values: Any) -> str:
    """Return a sentence in the language that was asked for."""
    return translator(args.lang)(key, **values)


def tell(args: argparse.Namespace, key: str, **values: Any) -> None:
    """Print a sentence to stderr at once."""
    print(say(args, key, **values), file=sys.stderr, flush=True)


def source_of(name: str) -> ModelSource:
    """Return a model by name; the hub is asked only where it was switched on."""
    hub = os.environ.get("KASA_HUB") == "1" or Store().hub_access()
    return resolve_model(name, hub_access=hub)


def _spectra(args: argparse.Namespace, source: ModelSource, method: str) -> list[Spectrum]:
    """Analyse a model, telling after each matrix how long the rest will take."""
    started = time.monotonic()

    def show(step: Progress) -> None:
        spent = time.monotonic() - started
        left = translator(args.lang).seconds(spent / step.share - spent) if step.share else "?"
        facts = {"done": step.done, "total": step.total, "name": step.module, "left": left}
        tell(args, "cli.progress", **facts)

    keep = Store().spectra_folder(source.sha256)
    return analyse(source, method=method, keep=keep, progress=show)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make the folder to write into; what the system refuses is explained."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        detail = error.strerror or str(error)
        raise StoreError("cannot_write", path=str(path), detail=detail) from error


def spectrum(args: argparse.Namespace) -> dict[str, Any]:
    """Measure every linear weight's singular values; optionally write them as npz."""
    source = source_of(args.model)
    spectra = _spectra(args, source, args.method)
    if args.out:
        with writing(Path(args.out)):
            save_spectra(Path(args.out), spectra)
        tell(args, "cli.written", path=args.out)
    stored = {info.module: info for info in linear_weights(source)}
    matrices = [
        {
            "module": s.module,
            "shape": list(s.shape),
            "transposed": stored[s.module].transposed,
            "fused": stored[s.module].fused,
            "effective_rank": effective_rank(s.singular_values),
            "stable_rank": stable_rank(s.singular_values),
            "largest": float(s.singular_values[0]),
            "smallest": float(s.singular_values[-1]),
        }
        for s in spectra
    ]
    for m in matrices:
        print(
            f"{m['module']:60} {m['shape']!s:14} {m['effective_rank']:9.1f} {m['stable_rank']:8.1f}"
        )
    skipped = [{"name": t.name, "reason": t.reason} for t in model_facts(source).skipped]
    return {
        "model_sha256": source.sha256,
        "method": args.method,
        "out": args.out,
        "matrices": matrices,
        "skipped": skipped,
    }


def propose_plan(args: argparse.Namespace) -> dict[str, Any]:
    """Propose, by one criterion, which singular components each weight loses."""
    source = source_of(args.model)
    options = Options(args.rank, args.tau)
    spectra = _spectra(args, source, "exact")
    plan = propose(spectra, args.criterion, args.model, options)
    text = plan_to_toml(plan)
    if args.out:
        with writing(Path(args.out)):
            Path(args.out).write_text(text, "utf-8")
        tell(args, "cli.written", path=args.out)
    else:
        print(text)
    weights = [{"module": module, **vars(cut)} for module, cut in plan.cuts.items()]
    return {"model_sha256": source.sha256, "criterion": args.criterion, "weights": weights}


def check_data(args: argparse.Namespace) -> dict[str, Any]:
    """Check a data file: format, encoding, columns, task and row-level problems."""
    reading = Reading(args.encoding, args.delimiter, args.sheet, args.header_row)
    chosen = {name: getattr(args, name) for name in (*COLUMN_OPTIONS, "choices", "template")}
    if args.fixes and args.fixes != "recommended":
        chosen["fixes"] = tuple(n.strip() for n in args.fixes.split(",") if n.strip() != "none")
    found = check_file(Path(args.file), args.lang, reading=reading, **chosen)
    print(say(args, "cli.data", **{k: found[k] for k in ("format", "encoding", "rows")}))
    for info in found["columns"]:
        role = say(args, f"data.roles.{info['role']}")
        print(f"  {info['name']}: {role} ({info['num_values']}) {info['reason']}")
    for problem in found["problems"]:
        rows = ", ".join(map(str, problem["rows"][:10]))
        name = say(args, f"data.problems.{problem['kind']}.name")
        treatment = say(args, f"data.treatments.{problem['treatment']}")
        facts = {"name": name, "count": problem["count"], "treatment": treatment, "rows": rows}
        print(
            "  " + say(args, "cli.problem", **facts, reason=problem["reason"], fix=problem["fix"])
        )
    return found


def estimate(args: argparse.Namespace) -> dict[str, Any]:
    """Measure a few steps of every arm and foretell time, memory and money of the study."""
    store = Store()
    study = store.settled(load_study(Path(args.study)))
    key = probe_key(study)
    record = store.latest(key)
    if record is None or record.status != "finished":
        record = store.enqueue("estimate", {"study": study.to_dict()}, key)
        record = _wait(args, store, [record])[0]
    if record.error is not None:
        raise record.error
    result = store.result(record.id)
    if result is None:
        raise StoreError("result_missing", run=record.id)
    arms = []
    text = translator(args.lang)
    estimates = extrapolate(study, result["measured"])
    for arm in estimates:
        money = run_cost(arm.total_seconds, study)
        arms.append({**vars(arm), "total_seconds": arm.total_seconds, "money": money})
        cost = text.money(money, study.prices.currency)
        memory = text.bytes(arm.peak_memory_bytes)
        print(f"{arm.arm:16} {text.seconds(arm.total_seconds):>14} {memory:>10} {cost:>10}")
    peak, available = study_memory_bytes(estimates, study), int(machine()["memory_bytes"])
    change = None
    if not fits(peak, available):
        found = fitting_change(study, result["measured"], available)
        change = vars(found) if found else {}
    return {
        "arms": arms,
        "total_seconds": study_seconds(estimates, study),
        "peak_memory_bytes": peak,
        "memory_bytes": available,
        "change_to_fit": change,
        "money": sum(arm["money"] for arm in arms),
        "currency": study.prices.currency,
        "probe": record.id,
    }


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Carry a study out to its verdict; finished runs are kept, interrupted ones go on."""
    store = Store()
    study = store.settled(load_study(Path(args.study)))
    study_id = _resumable(store, study) or store.create_study(study)
    store.update_study(study_id, study)
    tell(args, "cli.study", study=study_id)
    # What an earlier interruption is still stopping ends first; only then can it start again.
    while any(each.status == "stopping" for each in store.start_study(study_id)):
        ensure_dispatcher(store)
        time.sleep(POLL_SECONDS)
    schedule.go_on(store, study_id)
    for each in store.runs(study_id):
        store.retry(each.id)
    ensure_dispatcher(store)
    with _stopped_on_interrupt(store, study_id):
        runs = _wait(args, store, store.runs(study_id))
    evidence = gather(store, study_id)
    _print_evidence(args, evidence)
    failed = any(each.status != "finished" for each in runs)
    return evidence_to_dict(evidence) | ({"exit_code": 1} if failed else {})


def _resumable(store: Store, study: Study) -> str | None:
    """Return the study that asks for the same runs, unless the model has changed since."""
    study_id = store.find_study(study)
    if study_id is None:
        return None
    now = source_of(study.model).sha256
    done = [each.id for each in store.runs(study_id) if store.has_result(each.id)]
    results = [store.result(run_id) for run_id in done]
    then = {each["conditions"]["model_sha256"] for each in results if each is not None}
    return study_id if then <= {now} else None


@contextmanager
def _stopped_on_interrupt(store: Store, study_id: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        store.stop_study(study_id)
        raise


def _wait(args: argparse.Namespace, store: Store, runs: list[RunRecord]) -> list[RunRecord]:
    """Wait until every run has ended, telling each change of status once."""
    told: dict[str, str] = {}
    while True:
        now = [store.run(each.id) for each in runs]
        for each in now:
            if told.get(each.id) != each.status:
                told[each.id] = each.status
                name = each.kind if each.arm is None else f"{each.arm} seed {each.seed}"
                status = say(args, f"report.status.{each.status}")
                tell(args, "cli.run", name=name, status=status)
                if each.error is not None:
                    print(each.error.message(args.lang), file=sys.stderr, flush=True)
        if not any(each.active for each in now):
            return now
        ensure_dispatcher(store)
        time.sleep(POLL_SECONDS)


def study_id_of(store: Store, name: str) -> str:
    """Return the id that a study id or the path of a study file stands for."""
    if not name.endswith(".toml"):
        return store.study(name).id
    study_id = store.find_study(store.settled(load_study(Path(name))))
    if study_id is None:
        raise StudyError("study_not_run", path=name)
    return study_id


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Print a study's table, its verdict and the recommendation."""
    store = Store()
    evidence = gather(store, study_id_of(store, args.study))
    _print_evidence(args, evidence)
    return evidence_to_dict(evidence)


def _print_evidence(args: argparse.Namespace, evidence: Evidence) -> None:
    text: Translator = translator(args.lang)
    for arm in evidence.summaries:
        value = metric_words(evidence.metric, arm.metrics[evidence.metric].mean, text)
        seconds = text.seconds(arm.train_seconds)
        memory = text.bytes(arm.peak_memory_bytes)
        print(f"{arm.arm:16} {evidence.metric} {value:>7}  {seconds:>12}  {memory:>9}")
    words = headline(evidence, text)
    for sentence in (*words.sentences, *words.cautions):
        print(sentence)
    if evidence.summaries:
        print(decision_message(decide(evidence), evidence, text))


def queue(args: argparse.Namespace) -> dict[str, Any]:
    """Pause, stop or move a study where that is asked; then tell what works and what waits."""
    store = Store()
    for name, act in QUEUE_ACTIONS.items():
        if study := getattr(args, name):
            act(store, study_id_of(store, study))
    ensure_dispatcher(store)
    active = [run for run in store.active_runs() if run.kind == "run"]
    studies = []
    for study_id in dict.fromkeys(str(run.study_id) for run in active):
        states = [run.status for run in active if run.study_id == study_id]
        facts = {
            "study": study_id,
            "title": store.study(study_id).study.title,
            "paused": schedule.is_paused(store, study_id),
            "at_work": len(states) - states.count("queued"),
            "waiting": states.count("queued"),
        }
        studies.append(facts)
        print(say(args, "cli.queue_paused" if facts["paused"] else "cli.queue", **facts))
    if not studies:
        print(say(args, "cli.queue_empty"))
    return {"studies": studies}


def predict(args: argparse.Namespace) -> dict[str, Any]:
    """Predict new texts with a tuned run and, beside it, with its untouched base."""
    from kasa.tuning.outcome import split_parts
    from kasa.tuning.predict import predict_base, predict_tuned

    store = Store()
    run = run_again(store, args.run, source_of)
    record, study, source = run.record, run.study, run.source
    with reading(store, run, "answers"):
        parts = split_parts(store.rows(str(record.study_id)), study.task)
        tuned = predict_tuned(source, study, parts, run.arm_index, record.folder, args.texts)
        base = predict_base(source, study, parts, args.texts)
    answers = [
        {"text": text, "tuned": after, "base": before}
        for text, after, before in zip(args.texts, tuned, base, strict=True)
    ]
    for answer in answers:
        shown = {k: _answer_words(answer[k]) for k in ("tuned", "base")}
        print(say(args, "cli.prediction", text=answer["text"], **shown))
    return {"run": record.id, "arm": record.arm, "predictions": answers}


def _answer_words(answer: dict[str, Any]) -> str:
    sure = f" ({answer['confidence']:.2f})" if "confidence" in answer else ""
    return f"{answer['label']}{sure}"


VERBS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "spectrum": spectrum,
    "propose": propose_plan,
    "check-data": check_data,
    "estimate": estimate,
    "run": run,
    "queue": queue,
    "compare": compare,
    "predict": predict,
}
