"""Questions that a meeting will probably ask, answered with this study's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kasa.arms import METHODS
from kasa.report.costs import (
    SEVEN_BILLION,
    input_words,
    inputs,
    machine_source,
    scale_arm,
    scale_table,
    source_of,
    subject,
)
from kasa.report.curves import forecast_sentence, sets_of
from kasa.report.decision import pilot_rows, tuning_verdict
from kasa.report.handling import (
    SHORT_HASH,
    chain_sentence,
    connection_sentences,
    measured_runs,
    place_sentence,
)
from kasa.report.headline import settlement_sentence, verdict_sentence
from kasa.report.labels import arm_labels
from kasa.report.talk import joined, pair_words, tuning_phrase, value_words
from kasa.report.tree import Block, Bullets, Paragraph, Section
from kasa.text import Translator
from kasa.verdict.business import case_of, given, levers, result, right_metric, total
from kasa.verdict.compare import Verdict
from kasa.verdict.curves import ROWS
from kasa.verdict.decision import GO, NO_GO, decide
from kasa.verdict.evidence import Evidence


@dataclass(frozen=True)
class Question:
    """A question with the sentences of its answer; `key` names it in the catalogue."""

    key: str
    words: str
    answer: tuple[str, ...]


def questions_section(evidence: Evidence, text: Translator) -> Section:
    """Return likely questions with answers, which are also its notes; empty without results."""
    title = text("talk.section.questions")
    if not evidence.summaries:
        return Section("questions", title, ())
    asked = questions(evidence, text)
    blocks: list[Block] = []
    for each in asked:
        blocks += [Paragraph(each.words), Bullets(each.answer)]
    notes = tuple(joined((each.words, *each.answer), text) for each in asked)
    return Section("questions", title, tuple(blocks), notes=notes)


def questions(evidence: Evidence, text: Translator) -> tuple[Question, ...]:
    """Return the questions in the order in which they tend to come; needs a result."""
    answers: dict[str, Callable[[Evidence, Translator], Iterator[str]]] = {
        "kasa" if _asks_for_kasa(evidence) else "methods": _methods,
        "chance": _chance,
        "cheap": _cheap,
        "wrong": _wrong,
        "data": _data,
        "price": _price,
        "rows": _rows,
        "larger": _larger,
        "stop": _stop,
        "repeat": _repeat,
    }
    return tuple(
        Question(key, text(f"talk.question.{key}"), tuple(answer(evidence, text)))
        for key, answer in answers.items()
    )


def _asks_for_kasa(evidence: Evidence) -> bool:
    """Say whether the study's own question is KaSA against LoRA."""
    main, arms = evidence.main_verdict, evidence.study.named_arms()
    return main is not None and (arms[main.a].method, arms[main.b].method) == ("kasa", "lora")


def _methods(evidence: Evidence, text: Translator) -> Iterator[str]:
    shown = {summary.method for summary in evidence.summaries}
    if _asks_for_kasa(evidence):
        shown = {"kasa", "lora"}
    for method in METHODS:
        if method in shown:
            names = {"name": text(f"arms.name.{method}"), "meaning": text(f"talk.meaning.{method}")}
            yield text("talk.method.named", **names)
    main = evidence.main_verdict
    if main is None:
        return
    yield verdict_sentence(main, arm_labels(evidence.study, text), text)
    seconds = {summary.arm: summary.total_seconds for summary in evidence.summaries}
    a_time, b_time = (text.seconds(seconds[arm]) for arm in (main.a, main.b))
    words = pair_words(main, evidence, text)
    yield text("talk.method.times", a=words["a"], b=words["b"], a_time=a_time, b_time=b_time)
    yield text(f"talk.method.{main.verdict}", **words)


def _chance(evidence: Evidence, text: Translator) -> Iterator[str]:
    main = evidence.main_verdict
    if main is None:
        words = value_words(evidence.summaries[0].arm, evidence, text)
        yield text("talk.chance.only", **words)
    else:
        words = pair_words(main, evidence, text)
        claims = main.verdict != "cannot_tell"
        yield text(
            f"talk.chance.{'one_seed' if main.indicative and claims else main.verdict}", **words
        )
        counts = {"rows": text.number(main.num_rows), "seeds": text.number(main.num_seeds)}
        yield text("talk.chance.counted", a=words["a"], b=words["b"], **counts)
    settle = settlement_sentence(evidence, text)
    if settle:
        yield settle
    if evidence.indicative:
        yield text("report.limit.one_seed")


def _cheap(evidence: Evidence, text: Translator) -> Iterator[str]:
    yield tuning_phrase(evidence, text)
    verdict, labels = tuning_verdict(evidence), arm_labels(evidence.study, text)
    if verdict is not None:
        yield _both_costs(verdict, evidence, text)
        yield text(f"talk.cheap.{verdict.verdict}")
    elif all(METHODS[arm.method].kind != "baseline" for arm in evidence.study.arms):
        yield text("talk.cheap.add")
    found = decide(evidence)
    if found.word == GO and found.arm:
        method = evidence.study.named_arms()[found.arm].method
        if METHODS[method].kind == "baseline":
            yield text("talk.cheap.proposed", arm=labels[found.arm])


