"""The character pairs of many texts: MinHash buckets, and the exact similarity of pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process
from scipy import sparse

Ints = NDArray[np.int64]
Codes = NDArray[np.uint64]

PERMUTATIONS = 128
RECALL_MIN = 0.99
CHUNK_ROWS = 5000
PAIRS_AT_ONCE = 50_000


class Shingles:
    """The sets of character pairs of some distinct texts and their MinHash signatures."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = np.array(texts, dtype=object)
        chunks = [_pairs(texts[at : at + CHUNK_ROWS]) for at in range(0, len(texts), CHUNK_ROWS)]
        codes = np.concatenate([np.empty(0, np.uint64), *(codes for codes, _ in chunks)])
        self.sizes = np.concatenate([np.empty(0, np.int64), *(sizes for _, sizes in chunks)])
        vocabulary, columns = np.unique(codes, return_inverse=True)
        ends = np.concatenate([[0], np.cumsum(self.sizes)])
        self.matrix = sparse.csr_matrix(
            (np.ones(len(columns), np.int8), columns.astype(np.int32), ends),
            shape=(len(texts), len(vocabulary)),
        )
        self.least = np.empty((len(texts), PERMUTATIONS), np.uint32)
        for number, seed in enumerate(_mix(np.arange(PERMUTATIONS, dtype=np.uint64))):
            # 32 bits are enough, and halve what the next line moves.
            hashes = (_mix(vocabulary + seed) >> 32).astype(np.uint32)
            self.least[:, number] = np.minimum.reduceat(hashes[columns], ends[:-1])

    def bands(self, threshold: float) -> Iterator[tuple[Codes, Ints]]:
        """Yield a bucket key and a sorting rank per text, band by band.

        Two texts of Jaccard index J share a bucket of r permutations with probability J^r, and one
        of b bands with 1 - (1 - J^r)^b; r is the largest that keeps this above `RECALL_MIN`.
        """
        if not 0 < threshold <= 1:
            raise ValueError(f"got threshold {threshold}, wanted more than 0 and at most 1")
        if not len(self.texts):
            return
        ranks = [_rank(list(self.texts)), _rank([text[::-1] for text in self.texts])]
        rows = max(
            r for r in (1, 2, 4, 8, 16)
            if r == 1 or 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= RECALL_MIN
        )  # fmt: skip
        for band in range(PERMUTATIONS // rows):
            keys = np.zeros(len(self.texts), np.uint64)
            for least in self.least.T[band * rows : (band + 1) * rows]:
                keys = _mix(keys ^ least)
            yield keys, ranks[band % 2]

    def similar(self, pairs: Ints, threshold: float) -> NDArray[np.bool_]:
        """Say of each pair (2, n) of text numbers whether both shares reach the threshold."""
        verdict = np.zeros(pairs.shape[1], dtype=bool)
        for start in range(0, pairs.shape[1], PAIRS_AT_ONCE):
            left, right = pairs[:, start : start + PAIRS_AT_ONCE]
            likely = self._likely(left, right, threshold)
            left, right = left[likely], right[likely]
            both = self.matrix[left].multiply(self.matrix[right]).sum(axis=1, dtype=np.int64)
            common = np.asarray(both).ravel()
            jaccard = common / (self.sizes[left] + self.sizes[right] - common)
            close = np.flatnonzero(jaccard >= threshold)
            ratio = process.cpdist(
                self.texts[left[close]], self.texts[right[close]],
                scorer=fuzz.ratio, score_cutoff=100 * threshold,
            )  # fmt: skip
            verdict[start + likely[close[ratio >= 100 * threshold]]] = True
        return verdict

    def _likely(self, left: Ints, right: Ints, threshold: float) -> Ints:
        """Return the pairs worth an exact look: by the sizes, and by the signatures less 5 sigma.

        J <= min size / max size; the share of equal least hashes estimates J with a variance of
        J·(1 - J)/permutations.
        """
        least, most = np.sort([self.sizes[left], self.sizes[right]], axis=0)
        fitting = np.flatnonzero(least >= threshold * most)
        same = self.least[left[fitting]] == self.least[right[fitting]]
        equal = np.count_nonzero(same, axis=1)
        slack = 5 * (threshold * (1 - threshold) / PERMUTATIONS) ** 0.5
        likely: Ints = fitting[equal >= (threshold - slack) * PERMUTATIONS]
        return likely


def _pairs(texts: list[str]) -> tuple[Codes, Ints]:
    """Return the distinct character pairs, text by text, and how many each text has."""
    # The line feed occurs in no folded text and stands for both ends of each.
    buffer = "\n" + "".join(text + "\n" for text in texts)
    points = np.frombuffer(buffer.encode("utf-32-le"), np.uint32).astype(np.uint64)
    lengths = [len(text) + 1 for text in texts]
    owners = np.repeat(np.arange(len(texts), dtype=np.uint64), lengths)
    # 21 bits a character, and 13 for the number of the text within its chunk.
    keys = np.sort(owners << 42 | points[:-1] << 21 | points[1:])
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    return keys & (2**42 - 1), np.bincount((keys >> 42).astype(np.int64), minlength=len(texts))


def _mix(values: Codes) -> Codes:
    """Return well-spread 64-bit hashes (the finaliser of SplitMix64, Steele et al. 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _rank(texts: list[str]) -> Ints:
    """Return the place of each text in alphabetical order: similar beginnings stand together."""
    ranks = np.empty(len(texts), np.int64)
    ranks[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts))
    return ranks
