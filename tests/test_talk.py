"""What is said in the meeting: true to the verdict, with the evidence's own numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.prices import Operation, Prices
from kasa.report.costs import num_assumed
from kasa.report.decision import experiment_sentence, tuning_verdict
from kasa.report.glossary import MOST_TERMS, terms
from kasa.report.options import PackOptions
from kasa.report.pptx import slides
from kasa.report.sections import report_sections
from kasa.report.talk import main_phrase, phrases, tuning_phrase
from kasa.report.talk_questions import questions
from kasa.report.tree import to_text
from kasa.runs.ledger import Broken, Standing
from kasa.study import Gates, Protocol
from kasa.text import LANGUAGES, Translator, translator
from kasa.verdict.business import case_of, levers, months_to_break_even, net, net_interval, total
from kasa.verdict.decision import decide
from kasa.verdict.evidence import Evidence, build_evidence
from kasa.verdict.settle import settlement
from tests.study_runs import (
    CONDITIONS,
    LABELS,
    example_card,
    example_evidence,
    example_rows,
    example_runs,
    example_study,
    finished_run,
    run_record,
)
from tests.test_curves import EVIDENCE as WITH_CURVES
from tests.test_decision import CASES, seeds_of_one
from tests.test_html import HOSTILE, hostile_evidence, partial_evidence

EN, JA = translator("en"), translator("ja")
# What may be said of two methods, and what must then not be.
CLAIMS = {
    "en": {
        "better": r"\b(is|looks) better than\b",
        "worse": r"\b(is|looks) worse than\b",
        "equivalent": r"\bequivalent\b",
        "cannot_tell": r"\bcannot tell\b",
    },
    "ja": {
        "better": "より優れて",
        "worse": "より劣って",
        "equivalent": "同等",
        "cannot_tell": "判断できません",
    },
}


def wrong_in(wrong: dict[str, int], seeds: Sequence[int] = (0, 1, 2), rows: int = 240) -> Evidence:
    """Return a study in which each arm has so many wrong rows, the same with every seed."""
    true = [LABELS[row % 3] for row in range(rows)]
    runs = [
        finished_run(arm, seed, true, [LABELS[(n + (n < number)) % 3] for n in range(rows)])
        for arm, number in wrong.items()
        for seed in seeds
    ]
    study = example_study(protocol=Protocol("quick", seeds=tuple(seeds)))
    return example_evidence(runs, study, rows=example_rows(rows))


@cache
def of_word(word: str, seeds: tuple[int, ...] = (0, 1, 2)) -> Evidence:
    """Return a study whose question and whose worth of tuning are both answered by a word."""
    counts = {
        "better": (10, 80, 90),
        "worse": (80, 20, 10),
        "equivalent": (40, 40, 40),
        "cannot_tell": (40, 46, 47),
    }[word]
    if word == "worse":
        # The better of the tuned ones must still be worse than the base.
        counts = (150, 80, 10)
    found = wrong_in(dict(zip(("kasa-r8", "lora-r8", "frozen_head"), counts, strict=True)), seeds)
    if word != "cannot_tell":
        return found
    # Wrong on other rows, so that the difference is open.
    true = [LABELS[row % 3] for row in range(240)]
    other = {
        "kasa-r8": range(40),
        "lora-r8": range(60, 106),
        "frozen_head": range(150, 197),
    }
    runs = [
        finished_run(arm, seed, true, [LABELS[(n + (n in bad)) % 3] for n in range(240)])
        for arm, bad in other.items()
        for seed in seeds
    ]
    return example_evidence(runs, found.study, rows=example_rows(240))


def of_scores() -> Evidence:
    """Return a study of scores, whose metric is Pearson's r."""
    rows = example_rows()
    rows["score"] = [float(n % 7) for n in range(len(rows))]
    rng = np.random.default_rng(0)
    runs = []
    for arm, noise in (("kasa-r8", 0.5), ("lora-r8", 0.6), ("tfidf", 2.0)):
        for seed in (0, 1, 2):
            table = rows[rows["part"] == "test"]
            given = table["score"] + rng.normal(0, noise, len(table))
            run = finished_run(arm, seed, LABELS, LABELS)
            scores = {"pearson": float(np.corrcoef(table["score"], given)[0, 1])}
            predictions = pd.DataFrame(
                {"row": table["row"], "label": table["score"], "predicted": given}
            ).reset_index(drop=True)
            metrics = scores | {"spearman": scores["pearson"]}
            runs.append(
                replace(
                    run, metrics=metrics, predictions=predictions, labels=(), validation=metrics
                )
            )
    data = DataSpec("/some/folder/scores.csv", text="note", score="defect")
    arms = (Arm("kasa"), Arm("lora"), Arm("tfidf"))
    study = example_study(data=data, arms=arms, gates=Gates(metric_min=0.5))
    card = replace(example_card(example_study(), example_rows()), labels={}, task="regression")
    record = example_evidence().record
    return build_evidence(
        replace(record, study=study), [run_record(run) for run in runs], runs, rows, card
    )


