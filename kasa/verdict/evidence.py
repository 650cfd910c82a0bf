"""Everything a page, a report or `compare --json` says about one study, gathered once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Protocol

import pandas as pd

from kasa.arms import METHODS
from kasa.data.card import DatasetCard
from kasa.data.personal import mask_personal, masked_labels
from kasa.data.rows import INPUTS, TARGETS
from kasa.runs.ledger import Entry, Standing
from kasa.runs.records import FinishedRun, RunRecord, StudyRecord
from kasa.study import Study
from kasa.verdict.collateral import Harm, HarmGap, harm_gaps, harms
from kasa.verdict.compare import (
    CLASS_TASKS,
    ArmSummary,
    Verdict,
    arm_interval,
    compare_all,
    disagreements,
    runs_by_arm,
    summarise,
)
from kasa.verdict.curves import CurveSet, curve_sets
from kasa.verdict.gates import GateResult, check_gates
from kasa.verdict.resample import Replicates, replicates
from kasa.verdict.robustness import Share, never_right, shares_right

CLOCK = ("started_at", "finished_at")
MOST_GROUPS = 30
NO_LEDGER = Standing()


class EvidenceStore(Protocol):
    """What `gather` asks of a store."""

    def study(self, study_id: str) -> StudyRecord:
        """Return the study."""
        ...

    def runs(self, study_id: str) -> list[RunRecord]:
        """Return its runs, whatever their status."""
        ...

    def finished_runs(self, study_id: str) -> list[FinishedRun]:
        """Return the measurements of its finished runs."""
        ...

    def rows(self, study_id: str, *, need_texts: bool = True) -> pd.DataFrame:
        """Return its usable rows: row, the task's inputs and target, part.

        Without `need_texts`, the test rows with empty inputs are enough.
        """
        ...

    def card(self, study_id: str) -> DatasetCard:
        """Return what its data is and what was done to it."""
        ...

    def ledger_entries(self, study_id: str) -> list[Entry]:
        """Return what the log of data handling says about it and its files, oldest first."""
        ...

    def ledger_standing(self) -> Standing:
        """Return how that log stands as a whole."""
        ...


# Compared as one and the same, so that what is made of it can be kept as long as it is.
@dataclass(frozen=True, eq=False)
class Evidence:
    """One study with its runs, summaries, verdicts and gates.

    `finished` are the runs of the judged arms, which everything but `curves` is about; `curve_runs`
    those of the points of learning curves and noise curves.
    `verdicts` holds every pair of arms with a seed in common, for the study's gate metric first and
    then the other: KaSA against LoRA, tuned arms against the frozen base, all against TF-IDF, then
    the rest. `classes` says how much of every class each arm finds, `groups` how often it is right
    in each of the data's groups, and `never_right` which test rows no run answers; all are empty
    where answers are no classes. `harms` and `harm_gaps` say what tuning did to text unlike the
    task. `intervals` are the 95 % intervals of the arms' means, by metric
    and arm. `conditions` are the ones all runs share, by dotted name; `differing` maps the others
    to value -> run ids. `handling` are the entries about the study in the log of data handling,
    `ledger` says how that log stands as a whole.
    """

    record: StudyRecord
    runs: tuple[RunRecord, ...]
    finished: tuple[FinishedRun, ...]
    curve_runs: tuple[FinishedRun, ...]
    summaries: tuple[ArmSummary, ...]
    verdicts: tuple[Verdict, ...]
    gates: tuple[GateResult, ...]
    intervals: dict[str, dict[str, tuple[float, float]]]
    card: DatasetCard
    disagreements: pd.DataFrame
    classes: dict[str, dict[str, Share]]
    groups: dict[str, dict[str, Share]]
    never_right: pd.DataFrame
    curves: tuple[CurveSet, ...]
    harms: tuple[Harm, ...]
    harm_gaps: tuple[HarmGap, ...]
    conditions: dict[str, Any]
    differing: dict[str, dict[str, tuple[str, ...]]]
    handling: tuple[Entry, ...] = ()
    ledger: Standing = NO_LEDGER

    @property
    def study(self) -> Study:
        """The study's settings."""
        return self.record.study

    @property
    def all_finished(self) -> tuple[FinishedRun, ...]:
        """Every finished run, the judged arms' first."""
        return self.finished + self.curve_runs

    @property
    def metric(self) -> str:
        """The metric that decides."""
        return self.study.metric

    @property
    def failed(self) -> tuple[RunRecord, ...]:
        """Runs that ended without a result."""
        return tuple(run for run in self.runs if run.status in {"failed", "cancelled", "lost"})

    @property
    def active(self) -> tuple[RunRecord, ...]:
        """Runs that wait or work."""
        return tuple(run for run in self.runs if run.active)

    @property
    def missing_arms(self) -> tuple[str, ...]:
        """Arms of the study without a single finished run."""
        done = {summary.arm for summary in self.summaries}
        return tuple(arm for arm in self.study.named_arms(judged=True) if arm not in done)

    @property
    def indicative(self) -> bool:
        """Whether some arm with results has one seed only."""
        return any(summary.num_seeds == 1 for summary in self.summaries)

    @property
    def main_verdict(self) -> Verdict | None:
        """The verdict the study is about: KaSA against LoRA where both have results."""
        return self.verdicts[0] if self.verdicts else None

    def verdict(self, a: str, b: str, metric: str | None = None) -> Verdict | None:
        """Return the verdict on arm a against arm b, if there is one."""
        wanted = (a, b, metric or self.metric)
        return next((v for v in self.verdicts if (v.a, v.b, v.metric) == wanted), None)

    def verdict_between(self, a: str, b: str, metric: str | None = None) -> Verdict | None:
        """Return the verdict on arm a against arm b, whichever way round it was made."""
        found, other = self.verdict(a, b, metric), self.verdict(b, a, metric)
        return found if found is not None or other is None else other.mirrored()


