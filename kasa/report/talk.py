"""Sentences to say in the meeting: this study's numbers, true to the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from kasa.arms import METHODS
from kasa.report.costs import num_assumed, subject
from kasa.report.decision import experiment_sentence, months_words, pilot_rows, tuning_verdict
from kasa.report.labels import arm_labels, metric_words
from kasa.report.tree import Bullets, Paragraph, Section
from kasa.text import Translator
from kasa.verdict.business import (
    HORIZONS,
    case_of,
    months_to_break_even,
    net,
    net_interval,
    right_metric,
    total,
)
from kasa.verdict.compare import Verdict
from kasa.verdict.decision import decide
from kasa.verdict.evidence import Evidence
from kasa.verdict.gates import MET, NOT_MET, NOT_SETTLED

MOST_NAMED = 4


def phrases_section(evidence: Evidence, text: Translator) -> Section:
    """Return sentences that can be said aloud, which are also its notes; empty without results."""
    title = text("talk.section.phrases")
    if not evidence.summaries:
        return Section("phrases", title, ())
    said = phrases(evidence, text)
    blocks = (Paragraph(text("talk.lead"), small=True), Bullets(said))
    return Section("phrases", title, blocks, notes=said)


def phrases(evidence: Evidence, text: Translator) -> tuple[str, ...]:
    """Return what was tried and found, the cost, the proposal and the limit; needs a result."""
    main, paying = evidence.main_verdict, tuning_verdict(evidence)
    # Where tuned against untuned is the study's own question, it has been answered already.
    again = main is not None and paying is not None and {main.a, main.b} == {paying.a, paying.b}
    return (
        tried_phrase(evidence, text),
        main_phrase(evidence, text),
        *(() if again else (tuning_phrase(evidence, text),)),
        requirements_phrase(evidence, text),
        cost_phrase(evidence, text),
        benefit_phrase(evidence, text),
        proposal_phrase(evidence, text),
        text("talk.limit.rows", test=text.number(evidence.card.sizes["test"])),
    )


def joined(sentences: Iterator[str] | tuple[str, ...], text: Translator) -> str:
    """Return sentences behind one another, as the language writes them."""
    return text("talk.between").join(sentences)


def tried_phrase(evidence: Evidence, text: Translator) -> str:
    """Say which methods were run on which rows, how often, and what is still missing."""
    return joined(_tried(evidence, text), text)


def _tried(evidence: Evidence, text: Translator) -> Iterator[str]:
    labels = arm_labels(evidence.study, text)
    names = [labels[summary.arm] for summary in evidence.summaries]
    methods, more = text.listed(names), len(names) - MOST_NAMED
    if more > 0:
        shown = text("verdict.list_join").join(names[:MOST_NAMED])
        methods = text("talk.more_methods", methods=shown, count=text.number(more))
    seeds = [summary.num_seeds for summary in evidence.summaries]
    kind = "mixed" if min(seeds) != max(seeds) else "once" if max(seeds) == 1 else "times"
    yield text(
        f"talk.tried.{kind}",
        methods=methods,
        train=text.number(evidence.card.sizes["train"]),
        test=text.number(evidence.card.sizes["test"]),
        seeds=text.number(min(seeds)),
        most=text.number(max(seeds)),
    )
    judged = evidence.study.named_arms(judged=True)
    runs = [run for run in evidence.runs if run.arm in judged]
    if any(run.active for run in runs):
        done, all_runs = text.number(len(evidence.finished)), text.number(len(runs))
        yield text("talk.tried.partial", done=done, total=all_runs)
    if evidence.missing_arms:
        missing = text.listed([labels[arm] for arm in evidence.missing_arms])
        yield text("talk.tried.missing", arms=missing)


def pair_words(verdict: Verdict, evidence: Evidence, text: Translator) -> dict[str, str]:
    """Return a verdict's names and numbers as people write them."""
    labels = arm_labels(evidence.study, text)
    difference, low, high = map(text.points, (verdict.difference, *verdict.interval))
    return {
        "a": labels[verdict.a],
        "b": labels[verdict.b],
        "metric": text(f"metrics.word.{verdict.metric}"),
        "difference": difference,
        "low": low,
        "high": high,
        "margin": text.number(100 * verdict.margin, 1),
    }


def value_words(arm: str, evidence: Evidence, text: Translator) -> dict[str, str]:
    """Return an arm's name and its deciding metric with its interval, as people write them."""
    summary = next(found for found in evidence.summaries if found.arm == arm)
    ends = (summary.metrics[evidence.metric].mean, *evidence.intervals[evidence.metric][arm])
    value, low, high = (metric_words(evidence.metric, end, text) for end in ends)
    metric, label = text(f"metrics.word.{evidence.metric}"), arm_labels(evidence.study, text)[arm]
    return {"arm": label, "metric": metric, "value": value, "low": low, "high": high}


