"""Train, validation and test: stratified, by group or by date, the same on every machine.

Rows are put in an order that only the seed and the text decide (SHA-256), and dealt to the parts by
largest remainder. No random generator is involved, so neither a library version nor the platform,
nor the order of rows in the file, can change who is tested on what. Rows that must stay together
(near copies, and rows of one group where that is asked for) are dealt as one.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from kasa.data.check import Examined, TokenFacts, examine, numbers
from kasa.data.dates import parsed_dates
from kasa.data.problems import Problem
from kasa.data.table import Table
from kasa.dataspec import DataSpec
from kasa.errors import DataError
from kasa.study import Protocol

PARTS = ("train", "validation", "test")
MIN_ROWS = 20
# A regression's rows are dealt by fifths of the score, so that every part has low and high ones.
SCORE_BANDS = 5


@dataclass(frozen=True)
class PreparedRows:
    """The usable rows with their part, what was found in them, and the parts' sizes.

    `rows` has the columns row (spreadsheet row), the task's inputs and target, part, and where the
    study has them group, date and in_test_file; `labels` are sorted, and empty where the task has
    none.
    """

    task: str
    rows: pd.DataFrame
    labels: tuple[str, ...]
    problems: list[Problem]
    sizes: dict[str, int]

    @property
    def num_left_out(self) -> int:
        """How many rows are not used."""
        return sum(p.count for p in self.problems if p.treatment == "left_out")


def prepare_rows(
    table: Table,
    spec: DataSpec,
    protocol: Protocol,
    *,
    test: Table | None = None,
    tokens: TokenFacts | None = None,
) -> PreparedRows:
    """Return the usable rows of a table split into train, validation and test.

    Without parts of the user's own they follow the protocol's fractions and seed: stratified by
    label (`split_by` label), whole groups at a time (group), or in time's order, the newest in the
    test (date). With `spec.split` or a test file the user's parts stand, and where no row is marked
    for validation, the validation fraction of the *training* rows is cut from them, stratified.
    Raises `DataError` for a missing column, fewer than 20 usable rows, fewer than 2 labels, and a
    part without rows.
    """
    return divide(examine(table, spec, test=test, tokens=tokens), spec, protocol)


def divide(found: Examined, spec: DataSpec, protocol: Protocol) -> PreparedRows:
    """Return examined rows split into train, validation and test, as `prepare_rows` says."""
    rows, problems = found.rows.copy(), found.problems
    given = bool(spec.split or spec.test_path)
    if len(rows) < MIN_ROWS:
        raise DataError("data_few_rows", got=len(rows), wanted=MIN_ROWS, all=found.num_rows)
    _refuse_one_label(rows, spec)
    if spec.split_by == "date" and not given:
        rows["part"] = _by_date(rows, protocol)
        # A near copy of a newer row is not worth breaking time's order; it goes.
        tested = rows["part"] == "test"
        copied = ~tested & rows["cluster"].isin(rows.loc[tested, "cluster"].unique())
        rows, problems = _without(rows, copied, "leak", problems)
    else:
        if spec.split_by == "group":
            rows["cluster"] = _merged(rows["cluster"], rows["group"])
        rows["part"] = _assign(rows, found, protocol, given=given)
    rows, problems = _without_unseen(rows, problems)
    sizes = {part: int((rows["part"] == part).sum()) for part in PARTS}
    for part in PARTS:
        if not sizes[part]:
            by = "label" if given else spec.split_by
            column = spec.split or (getattr(spec, by) if by != "label" else spec.label) or "-"
            raise DataError("data_part_missing", part=part, column=column)
    labels = tuple(sorted(rows["label"].unique())) if "label" in rows else ()
    _refuse_one_label(rows, spec)
    unused = [name for name in ("group", "date") if not getattr(spec, name)]
    unused += [] if spec.test_path else ["in_test_file"]
    kept = rows.drop(columns=["key", "cluster", *unused]).reset_index(drop=True)
    return PreparedRows(found.task, kept, labels, problems, sizes)


def _refuse_one_label(rows: pd.DataFrame, spec: DataSpec) -> None:
    if "label" in rows and rows["label"].nunique() < 2:
        raise DataError("data_one_label", column=spec.label, got=rows["label"].nunique())


def class_balance(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the number of rows per label (index) and part (columns train, validation, test)."""
    counts = pd.crosstab(rows["label"], rows["part"])
    return counts.reindex(columns=list(PARTS), fill_value=0).rename_axis(columns=None)


def rows_needed(share: float, half_width: float) -> int:
    """Return how many test rows tell an accuracy near `share` to ± `half_width` (95 %).

    n = 1.96²·p·(1−p)/h², the normal interval of a proportion; p is held off 0 and 1, where it would
    promise certainty from no rows.
    """
    p = min(max(share, 0.02), 0.98)
    return math.ceil(1.959964**2 * p * (1 - p) / half_width**2)


def half_width(share: float, rows: int) -> float:
    """Return h of `rows_needed`: how far `rows` test rows leave an accuracy near `share` open."""
    p = min(max(share, 0.02), 0.98)
    return 1.959964 * math.sqrt(p * (1 - p) / rows)


