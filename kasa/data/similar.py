"""Rows that are nearly copies of each other, found by MinHash and verified exactly.

The similarity of two texts is the smaller of two shares. Both are taken of the texts as `folded`
leaves them, without the full stop at the end:

* pairs: Jaccard index of the sets of two neighbouring characters, the ends counted as characters
  (Broder 1997); it overlooks repetition and order;
* order: 2·LCS/(|a| + |b|), the Indel ratio; it overlooks which characters carry the meaning.

At 0.85 one changed character makes no near copy of a text below about 24 characters ("Pump 3
leaking", "Pump 4 leaking": 0.76), but does of a longer one. Paraphrases and opposites (信号が赤に
変わった, 信号が青に変わった) stay apart.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from kasa.data.shingles import Codes, Ints, Shingles
from kasa.data.variants import folded

MAX_CHARACTERS = 2000
"""Of a longer text the beginning decides; models read less than that."""
FULL_STOPS = ".。! "
PARTNERS = 4
"""So many neighbours in a bucket are compared with each row: work grows as rows · bands."""


def near_duplicates(column: pd.Series, threshold: float = 0.85) -> pd.Series:
    """Return a group number per row, -1 for a row without a near copy; numbered as they appear.

    A group is connected: each row is similar (see the module) by at least `threshold` to some other
    of its group. Empty rows have no copies. A pair at the threshold shares a bucket with a
    probability of 0.99 or more, a closer one more surely; of a bucket with more than `PARTNERS` + 1
    texts only alphabetical neighbours are compared, so among very many texts of one template some
    links are missed, and none is invented. The permutations are fixed: the same rows, the same
    answer. Raises ValueError for a threshold outside (0, 1].
    """
    rows, texts = _distinct(column)
    groups = np.arange(len(texts))
    shingles = Shingles(texts)
    for keys, rank in shingles.bands(threshold):
        order = np.lexsort((rank, keys))
        for distances in (range(1, 2), range(2, PARTNERS + 1)):
            left, right = _neighbours(keys[order], distances)
            pairs = _unlinked(order[left], order[right], groups)
            pairs = pairs[:, shingles.similar(pairs, threshold)]
            groups = _joined(groups, pairs)
    of_row = np.where(rows >= 0, groups[rows] if len(groups) else -1, -1)
    return _numbered(of_row, column.index)


def _distinct(column: pd.Series) -> tuple[Ints, list[str]]:
    """Return the number of each row's plain text (-1 if empty) and the texts."""
    numbers: dict[str, int] = {}
    rows = [numbers.setdefault(text, len(numbers)) if text else -1 for text in map(_plain, column)]
    return np.array(rows, dtype=np.int64), list(numbers)


def _plain(text: str) -> str:
    plain = folded(text[: 2 * MAX_CHARACTERS])[:MAX_CHARACTERS]
    return plain.rstrip(FULL_STOPS) or plain


def _neighbours(keys: Codes, distances: range) -> tuple[Ints, Ints]:
    """Return the places in sorted keys that share a key and lie at one of the distances."""
    empty = np.empty(0, np.int64)
    places = [np.flatnonzero(keys[:-d] == keys[d:]) for d in distances if d < len(keys)]
    left = np.concatenate([empty, *places])
    right = np.concatenate([empty, *(p + d for p, d in zip(places, distances, strict=False))])
    return left, right


def _unlinked(left: Ints, right: Ints, groups: Ints) -> Ints:
    apart = groups[left] != groups[right]
    return np.stack([left[apart], right[apart]])


def _joined(groups: Ints, pairs: Ints) -> Ints:
    if not pairs.shape[1]:
        return groups
    ends = groups[pairs]
    graph = sparse.coo_matrix((np.ones(ends.shape[1]), (ends[0], ends[1])), (len(groups),) * 2)
    parts = connected_components(graph, directed=False)[1]
    return np.asarray(parts[groups], dtype=np.int64)


def _numbered(groups: Ints, index: pd.Index) -> pd.Series:
    """Number the groups of two rows or more from 0 in the order of their first rows."""
    codes, _ = pd.factorize(groups)
    shared = (np.bincount(codes)[codes] > 1) & (groups >= 0)
    numbered = np.full(len(groups), -1)
    numbered[shared] = pd.factorize(groups[shared])[0]
    return pd.Series(numbered, index=index, dtype=np.int64)
