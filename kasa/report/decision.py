"""The recommendation in three reasons, the experiment that would change it, and the staged plan."""

from __future__ import annotations

import math

from kasa.arms import METHODS
from kasa.report.labels import arm_labels, metric_words
from kasa.report.tree import Block, Bullets, Paragraph, Section, Table
from kasa.text import Translator
from kasa.verdict.business import (
    case_of,
    months_to_break_even,
    net,
    net_interval,
    right_metric,
    total,
)
from kasa.verdict.compare import Verdict
from kasa.verdict.decision import GO, NO_GO, NOT_ENOUGH, Decision, decide
from kasa.verdict.evidence import Evidence

STAGES = ("look", "prove", "pilot", "operate")
FEW_PILOT_ROWS = 200


def decision_section(evidence: Evidence, text: Translator) -> Section:
    """Return the recommendation, its reasons and what would change it; empty without results."""
    title = text("meeting.section.decision")
    if not evidence.summaries:
        return Section("decision", title, ())
    found = decide(evidence)
    message = decision_message(found, evidence, text)
    blocks: tuple[Block, ...] = (
        Paragraph(message),
        Bullets(reasons(found, evidence, text)),
        Paragraph(text("meeting.experiment.title")),
        Bullets((experiment_sentence(found, evidence, text),)),
    )
    return Section("decision", title, blocks, message)


def decision_message(found: Decision, evidence: Evidence, text: Translator) -> str:
    """Return the recommendation in one line."""
    arm = arm_labels(evidence.study, text)[found.arm] if found.arm else ""
    return text(f"meeting.message.{found.word}", arm=arm)


def reasons(found: Decision, evidence: Evidence, text: Translator) -> tuple[str, ...]:
    """Return three sentences: the requirements, whether tuning pays, the money; needs a result."""
    because = found.because
    if because == "all_met" and not evidence.gates:
        because = "pays_for_itself"
    first = text(f"meeting.because.{because}", **_figures(found.arm, evidence, text))
    arm = found.arm or evidence.summaries[0].arm
    return (first, tuning_sentence(evidence, text), money_sentence(arm, evidence, text))


def _figures(arm: str | None, evidence: Evidence, text: Translator) -> dict[str, str]:
    """Return an arm's name and its deciding metric with its interval, in words."""
    if arm is None:
        return {}
    summary = next(s for s in evidence.summaries if s.arm == arm)
    ends = (summary.metrics[evidence.metric].mean, *evidence.intervals[evidence.metric][arm])
    value, low, high = (metric_words(evidence.metric, end, text) for end in ends)
    metric = text(f"metrics.word.{evidence.metric}")
    label = arm_labels(evidence.study, text)[arm]
    return {"arm": label, "metric": metric, "value": value, "low": low, "high": high}


def tuning_verdict(evidence: Evidence) -> Verdict | None:
    """Return the verdict on the best tuned arm against the best untuned one; None without both."""
    best: dict[bool, str] = {}
    ranked = sorted(evidence.summaries, key=lambda s: -s.metrics[evidence.metric].mean)
    for summary in ranked:
        best.setdefault(METHODS[summary.method].kind == "baseline", summary.arm)
    return evidence.verdict_between(best[False], best[True]) if len(best) == 2 else None


def tuning_sentence(evidence: Evidence, text: Translator) -> str:
    """Say whether the best tuned arm is better than the best untuned one."""
    verdict = tuning_verdict(evidence)
    if verdict is None:
        return text("meeting.tuning.none")
    labels = arm_labels(evidence.study, text)
    ends = (verdict.difference, *verdict.interval)
    difference, low, high = (text.points(end) for end in ends)
    names = {"a": labels[verdict.a], "b": labels[verdict.b]}
    key = f"meeting.tuning.{verdict.verdict}"
    sentence = text(key, **names, difference=difference, low=low, high=high)
    return text("meeting.tuning.one_seed", sentence=sentence) if verdict.indicative else sentence


def money_sentence(arm: str, evidence: Evidence, text: Translator) -> str:
    """Say what three years with an arm bring, or what they cost where no benefit is known."""
    case, currency = case_of(evidence, arm), evidence.study.prices.currency
    label = arm_labels(evidence.study, text)[arm]
    gained, ends = net(case, "three_years"), net_interval(case, "three_years")
    if gained is None or ends is None:
        kind = "cost" if right_metric(evidence.study) else "score"
        spent = text.money(total(case, "three_years"), currency)
        return text(f"meeting.money.{kind}", arm=label, total=spent)
    value, low, high = (text.money(amount, currency) for amount in (gained, *sorted(ends)))
    months = months_to_break_even(case)
    kind = "net_never" if months is None else "net"
    words = {"net": value, "low": low, "high": high, "months": months_words(months, text)}
    return text(f"meeting.money.{kind}", arm=label, **words)


def months_words(months: float | None, text: Translator) -> str:
    """Return a break-even time in months, rounded up; "never" for none."""
    if months is None:
        return text("meeting.never")
    return text("meeting.months", months=text.number(math.ceil(months)))


def experiment_sentence(found: Decision, evidence: Evidence, text: Translator) -> str:
    """Return the one experiment that would change a recommendation."""
    kind, amount = found.experiment.kind, found.experiment.amount
    if kind == "answers" and amount is None:
        kind = "answers_never"
    if kind == "standard" and right_metric(evidence.study) is None:
        kind = "standard_score"  # no worth of an answer could be reckoned with
    rows = evidence.card.sizes["train" if kind == "train_rows" else "test"]
    words = {"amount": text.number(math.ceil(amount or 0)), "rows": text.number(rows)}
    main, labels = evidence.main_verdict, arm_labels(evidence.study, text)
    pair = {"a": labels[main.a], "b": labels[main.b]} if main else {}
    return text(f"meeting.experiment.{kind}", **words, **pair)


def stages_section(evidence: Evidence, text: Translator) -> Section:
    """Return the staged plan: when each stage begins, ends, and is given up."""
    columns = ("stage", "state", "entry", "exit", "withdraw")
    header = tuple(text(f"meeting.column.{name}") for name in columns)
    least = evidence.study.gates.metric_min
    wanted = text("meeting.requirement.none")
    if least is not None:
        value = metric_words(evidence.metric, least, text)
        metric = text(f"metrics.{evidence.metric}")
        wanted = text("meeting.requirement.metric", metric=metric, value=value)
    words = {"requirement": wanted, "rows": text.number(pilot_rows(evidence))}
    states = stage_states(decide(evidence))
    table = tuple(
        (
            text(f"meeting.stage.{stage}"),
            text(f"meeting.state.{states[stage]}"),
            text(f"meeting.entry.{stage}"),
            text(f"meeting.exit.{stage}", **words),
            text(f"meeting.withdraw.{stage}"),
        )
        for stage in STAGES
    )
    title = text("meeting.section.stages")
    return Section("stages", title, (Table(header, table),) if evidence.summaries else ())


def pilot_rows(evidence: Evidence) -> int:
    """Return on how many new rows a pilot holds a method against the requirement."""
    return max(FEW_PILOT_ROWS, evidence.card.sizes["test"])


def stage_states(found: Decision) -> dict[str, str]:
    """Return where the plan stands: a go opens the pilot, a no-go ends the plan at its proof."""
    prove = {GO: "done", NO_GO: "stopped", NOT_ENOUGH: "now"}[found.word]
    pilot = "now" if found.word == GO else "open"
    return {"look": "done", "prove": prove, "pilot": pilot, "operate": "open"}