def gather(store: EvidenceStore, study_id: str) -> Evidence:
    """Return the evidence of a started study as it stands now, finished or not.

    Raises `StoreError` for an unknown study and for one that was not started.
    """
    return build_evidence(
        store.study(study_id),
        store.runs(study_id),
        store.finished_runs(study_id),
        store.rows(study_id, need_texts=False),
        store.card(study_id),
        store.ledger_entries(study_id),
        store.ledger_standing(),
    )


def build_evidence(
    record: StudyRecord,
    runs: Sequence[RunRecord],
    finished: Sequence[FinishedRun],
    rows: pd.DataFrame,
    card: DatasetCard,
    handling: Sequence[Entry] = (),
    ledger: Standing = NO_LEDGER,
) -> Evidence:
    """Return the evidence from a study's records; arms in the study's order, seeds ascending."""
    task = record.study.task
    groups = _test_groups(rows, masked=record.study.data.mask)
    rows = shown_rows(rows, task)
    if record.study.data.mask:
        finished, rows, card = _masked(finished, rows, card, task)
    order = {arm: place for place, arm in enumerate(record.study.arm_names())}
    ordered = sorted(finished, key=lambda run: (order[run.arm], run.seed))
    judged_arms = record.study.named_arms(judged=True)
    judged = [run for run in ordered if run.arm in judged_arms]
    summaries = summarise(judged, task)
    common, differing = split_conditions(ordered)
    all_by_arm, by_arm = runs_by_arm(ordered), runs_by_arm(judged)
    drawn = {
        metric: replicates(all_by_arm, metric) for metric in record.study.metrics if all_by_arm
    }
    return Evidence(
        record=record,
        runs=tuple(runs),
        finished=tuple(judged),
        curve_runs=tuple(run for run in ordered if run.arm not in judged_arms),
        summaries=tuple(summaries),
        verdicts=tuple(_verdicts(record.study, by_arm, drawn)),
        gates=tuple(check_gates(record.study, summaries, judged)),
        intervals={
            metric: {arm: arm_interval(arms[arm]) for arm in by_arm}
            for metric, arms in drawn.items()
        },
        card=card,
        disagreements=disagreements(judged, rows, task),
        classes=_classes(by_arm, task),
        groups=_groups(by_arm, groups, task),
        never_right=never_right(by_arm if task in CLASS_TASKS else {}, rows),
        curves=curve_sets(record.study, all_by_arm, drawn, pairs(record.study, list(by_arm))),
        harms=harms(by_arm),
        harm_gaps=harm_gaps(by_arm, pairs(record.study, list(by_arm))),
        conditions=common,
        differing=differing,
        handling=tuple(handling),
        ledger=ledger,
    )


def shown_rows(rows: pd.DataFrame, task: str) -> pd.DataFrame:
    """Return row, text (all that is read, in one), label (what should be answered) and part."""
    inputs = [name for name in INPUTS[task] if name in rows and name != "choices"]
    texts = rows[inputs].agg(" ┃ ".join, axis=1) if len(inputs) > 1 else rows[inputs[0]]
    return pd.DataFrame(
        {"row": rows["row"], "text": texts, "label": rows[TARGETS[task]], "part": rows["part"]}
    )