def _both_costs(verdict: Verdict, evidence: Evidence, text: Translator) -> str:
    labels, currency = arm_labels(evidence.study, text), evidence.study.prices.currency
    a_total, b_total = (
        text.money(total(case_of(evidence, arm), "three_years"), currency)
        for arm in (verdict.a, verdict.b)
    )
    names = {"a": labels[verdict.a], "b": labels[verdict.b]}
    return text("talk.cheap.costs", **names, a_total=a_total, b_total=b_total)


def _wrong(evidence: Evidence, text: Translator) -> Iterator[str]:
    arm, study = subject(evidence), evidence.study
    case, metric = case_of(evidence, arm), right_metric(study)
    rows = text.number(evidence.card.sizes["test"])
    if metric is None or case.right is None or case.right_low is None or case.right_high is None:
        yield text("talk.wrong.score", rows=rows, **value_words(arm, evidence, text))
    else:
        ends = (case.right, case.right_high, case.right_low)
        share, low, high = (text.percent(1 - end) for end in ends)
        label = arm_labels(study, text)[arm]
        yield text(f"talk.wrong.{metric}", arm=label, rows=rows, share=share, low=low, high=high)
    if case.priced:
        loss = text.money(case.loss_per_wrong, study.prices.currency)
        yield text("talk.wrong.loss", loss=loss, source=_source("loss_per_wrong", evidence, text))
    else:
        yield text("talk.wrong.unpriced")
    yield text("talk.wrong.pilot", rows=text.number(pilot_rows(evidence)))


def _source(name: str, evidence: Evidence, text: Translator) -> str:
    """Return whether a number of the costs was entered or assumed."""
    value = inputs(evidence)[name]
    return text(f"meeting.source.{source_of(name, value, given(evidence.study))}")


def _data(evidence: Evidence, text: Translator) -> Iterator[str]:
    yield place_sentence(evidence, text)
    yield from connection_sentences(evidence, text)
    if measured_runs(evidence):
        yield text("talk.data.scope")
    if evidence.ledger.broken is not None:
        yield chain_sentence(evidence.ledger, text)


def _price(evidence: Evidence, text: Translator) -> Iterator[str]:
    study, arm = evidence.study, subject(evidence)
    prices, case = study.prices, case_of(evidence, arm)
    hour = text.money(prices.hourly, prices.currency)
    if prices.purchase is None:
        source = _source("machine_per_hour", evidence, text)
        yield text("talk.price.hour", price=hour, source=source)
    else:
        paid, source = text.money(prices.purchase, prices.currency), text("meeting.source.given")
        yield text("talk.price.owned", price=hour, purchase=paid, source=source)
    found = levers(case)
    for lever in found:
        if lever.name == "machine_hour":
            now, high = (
                text.money(amount, prices.currency) for amount in (result(case), lever.at_high)
            )
            label, kind = arm_labels(study, text)[arm], "net" if case.priced else "cost"
            yield text(f"talk.price.{kind}", arm=label, now=now, high=high)
    yield machine_source(evidence, text)
    if found:
        names = text.listed([text(f"meeting.input.{lever.name}") for lever in found[:2]])
        yield text("talk.price.depends", names=names)


def _rows(evidence: Evidence, text: Translator) -> Iterator[str]:
    curves = [found for found in sets_of(evidence, evidence.metric) if found.kind == ROWS]
    foretold = [
        sentence
        for found in curves
        for curve in found.curves
        for sentence in forecast_sentence(evidence, text, curve, found.metric)
    ]
    train = evidence.card.sizes["train"]
    if foretold:
        yield from (*foretold, text("report.curves.forecast_note"))
    elif curves:
        yield text("talk.rows.no_forecast")
    else:
        yield text("talk.rows.not_measured", rows=text.number(train))
    each = evidence.study.operation.labelling_seconds
    yield text(
        "talk.rows.labelling",
        rows=text.number(train),
        time=text.seconds(train * each),
        each=input_words("labelling_seconds", each, evidence, text),
        source=_source("labelling_seconds", evidence, text),
    )


def _larger(evidence: Evidence, text: Translator) -> Iterator[str]:
    yield text("talk.larger.not_tried")
    yield text("report.limit.model")
    arm = scale_arm(evidence)
    if METHODS[arm.method].kind == "baseline":
        yield text("talk.larger.no_tuned")
    elif arm.num_total_params >= SEVEN_BILLION:
        yield text("talk.larger.large", params=text.number(arm.num_total_params))
    else:
        _, time, memory = scale_table(evidence, text).rows[-1]
        yield text("talk.larger.estimate", time=time, memory=memory)


def _stop(evidence: Evidence, text: Translator) -> Iterator[str]:
    if decide(evidence).word == NO_GO:
        yield text("talk.stop.now")
    if evidence.study.gates.metric_min is None:
        yield text("talk.stop.no_requirement", metric=text(f"metrics.word.{evidence.metric}"))
    for stage in ("prove", "pilot", "operate"):
        rule = {"stage": text(f"meeting.stage.{stage}"), "rule": text(f"meeting.withdraw.{stage}")}
        yield text("talk.stop.stage", **rule)


def _repeat(evidence: Evidence, text: Translator) -> Iterator[str]:
    card, protocol = evidence.card, evidence.study.protocol
    seeds = ", ".join(str(seed) for seed in protocol.seeds)
    yield text("talk.repeat.same", file=card.file, hash=card.sha256[:SHORT_HASH], seeds=seeds)
    yield text("talk.repeat.differ")
    if protocol.trial_seconds:
        yield text("talk.repeat.timed")
