"""The verdict in plain sentences: KaSA against LoRA, whether tuning pays, and cautions."""

from __future__ import annotations

from dataclasses import dataclass

from kasa.arms import METHODS
from kasa.report.labels import arm_labels, metric_words
from kasa.text import Translator
from kasa.verdict.compare import Verdict
from kasa.verdict.costs import machine_seconds, run_cost
from kasa.verdict.evidence import Evidence
from kasa.verdict.settle import GROWTH, MOST_SEEDS, settlement

FEW_ROWS = 100


@dataclass(frozen=True)
class Headline:
    """The verdict in one word (none where there is none yet), its sentences and cautions."""

    verdict: str
    sentences: tuple[str, ...]
    cautions: tuple[str, ...]


def headline(evidence: Evidence, text: Translator) -> Headline:
    """Return the verdict on the deciding metric; its first sentence is KaSA against LoRA."""
    labels = arm_labels(evidence.study, text)
    verdict = evidence.main_verdict
    if verdict is not None:
        first = verdict_sentence(verdict, labels, text)
    elif evidence.summaries:
        only = evidence.summaries[0]
        value = metric_words(evidence.metric, only.metrics[evidence.metric].mean, text)
        metric = text(f"metrics.word.{evidence.metric}")
        first = text("verdict.only_arm", arm=labels[only.arm], metric=metric, value=value)
    else:
        first = text("verdict.no_results")
    # A baseline that the first sentence already speaks of alone needs no second one.
    named = {verdict.b} if verdict else set()
    baselines = ("frozen_head", "zero_shot", "tfidf")
    paying = [_pays(evidence, method, named, labels, text) for method in baselines]
    settle = settlement_sentence(evidence, text)
    sentences = tuple(sentence for sentence in (first, settle, *paying) if sentence)
    word = verdict.verdict if verdict else "none"
    return Headline(word, sentences, _cautions(evidence, labels, text))


def verdict_sentence(verdict: Verdict, labels: dict[str, str], text: Translator) -> str:
    """Return one verdict as a sentence with its difference and interval in points."""
    kind = "one_seed" if verdict.indicative else "sentence"
    return text(
        f"verdict.{kind}.{verdict.verdict}",
        a=labels[verdict.a],
        b=labels[verdict.b],
        metric=text(f"metrics.word.{verdict.metric}"),
        difference=text.points(verdict.difference),
        low=text.points(verdict.interval[0]),
        high=text.points(verdict.interval[1]),
        margin=text.number(100 * verdict.margin, 1),
    )


def settlement_sentence(evidence: Evidence, text: Translator) -> str | None:
    """Say what would settle the main verdict and what that takes; None where nothing is open."""
    verdict, study = evidence.main_verdict, evidence.study
    found = settlement(verdict) if verdict else None
    if verdict is None or found is None or (found.at_least and found.num_rows is None):
        return None
    each = sum(s.total_seconds for s in evidence.summaries if s.arm in {verdict.a, verdict.b})
    extra = each * ((found.num_seeds or 0) - verdict.num_seeds)
    known = ("both" if found.num_rows else "seeds") if found.num_seeds else "rows"
    kind = "one_seed" if found.at_least else known if found.num_seeds or found.num_rows else "none"
    return text(
        f"verdict.settle.{kind}",
        seeds=text.number(found.num_seeds or MOST_SEEDS),
        seeds_now=text.number(verdict.num_seeds),
        rows=text.number(found.num_rows or verdict.num_rows * GROWTH[-1]),
        rows_now=text.number(verdict.num_rows),
        time=text.seconds(machine_seconds(extra, study)),
        money=text.money(run_cost(extra, study), study.prices.currency),
    )


def _pays(
    evidence: Evidence, baseline: str, named: set[str], labels: dict[str, str], text: Translator
) -> str | None:
    """Say whether tuning pays against a baseline method; None without a pair to tell by."""
    method = {summary.arm: summary.method for summary in evidence.summaries}
    found = [
        verdict
        for verdict in evidence.verdicts
        if verdict.metric == evidence.metric
        and METHODS[method[verdict.a]].kind != "baseline"
        and method[verdict.b] == baseline
    ]
    if not found or (len(found) == 1 and found[0].b in named):
        return None
    words = {verdict.verdict for verdict in found}
    answer = "yes" if "better" in words else "unknown" if "cannot_tell" in words else "no"
    if answer == "yes" and any(verdict.indicative for verdict in found):
        answer = "yes_one_seed"
    details = text("verdict.list_join").join(
        text(
            "verdict.detail",
            arm=labels[verdict.a],
            difference=text.points(verdict.difference),
            low=text.points(verdict.interval[0]),
            high=text.points(verdict.interval[1]),
        )
        for verdict in found
    )
    return text(f"verdict.pays.{answer}", baseline=labels[found[0].b], details=details)


def _cautions(evidence: Evidence, labels: dict[str, str], text: Translator) -> tuple[str, ...]:
    cautions = []
    join = text("verdict.list_join")
    judged = evidence.study.named_arms(judged=True)
    runs = [run for run in evidence.runs if run.arm in judged]
    if any(run.active for run in runs):
        done, total = text.number(len(evidence.finished)), text.number(len(runs))
        cautions.append(text("verdict.caution.partial", done=done, total=total))
    if evidence.indicative:
        cautions.append(text("verdict.caution.one_seed"))
    if evidence.missing_arms:
        names = join.join(labels[arm] for arm in evidence.missing_arms)
        cautions.append(text("verdict.caution.missing_arms", arms=names))
    wanted = len(evidence.study.protocol.seeds)
    short = [s for s in evidence.summaries if s.num_seeds < wanted]
    if short:
        parts = [
            text("verdict.seeds_of", arm=labels[s.arm], done=s.num_seeds, total=wanted)
            for s in short
        ]
        cautions.append(text("verdict.caution.missing_seeds", arms=join.join(parts)))
    rows = evidence.card.sizes["test"]
    if evidence.summaries and rows < FEW_ROWS:
        if "accuracy" in evidence.study.metrics:
            point = text.number(100 / max(1, rows), 1)
            cautions.append(text("verdict.caution.few_rows", rows=text.number(rows), points=point))
        else:
            cautions.append(text("verdict.caution.few_rows_plain", rows=text.number(rows)))
    return tuple(cautions)