def shares(counts: dict[str, int], fraction: float, *, most: dict[str, int]) -> dict[str, int]:
    """Return how many rows of each label go to a part: within one of `fraction`·count each.

    Largest remainder (Hamilton): the floors, then one more for the largest remainders until the
    total is round(fraction·total). A label gets at least one row, and never more than `most`.
    """
    quotas = {label: fraction * count for label, count in counts.items()}
    given = {label: math.floor(quota) for label, quota in quotas.items()}
    spare = round(fraction * sum(counts.values())) - sum(given.values())
    by_remainder = sorted(quotas, key=lambda label: (given[label] - quotas[label], label))
    for label in by_remainder[: max(0, spare)]:
        given[label] += 1
    return {label: min(max(1, given[label]), most[label]) for label in counts}


def _assign(rows: pd.DataFrame, found: Examined, protocol: Protocol, *, given: bool) -> pd.Series:
    parts = rows["part"].copy()
    if given and (parts == "validation").any():
        return parts
    free = rows[parts == "train"]
    strata = _strata(free, found.task)
    counts = {str(label): int(count) for label, count in strata.value_counts().items()}
    test = dict.fromkeys(counts, 0)
    if not given:
        # One row of each label stays for training, and one for validation where there are three.
        most = {label: max(0, count - 2) for label, count in counts.items()}
        test = shares(counts, protocol.test_fraction, most=most)
    most = {label: count - test[label] - 1 for label, count in counts.items()}
    validation = shares(counts, protocol.validation_fraction, most=most)
    order = _order(free, protocol.split_seed)
    for part, quotas in (("test", test), ("validation", validation)):
        taken = _deal(order, strata, quotas)
        parts.loc[[place for cluster in taken for place in cluster]] = part
        order = [cluster for cluster in order if cluster not in taken]
    return parts


def _strata(rows: pd.DataFrame, task: str) -> pd.Series:
    """Return what must be spread evenly: the label, the score's fifth, or nothing."""
    if "label" in rows:
        return rows["label"]
    if task == "regression":
        ranks = numbers(rows["score"]).rank(method="first")
        return pd.qcut(ranks, SCORE_BANDS, labels=False).astype("str")
    return pd.Series("all", index=rows.index)


def _order(rows: pd.DataFrame, seed: int) -> list[tuple[int, ...]]:
    """Return the clusters (tuples of places) in the order in which they are dealt."""
    draws = {place: _draw(seed, str(key)) for place, key in rows["key"].items()}
    clusters: dict[int, list[int]] = {}
    for place in sorted(rows.index, key=draws.__getitem__):
        clusters.setdefault(int(str(rows.at[place, "cluster"])), []).append(int(place))
    return [tuple(cluster) for cluster in clusters.values()]


def _deal(
    order: list[tuple[int, ...]], strata: pd.Series, quotas: dict[str, int]
) -> set[tuple[int, ...]]:
    """Return the clusters for one part: in order, each that brings the part nearer its quotas.

    Nearer means a smaller Σ(rows − quota)² over the labels; single rows meet every quota exactly.
    """
    missing = dict(quotas)
    taken = set()
    for cluster in order:
        own: dict[str, int] = {}
        for place in cluster:
            label = str(strata[place])
            own[label] = own.get(label, 0) + 1
        # (m − c)² < m² for the labels together.
        if sum(count * (count - 2 * missing[label]) for label, count in own.items()) < 0:
            taken.add(cluster)
            for label, count in own.items():
                missing[label] -= count
    return taken


def _merged(clusters: pd.Series, groups: pd.Series) -> pd.Series:
    """Return clusters joined wherever they share a group; rows without a group stay as they are."""
    named = groups != ""
    left = pd.factorize(clusters)[0]
    right = pd.factorize(groups)[0] + left.max() + 1
    size = int(right.max()) + 1
    links = coo_array((np.ones(int(named.sum())), (left[named], right[named])), shape=(size, size))
    _, component = connected_components(links, directed=False)
    return pd.Series(component[left], index=clusters.index)


def _by_date(rows: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """Return parts in time's order; rows of one moment stay together, in the older part."""
    dates = parsed_dates(rows["date"])
    ranks = dates.rank(method="min").sub(1) / len(rows)
    parts = pd.Series("train", index=rows.index, dtype="str")
    parts[ranks >= 1 - protocol.test_fraction - protocol.validation_fraction] = "validation"
    parts[ranks >= 1 - protocol.test_fraction] = "test"
    return parts


def _without_unseen(
    rows: pd.DataFrame, problems: list[Problem]
) -> tuple[pd.DataFrame, list[Problem]]:
    """Take out rows to be tested on a label that the training part does not have."""
    if "label" not in rows:
        return rows, problems
    seen = rows["label"].isin(rows.loc[rows["part"] == "train", "label"].unique())
    return _without(rows, ~seen, "unseen_label", problems)


def _without(
    rows: pd.DataFrame, bad: pd.Series, kind: str, problems: list[Problem]
) -> tuple[pd.DataFrame, list[Problem]]:
    """Take rows out and say why."""
    if not bad.any():
        return rows, problems
    own = rows["in_test_file"]
    numbers_of = [tuple(map(int, rows.loc[bad & which, "row"])) for which in (~own, own)]
    found = Problem(kind, numbers_of[0], applied=True, test_rows=numbers_of[1])
    return rows[~bad], [*problems, found]


def _draw(seed: int, words: str) -> str:
    return hashlib.sha256(f"{seed}\n{words}".encode()).hexdigest()