def measured(count: int = 0, hosts: Sequence[str] = ()) -> Evidence:
    facts = CONDITIONS | {"outside_connections": count, "outside_hosts": list(hosts)}
    return example_evidence([replace(run, conditions=facts) for run in example_runs()])


def in_work() -> Evidence:
    return example_evidence(
        study=example_study(
            gates=Gates(metric_min=0.6),
            operation=Operation(120_000, 60.0, loss_per_wrong=200.0, staff_per_hour=5000.0),
            prices=Prices(purchase=400_000.0, source="見積書", dated="2026-10-01"),
        )
    )


STATES: dict[str, Callable[[], Evidence]] = {
    **{name: make for name, (make, *_) in CASES.items() if name != "nothing"},
    "no baseline": lambda: example_evidence(
        example_runs(["kasa-r8", "lora-r8"]), example_study(arms=(Arm("kasa"), Arm("lora")))
    ),
    "one arm": lambda: example_evidence(
        example_runs(["lora-r8"]), example_study(arms=(Arm("lora"),))
    ),
    "only a baseline": lambda: example_evidence(
        example_runs(["tfidf"]), example_study(arms=(Arm("tfidf"),))
    ),
    "no KaSA": lambda: example_evidence(
        example_runs(["lora-r8", "tfidf"]), example_study(arms=(Arm("lora"), Arm("tfidf")))
    ),
    "no gates": lambda: example_evidence(study=example_study(gates=Gates())),
    "time alone": lambda: example_evidence(study=example_study(gates=Gates(money_max=50))),
    "one seed": seeds_of_one,
    "unfinished": partial_evidence,
    "scores": of_scores,
    "hostile": hostile_evidence,
    "curves": lambda: WITH_CURVES,
    "asked outside": lambda: measured(3, ["huggingface.co"]),
    "in work": in_work,
    **{word: lambda word=word: of_word(word) for word in CLAIMS["en"]},
    **{f"{word}, one seed": lambda word=word: of_word(word, (0,)) for word in CLAIMS["en"]},
}


@cache
def state_of(name: str) -> Evidence:
    return STATES[name]()


def everything(evidence: Evidence, text: Translator) -> list[str]:
    asked = questions(evidence, text)
    answers = [sentence for each in asked for sentence in (each.words, *each.answer)]
    return [*phrases(evidence, text), *answers]


def answer(key: str, evidence: Evidence, text: Translator) -> str:
    return " ".join(next(q.answer for q in questions(evidence, text) if q.key == key))


# -- in every state -----------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("state", STATES)
def test_every_state_has_something_to_say(state: str, lang: str) -> None:
    evidence, text = state_of(state), translator(lang)
    assert 5 <= len(phrases(evidence, text)) <= 8
    asked = questions(evidence, text)
    assert 7 <= len(asked) <= 10
    assert all(each.words and each.answer for each in asked)
    for sentence in everything(evidence, text):
        assert sentence.strip()
        assert not re.search(r"\{\w*\}|\bnan\b|None|talk\.", sentence), sentence
        assert sentence[-1] in ".?。" or sentence.endswith((".)", "。）")), sentence


@pytest.mark.parametrize("lang", LANGUAGES)
def test_without_a_result_nothing_is_said(lang: str) -> None:
    keys = {s.key for s in report_sections(CASES["nothing"][0](), translator(lang))}
    assert not keys & {"phrases", "questions", "glossary"}


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("seeds", [(0, 1, 2), (0,)])
@pytest.mark.parametrize("word", CLAIMS["en"])
def test_the_phrases_say_the_verdict_and_never_another(
    word: str, seeds: tuple[int, ...], lang: str
) -> None:
    evidence, text = of_word(word, seeds), translator(lang)
    main, paying = evidence.main_verdict, tuning_verdict(evidence)
    assert main is not None
    assert main.verdict == word
    assert paying is not None
    said = {main_phrase(evidence, text): word, tuning_phrase(evidence, text): paying.verdict}
    for sentence, meant in said.items():
        found = {claim for claim, words in CLAIMS[lang].items() if re.search(words, sentence)}
        assert found == {meant}, sentence
        assert ("single seed" in sentence or "シード1つ" in sentence) == (len(seeds) == 1)
    # Not tuned against untuned alone, but the answer to the first question too.
    asked = answer("kasa", evidence, text)
    assert text(f"talk.method.{word}")[:6] in asked or word in {"better", "worse"}


