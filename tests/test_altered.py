"""Training rows of curves: nested, near every label's share, the same for every arm."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasa.arms import Arm
from kasa.tuning.altered import altered, fewer, mislabelled
from kasa.tuning.outcome import Part, Parts

LABELS = st.lists(st.integers(0, 4), min_size=10, max_size=80)
SHARES = st.floats(0.05, 0.95)


def part_of(labels: list[int], first: int = 2) -> Part:
    rows = tuple(range(first, first + len(labels)))
    return Part(rows, tuple(f"note {row}" for row in rows), tuple(labels))


def parts_of(labels: list[int]) -> Parts:
    return Parts(part_of(labels), part_of([0, 1], 500), part_of([0, 1], 600), tuple("abcde"))


@given(LABELS, SHARES, SHARES, st.integers(0, 5))
@settings(max_examples=60)
def test_fewer_rows_are_nested_and_keep_every_label(
    labels: list[int], one: float, two: float, seed: int
) -> None:
    train, (low, high) = part_of(labels), sorted((one, two))
    small, large = fewer(train, low, seed), fewer(train, high, seed)
    assert len(small.rows) == max(len(set(labels)), round(low * len(labels)))
    assert set(small.rows) <= set(large.rows) <= set(train.rows)
    assert set(small.labels) == set(labels)
    assert list(small.rows) == sorted(small.rows)
    whole = dict(zip(train.rows, zip(train.texts, train.labels, strict=True), strict=True))
    kept = zip(small.rows, zip(small.texts, small.labels, strict=True), strict=True)
    assert all(whole[row] == content for row, content in kept)


def test_every_label_keeps_about_its_share() -> None:
    train = part_of([0] * 80 + [1] * 40 + [2] * 40)
    counts = [fewer(train, 0.25, seed=3).labels.count(label) for label in range(3)]
    assert sum(counts) == 40
    assert counts == pytest.approx([20, 10, 10], abs=1)


def test_rows_differ_by_seed_and_not_by_arm() -> None:
    parts = parts_of([0, 1] * 30)
    drawn = [altered(parts, Arm("lora", train_share=0.5), seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert altered(parts, Arm("kasa", train_share=0.5), 0) == drawn[0]
    assert altered(parts, Arm("tfidf"), 0) is parts


@given(LABELS, SHARES, SHARES, st.integers(0, 5))
@settings(max_examples=60)
def test_wrong_labels_are_nested_and_wrong(
    labels: list[int], one: float, two: float, seed: int
) -> None:
    parts, (low, high) = parts_of(labels), sorted((one, two))
    few, many = (mislabelled(parts, share, seed) for share in (low, high))
    wrong = [(new != old) for new, old in zip(few.labels, labels, strict=True)]
    assert sum(wrong) == round(low * len(labels))
    assert all(0 <= label < 5 for label in few.labels)
    assert replace(few, labels=()) == replace(parts.train, labels=())
    # A row's wrong label is the same at every share.
    assert all(many.labels[i] == few.labels[i] for i, is_wrong in enumerate(wrong) if is_wrong)


def test_wrong_labels_are_any_other_label() -> None:
    parts = parts_of([2] * 400)
    counts = [mislabelled(parts, 0.5, 0).labels.count(label) for label in range(5)]
    assert counts[2] == 200
    assert min(counts) > 25


def test_only_training_rows_change() -> None:
    parts = parts_of([0, 1, 2] * 20)
    for arm in (Arm("lora", train_share=0.5), Arm("lora", label_noise=0.3)):
        found = altered(parts, arm, 0)
        assert replace(found, train=parts.train) == parts


def test_a_wrong_choice_is_another_of_the_row_s_own() -> None:
    rows = tuple(range(60))
    texts = tuple(f"question {row}" for row in rows)
    choices = tuple(("x", "y", "z")[: 2 + row % 2] for row in rows)
    parts = replace(parts_of([0, 1]), train=Part(rows, texts, (1,) * 60, (), choices), labels=())
    found = mislabelled(parts, 0.5, 0)
    changed = [(a, len(c)) for a, c in zip(found.labels, choices, strict=True) if a != 1]
    assert len(changed) == 30
    assert all(0 <= label < count for label, count in changed)


def test_scores_and_texts_have_no_classes_to_keep() -> None:
    train = replace(part_of([0] * 40), labels=tuple(row / 7 for row in range(40)))
    assert len(fewer(train, 0.25, 0).rows) == 10