def main_phrase(evidence: Evidence, text: Translator) -> str:
    """Say the verdict on the study's own question, or the one result there is."""
    verdict = evidence.main_verdict
    if verdict is None:
        return text("talk.main.only", **value_words(evidence.summaries[0].arm, evidence, text))
    kind = "main_one_seed" if verdict.indicative else "main"
    return text(f"talk.{kind}.{verdict.verdict}", **pair_words(verdict, evidence, text))


def tuning_phrase(evidence: Evidence, text: Translator) -> str:
    """Say whether the best tuned method is better than the best untuned one."""
    verdict = tuning_verdict(evidence)
    if verdict is None:
        tuned = any(METHODS[s.method].kind != "baseline" for s in evidence.summaries)
        return text(f"talk.tuning.{'no_untuned' if tuned else 'no_tuned'}")
    kind = "tuning_one_seed" if verdict.indicative else "tuning"
    return text(f"talk.{kind}.{verdict.verdict}", **pair_words(verdict, evidence, text))


def requirements_phrase(evidence: Evidence, text: Translator) -> str:
    """Say how many methods with a result meet all requirements, miss one, or are not settled."""
    if not evidence.gates:
        return text("talk.requirements.none")
    arms = [summary.arm for summary in evidence.summaries]
    counts = Counter(_standing(arm, evidence) for arm in arms)
    if len(counts) == 1:
        many = "one" if len(arms) == 1 else "all"
        words = {"arm": arm_labels(evidence.study, text)[arms[0]], "count": text.number(len(arms))}
        return text(f"talk.requirements.{many}_{next(iter(counts))}", **words)
    whole = text.number(len(arms))
    parts = [
        text(f"talk.requirements.{status}", count=text.number(counts[status]), total=whole)
        for status in (MET, NOT_MET, NOT_SETTLED)
        if counts[status]
    ]
    return text("talk.requirements.some", parts=text.listed(parts))


def _standing(arm: str, evidence: Evidence) -> str:
    """Return how an arm stands to all requirements together."""
    found = {gate.status for gate in evidence.gates if gate.arm == arm}
    return NOT_MET if NOT_MET in found else MET if found == {MET} else NOT_SETTLED


def cost_phrase(evidence: Evidence, text: Translator) -> str:
    """Say what the PoC, a year and three years cost, and how much of that is assumed."""
    arm, currency = subject(evidence), evidence.study.prices.currency
    case = case_of(evidence, arm)
    poc, first, three = (text.money(total(case, horizon), currency) for horizon in HORIZONS)
    label = arm_labels(evidence.study, text)[arm]
    assumed, count = num_assumed(evidence)
    kind = "all_assumed" if assumed == count else "assumed" if assumed else "entered"
    sentences = (
        text("talk.cost.numbers", arm=label, poc=poc, first=first, three=three),
        text(f"talk.cost.{kind}", count=text.number(count), assumed=text.number(assumed)),
    )
    return joined(sentences, text)


def benefit_phrase(evidence: Evidence, text: Translator) -> str:
    """Say what three years bring net and when the start is earned back, or why none knows."""
    arm, currency = subject(evidence), evidence.study.prices.currency
    case = case_of(evidence, arm)
    gained, ends = net(case, "three_years"), net_interval(case, "three_years")
    if gained is None or ends is None:
        return text(f"talk.benefit.{'cost' if right_metric(evidence.study) else 'score'}")
    value, low, high = (text.money(amount, currency) for amount in (gained, *sorted(ends)))
    months = months_to_break_even(case)
    return text(
        f"talk.benefit.{'net_never' if months is None else 'net'}",
        arm=arm_labels(evidence.study, text)[arm],
        net=value,
        low=low,
        high=high,
        months=months_words(months, text),
    )


def proposal_phrase(evidence: Evidence, text: Translator) -> str:
    """Say what to do, why, and the one step that could change it."""
    found = decide(evidence)
    because = found.because
    if because == "all_met" and not evidence.gates:
        because = "pays_for_itself"
    arm = arm_labels(evidence.study, text)[found.arm] if found.arm else ""
    rows = text.number(pilot_rows(evidence))
    step = experiment_sentence(found, evidence, text)
    sentences = (
        text(f"talk.proposal.{because}", arm=arm, rows=rows),
        text("talk.proposal.change", experiment=step),
    )
    return joined(sentences, text)