def test_tuning_is_called_by_its_own_verdict() -> None:
    words = {word: tuning_verdict(of_word(word)) for word in CLAIMS["en"]}
    assert {word: found.verdict for word, found in words.items() if found} == {
        word: word for word in CLAIMS["en"]
    }


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("state", STATES)
def test_the_proposal_is_the_decision(state: str, lang: str) -> None:
    evidence, text = state_of(state), translator(lang)
    starts = {
        "en": {
            "go": "I propose to go on",
            "no_go": "I propose not to go on",
            "not_enough": "today",
        },
        "ja": {"go": "試験運用に進む", "no_go": "見送る", "not_enough": "今日は決めない"},
    }[lang]
    said = " ".join(phrases(evidence, text)[-2:])
    assert {word for word, start in starts.items() if start in said} == {decide(evidence).word}


# -- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("state", [*CLAIMS["en"], "scores", "all met", "no KaSA"])
def test_the_comparison_has_the_evidences_numbers(state: str, lang: str) -> None:
    evidence, text = state_of(state), translator(lang)
    for verdict, sentence in (
        (evidence.main_verdict, main_phrase(evidence, text)),
        (tuning_verdict(evidence), tuning_phrase(evidence, text)),
    ):
        assert verdict is not None
        for number in (verdict.difference, *verdict.interval):
            assert f"{100 * number:+.1f}" in sentence.replace("+-", "-").replace("-0.0", "+0.0")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_rows_runs_and_requirements_are_counted(lang: str) -> None:
    evidence, text = example_evidence(), translator(lang)
    tried, _, _, requirements, *_, limit = phrases(evidence, text)
    assert all(number in tried for number in ("240", "120", "3"))
    assert "120" in limit
    statuses = {arm: set() for arm in evidence.study.named_arms(judged=True)}
    for gate in evidence.gates:
        statuses[gate.arm].add(gate.status)
    missed = sum("not_met" in found for found in statuses.values())
    assert missed == 3
    assert text("talk.requirements.not_met", count=missed, total=4) in requirements
    assert text("talk.requirements.not_settled", count=1, total=4) in requirements
    halfway = phrases(partial_evidence(), text)[0]
    assert text("talk.tried.partial", done=2, total=4) in halfway


@pytest.mark.parametrize("lang", LANGUAGES)
def test_money_is_the_cost_models(lang: str) -> None:
    evidence, text = in_work(), translator(lang)
    said = " ".join(everything(evidence, text))
    arm = decide(evidence).arm
    assert arm is not None
    case = case_of(evidence, arm)
    amounts = [total(case, horizon) for horizon in ("poc", "first_year", "three_years")]
    amounts += [net(case, "three_years"), *(net_interval(case, "three_years") or ())]
    amounts += [next(lever.at_high for lever in levers(case) if lever.name == "machine_hour")]
    amounts += [case.loss_per_wrong, 400_000.0, case.machine_hour]
    for amount in amounts:
        assert amount is not None
        assert text.money(amount, "JPY") in said
    months = months_to_break_even(case)
    assert months is not None
    assert text("meeting.months", months=int(np.ceil(months))) in said
    assert case.right is not None
    assert text.percent(1 - case.right) in answer("wrong", evidence, text)
    assert "見積書" in answer("price", evidence, text)


def test_what_is_assumed_is_called_so() -> None:
    assert num_assumed(example_evidence()) == (11, 11)
    assert "All 11 figures behind this are the studio's assumptions" in " ".join(
        phrases(example_evidence(), EN)
    )
    assumed, count = num_assumed(in_work())
    assert 0 < assumed < count
    assert f"Of the {count} figures behind this, {assumed} are" in " ".join(phrases(in_work(), EN))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_would_settle_it_stands_in_the_answer(lang: str) -> None:
    evidence, text = of_word("cannot_tell"), translator(lang)
    main = evidence.main_verdict
    assert main is not None
    found = settlement(main)
    assert found is not None
    said = answer("chance", evidence, text)
    for number in (found.num_seeds, found.num_rows):
        assert number is None or text.number(number) in said
    assert not re.search("settle|決着", answer("chance", of_word("better"), text))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_more_rows_are_foretold_only_by_a_curve(lang: str) -> None:
    text = translator(lang)
    ahead = next(c.forecast for s in WITH_CURVES.curves for c in s.curves if c.forecast)
    assert text.points(ahead.gain) in answer("rows", WITH_CURVES, text)
    assert text("talk.rows.not_measured", rows=240) in answer("rows", example_evidence(), text)


# -- what must not be claimed -------------------------------------------------------------------


