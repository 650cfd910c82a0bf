"""Quality gates for the bundled sample data sets: size, variety, difficulty, safe cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

DATA_DIR = Path(__file__).resolve().parents[1] / "sample_data"
SEEDS = range(5)
FORMULA_STARTS = ("=", "+", "-", "@")


@dataclass(frozen=True)
class DataSet:
    """One sample file and how its text is cut into tokens."""

    file: str
    text: str
    label: str
    japanese: bool

    def read(self) -> pd.DataFrame:
        """Return the file as it is, every cell a string."""
        return pd.read_csv(
            DATA_DIR / self.file, dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )

    def clean(self) -> pd.DataFrame:
        """Return the rows left after dropping empties, duplicates and contradictions."""
        frame = self.read()
        frame = frame[(frame[self.text].str.strip() != "") & (frame[self.label].str.strip() != "")]
        frame = frame.drop_duplicates([self.text, self.label])
        frame = frame.drop_duplicates(self.text, keep=False)
        return frame.reset_index(drop=True)

    def token_counter(self) -> CountVectorizer:
        """Return the binary token counter used for the Jaccard similarity."""
        if self.japanese:
            return CountVectorizer(analyzer="char", ngram_range=(2, 2), binary=True)
        return CountVectorizer(token_pattern=r"(?u)\w+", binary=True)

    def tfidf(self) -> TfidfVectorizer:
        """Return the n-gram features of the baseline classifier."""
        if self.japanese:
            return TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True)
        return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)


DATA_SETS = [
    DataSet("work_orders_en.csv", "text", "crew", japanese=False),
    DataSet("inspection_notes_ja.csv", "所見", "不良区分", japanese=True),
]
ENGLISH = DATA_SETS[0]
both = pytest.mark.parametrize("data", DATA_SETS, ids=lambda data: data.file)


def near_duplicate_share(data: DataSet, frame: pd.DataFrame, threshold: float = 0.8) -> float:
    """Return the share of within-class row pairs whose token Jaccard is above threshold."""
    near = pairs = 0
    for _, group in frame.groupby(data.label):
        tokens = data.token_counter().fit_transform(group[data.text]).astype(np.int32)
        common = (tokens @ tokens.T).toarray()
        size = common.diagonal()
        union = size[:, None] + size[None, :] - common
        upper = np.triu_indices(len(group), k=1)
        near += int((common[upper] > threshold * union[upper]).sum())
        pairs += len(upper[0])
    return near / pairs


def baseline_accuracies(data: DataSet, frame: pd.DataFrame) -> list[float]:
    """Return the held-out accuracy of TF-IDF + logistic regression for each split seed."""
    scores = []
    for seed in SEEDS:
        train_x, test_x, train_y, test_y = train_test_split(
            frame[data.text],
            frame[data.label],
            test_size=0.2,
            stratify=frame[data.label],
            random_state=seed,
        )
        model = make_pipeline(data.tfidf(), LogisticRegression(C=10, max_iter=2000))
        scores.append(float(model.fit(train_x, train_y).score(test_x, test_y)))
    return scores


@both
def test_enough_clean_rows(data: DataSet) -> None:
    """A few hundred usable rows remain after dropping empties and duplicates."""
    assert len(data.clean()) >= 480


@both
def test_six_classes(data: DataSet) -> None:
    """There are exactly six classes, in the raw file as well as in the clean rows."""
    assert data.read()[data.label].nunique() == 6
    assert data.clean()[data.label].nunique() == 6


@both
def test_rows_are_not_near_copies(data: DataSet) -> None:
    """Fewer than 2 % of within-class pairs are near duplicates."""
    assert near_duplicate_share(data, data.clean()) < 0.02


@both
def test_baseline_difficulty(data: DataSet) -> None:
    """The task is neither trivial nor hopeless for a keyword model."""
    scores = baseline_accuracies(data, data.clean())
    assert 0.55 <= float(np.mean(scores)) <= 0.92, scores
    assert all(0.5 <= score <= 0.95 for score in scores), scores


@both
def test_no_cell_looks_like_a_formula(data: DataSet) -> None:
    """No cell (header included) would be run as a formula by a spreadsheet program."""
    frame = data.read()
    cells = [*frame.columns, *frame.to_numpy().ravel()]
    assert [cell for cell in cells if cell.lstrip().startswith(FORMULA_STARTS)] == []


def test_english_columns_and_class_sizes() -> None:
    """Columns are as documented, order numbers rise with the date, no class is tiny."""
    frame = ENGLISH.read()
    assert list(frame.columns) == ["order_no", "date", "equipment", "text", "crew"]
    assert len(frame) >= 505
    assert frame["crew"].value_counts().min() >= 60
    assert frame["order_no"].str.fullmatch(r"WO-\d{5}").all()
    assert frame["order_no"].is_unique
    assert frame["order_no"].is_monotonic_increasing
    dates = pd.to_datetime(frame["date"], format="%Y-%m-%d")
    assert dates.is_monotonic_increasing
    assert dates.dt.year.isin([2025, 2026]).all()


def test_english_planted_problems() -> None:
    """The file holds 2 empty texts, 3 exact duplicates and 1 contradicting pair."""
    frame = ENGLISH.read()
    filled = frame[frame["text"].str.strip() != ""]
    assert len(frame) - len(filled) == 2
    assert int(filled.duplicated(["text", "crew"]).sum()) == 3
    crews_per_text = filled.groupby("text")["crew"].nunique()
    assert crews_per_text[crews_per_text > 1].tolist() == [2]


def test_english_text_length_and_no_leak() -> None:
    """Texts have 4 to 35 words and never name the crew."""
    frame = ENGLISH.clean()
    words = frame["text"].str.split().str.len()
    assert words.between(4, 35).all()
    leaks = [t for t, c in zip(frame["text"], frame["crew"], strict=True) if c in t.lower()]
    assert leaks == []