def _masked(
    finished: Sequence[FinishedRun], rows: pd.DataFrame, card: DatasetCard, task: str
) -> tuple[list[FinishedRun], pd.DataFrame, DatasetCard]:
    """Return runs, rows and card without likely personal data, in texts, labels and answers."""
    names = masked_labels(card.labels)
    shown = rows.assign(text=rows["text"].map(mask_personal), label=rows["label"].replace(names))
    if task in {"generation", "multiple_choice"}:
        shown["label"] = shown["label"].map(mask_personal)
        written = [
            replace(
                run,
                predictions=run.predictions.assign(
                    label=run.predictions["label"].map(mask_personal),
                    predicted=run.predictions["predicted"].map(mask_personal),
                ),
            )
            for run in finished
        ]
        return written, shown, card
    if not names:
        return list(finished), shown, card
    runs = [
        replace(
            run,
            labels=tuple(names.get(label, label) for label in run.labels),
            predictions=run.predictions.replace({"label": names, "predicted": names}),
        )
        for run in finished
    ]
    counts = {names.get(label, label): count for label, count in card.labels.items()}
    return runs, shown, replace(card, labels=counts)


def pairs(study: Study, arms: Sequence[str]) -> list[tuple[str, str]]:
    """Return every pair of `arms` once, the bigger claim first, in order of interest.

    Methods in the order of `METHODS`; KaSA against LoRA of the same rank leads, then what is
    trained against what the base gives untrained, then all against the methods without a base.
    """
    settings = study.named_arms()
    order = list(METHODS)
    ranked = sorted(arms, key=lambda arm: order.index(settings[arm].method))

    def interest(pair: tuple[str, str]) -> tuple[int, bool]:
        a, b = (settings[arm] for arm in pair)
        if (a.method, b.method) == ("kasa", "lora"):
            place = 0
        elif a.tuned and b.method in {"frozen_head", "zero_shot"}:
            place = 1 + order.index(a.method)
        elif b.method in {"tfidf", "majority"}:
            place = 1 + len(order) * (1 + order.index(b.method)) + order.index(a.method)
        else:
            place = len(order) ** 2
        return place, a.rank != b.rank

    return sorted(combinations(ranked, 2), key=interest)


def _classes(by_arm: Mapping[str, list[FinishedRun]], task: str) -> dict[str, dict[str, Share]]:
    if task not in CLASS_TASKS:
        return {}
    return {
        arm: shares_right(own, own[0].predictions.set_index("row")["label"])
        for arm, own in by_arm.items()
    }


def _test_groups(rows: pd.DataFrame, *, masked: bool) -> pd.Series:
    """Return the group of every test row, by row number, of the groups with the most test rows."""
    if "group" not in rows:
        return pd.Series(dtype=str)
    names = rows[(rows["part"] == "test") & (rows["group"] != "")].set_index("row")["group"]
    names = names[names.isin(names.value_counts().index[:MOST_GROUPS])]
    return names.map(mask_personal) if masked else names


def _groups(
    by_arm: Mapping[str, list[FinishedRun]], groups: pd.Series, task: str
) -> dict[str, dict[str, Share]]:
    if task not in CLASS_TASKS or groups.empty:
        return {}
    return {arm: shares_right(own, groups) for arm, own in by_arm.items()}


def _verdicts(
    study: Study,
    by_arm: Mapping[str, list[FinishedRun]],
    drawn: Mapping[str, Mapping[str, Replicates]],
) -> Iterator[Verdict]:
    margin = study.protocol.equivalence_margin
    for found in drawn.values():
        yield from compare_all(by_arm, pairs(study, list(by_arm)), found, margin)


def split_conditions(
    runs: Sequence[FinishedRun],
) -> tuple[dict[str, Any], dict[str, dict[str, tuple[str, ...]]]]:
    """Return the conditions that all runs share, and the others as value -> run ids.

    Names are dotted (machine.cores); times of day are left out.
    """
    flat = {run.id: dict(_flatten(run.conditions)) for run in runs}
    names = dict.fromkeys(name for facts in flat.values() for name in facts)
    common: dict[str, Any] = {}
    differing: dict[str, dict[str, tuple[str, ...]]] = {}
    for name in names:
        # A baseline has no training precision: what a run did not record cannot differ.
        known = {run_id: facts[name] for run_id, facts in flat.items() if name in facts}
        by_value: dict[str, list[str]] = {}
        for run_id, value in known.items():
            by_value.setdefault(_shown(value), []).append(run_id)
        if len(by_value) == 1:
            common[name] = next(iter(known.values()))
        else:
            differing[name] = {value: tuple(ids) for value, ids in by_value.items()}
    return common, differing


def _flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        elif name not in CLOCK and value is not None:
            yield prefix + name, value


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