def test_connections_are_claimed_only_where_counted() -> None:
    assert "were not counted" in answer("data", example_evidence(), EN)
    none = answer("data", measured(), EN)
    assert "there was none" in none
    assert "connections of other programs are not seen" in none
    some = answer("data", measured(3, ["huggingface.co"]), EN)
    assert "huggingface.co" in some
    assert "there was none" not in some
    broken = replace(measured(), ledger=Standing(4, "ab", Broken("changed", 3)))
    assert "broken" in answer("data", broken, EN)


def test_a_correlation_counts_no_wrong_answers() -> None:
    evidence = of_scores()
    said = answer("wrong", evidence, EN)
    assert "Pearson's r does not count right and wrong answers" in said
    assert "%" not in said
    assert "the benefit in money" in " ".join(phrases(evidence, EN))


def test_without_a_baseline_or_a_tuned_method_the_worth_of_tuning_is_open() -> None:
    assert "do not know whether tuning is needed" in tuning_phrase(state_of("no baseline"), EN)
    assert "do not know what tuning would bring" in tuning_phrase(state_of("only a baseline"), EN)
    # The pair that the study is about is not told twice.
    assert len(phrases(state_of("no KaSA"), EN)) == 7
    assert "can" not in answer("larger", state_of("only a baseline"), EN).split("settings.")[0]


def test_kasa_is_spoken_of_only_where_it_ran() -> None:
    for lang in LANGUAGES:
        evidence, text = state_of("no KaSA"), translator(lang)
        assert questions(evidence, text)[0].key == "methods"
        assert "KaSA" not in " ".join(everything(evidence, text))
        assert "KaSA" not in {term for term, _ in terms(evidence, text)}


# -- the glossary -------------------------------------------------------------------------------


# A whole report takes seconds: one state for every word that not all reports have.
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("state", ["in work", "no KaSA", "one arm", "scores", "equivalent"])
def test_the_glossary_is_short_and_about_this_report(state: str, lang: str) -> None:
    evidence, text = state_of(state), translator(lang)
    found = terms(evidence, text)
    sections = [s for s in report_sections(evidence, text) if s.key != "glossary"]
    report = to_text(sections).lower()
    assert 10 <= len(found) <= MOST_TERMS == 20
    assert len({term for term, _ in found}) == len(found)
    assert [term for term, _ in found if term.lower() not in report] == []
    assert all(meaning and "{" not in meaning for _, meaning in found)


def test_many_methods_leave_room_for_the_other_words() -> None:
    methods = ("kasa", "lora", "rslora", "dora", "pissa", "adalora", "vera", "full", "tfidf")
    study = example_study(arms=tuple(Arm(method) for method in methods))
    runs = []
    for name, arm in study.named_arms().items():
        run = finished_run(arm.method, 0, LABELS * 40, LABELS * 40)
        runs.append(replace(run, arm=name, id=name))
    found = terms(example_evidence(runs, study), EN)
    assert len(found) == MOST_TERMS
    assert {"KaSA", "LoRA", "TF-IDF + linear model", "PoC"} <= {term for term, _ in found}


# -- where it is said ---------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_slides_have_the_phrases_and_the_answers_as_notes(lang: str) -> None:
    evidence, text = example_evidence(), translator(lang)
    made = {slide.key: slide for slide in slides(evidence, PackOptions(lang))}
    said = phrases(evidence, text)
    assert made["verdict"].notes[: len(said)] == said
    asked = questions(evidence, text)
    for each, note in zip(asked, made["decision"].notes, strict=False):
        assert note.startswith(each.words)
        assert all(sentence in note for sentence in each.answer)
    assert len(made) <= 10
    short = slides(evidence, PackOptions(lang, sections=("verdict", "decision")))
    assert [note for slide in short for note in slide.notes if note in said] == []


def test_markup_is_passed_on_as_text() -> None:
    evidence = replace(hostile_evidence(), card=replace(hostile_evidence().card, file=HOSTILE))
    assert HOSTILE in answer("repeat", evidence, JA)


@pytest.mark.parametrize(("lang", "worth"), [("en", "worth"), ("ja", "価値")])
def test_the_worth_of_an_answer_is_not_asked_for_where_it_would_settle_nothing(
    lang: str, worth: str
) -> None:
    scored, plain_classes = of_scores(), example_evidence()
    for evidence, asked in ((scored, False), (plain_classes, True)):
        study = replace(evidence.study, gates=Gates())
        bare = replace(evidence, record=replace(evidence.record, study=study), gates=())
        found = decide(bare)
        assert found.because == "no_standard"
        assert (worth in experiment_sentence(found, bare, translator(lang))) == asked
