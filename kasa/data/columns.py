"""What each column holds: a guess with its reason, which the user can change with one click."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from kasa.data.table import Note
from kasa.dataspec import task_of

TEXT_NAMES = re.compile(
    r"text|sentence|sent\d?$|description|comment|note|message|question|query|observation|remark|detail"
    r"|テキスト|本文|内容|所見|記述|備考|コメント|説明|文章|質問|詳細|状況|現象",
    re.IGNORECASE,
)
LABEL_NAMES = re.compile(
    r"label|categor|class|intent|type|crew|target|mode|tag|code|verdict"
    r"|ラベル|分類|区分|種別|種類|カテゴリ|クラス|判定|不良|担当|モード",
    re.IGNORECASE,
)
SCORE_NAMES = re.compile(
    r"score|rating|similarity|grade|label|点|スコア|評価|類似度", re.IGNORECASE
)
PROMPT_NAMES = re.compile(r"^(prompt|instruction|question|query|指示|質問|問い?)$", re.IGNORECASE)
ANSWER_NAMES = re.compile(
    r"^(answer|output|response|completion|reply|solution|回答|答え?|応答|出力)$", re.IGNORECASE
)
CHOICE_NAMES = re.compile(
    r"^(choices|options|選択肢)$|^(choice|option|選択肢)[ _-]?([a-h]|\d)$", re.IGNORECASE
)
GROUP_NAMES = re.compile(
    r"machine|equipment|asset|device|line|plant|customer|group|unit"
    r"|設備|機械|号機|機番|装置|ライン|工場|顧客|グループ|製番",
    re.IGNORECASE,
)
SECOND_NAMES = re.compile(r"(2|_?b|ｂ|２|hypothesis|second|後|対)$", re.IGNORECASE)
PART_WORDS = {
    "train": "train", "training": "train", "訓練": "train", "学習": "train",
    "validation": "validation", "dev": "validation", "val": "validation", "valid": "validation",
    "検証": "validation",
    "test": "test", "テスト": "test", "評価": "test",
}  # fmt: skip
NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d+)*|[.,]\d+)%?\s*")
DECIMAL = re.compile(r"\s*[-+]?\d+[.,]\d+\s*")
DATE = re.compile(
    r"\d{2,4}[-/.年]\s?\d{1,2}([-/.月]\s?\d{1,2})?日?([ T].*)?|\d{1,2}/\d{1,2}/\d{2,4}"
)
SHOWN_EXAMPLES = 3
SAMPLE = 1000
# A group or label that hardly repeats says nothing; this many rows a value are the least.
ROWS_PER_VALUE = 2


@dataclass(frozen=True)
class ColumnInfo:
    """One column: its role (one of `ROLES`) and why, distinct values, empty cells and examples."""

    name: str
    role: str
    reason: Note
    num_values: int
    num_empty: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class _Profile:
    """What the guesses look at, from the first thousand filled cells of a column."""

    name: str
    filled: int
    num_values: int
    distinct: float
    length: float
    numbers: float
    decimals: float
    dates: float
    parts: bool

    @property
    def plain(self) -> float:
        """The share of cells that are a number or a date: no text to read."""
        return max(self.numbers, self.dates)

    @property
    def repeats(self) -> bool:
        """Whether values come back, as labels and groups do."""
        return self.num_values >= 2 and ROWS_PER_VALUE * self.num_values <= self.filled


def guess_columns(frame: pd.DataFrame) -> list[ColumnInfo]:
    """Return one `ColumnInfo` per column in the file's order, with the likely role of each."""
    profiles = [_profile(str(name), frame[name]) for name in frame.columns]
    roles = _roles(profiles)
    return [_info(p, frame[p.name], roles.get(p.name, "ignore")) for p in profiles]


def columns_with(infos: Iterable[ColumnInfo], role: str) -> tuple[str, ...]:
    """Return the names of the columns that have a role, in the file's order."""
    return tuple(info.name for info in infos if info.role == role)


def guessed_task(infos: Iterable[ColumnInfo]) -> str | None:
    """Return the task (one of `TASKS`) that the roles make possible, or None."""
    return task_of({info.role for info in infos})


def _profile(name: str, column: pd.Series) -> _Profile:
    filled = column[column.str.strip() != ""]
    sample = filled.iloc[:SAMPLE]

    def share(pattern: re.Pattern[str]) -> float:
        return float(sample.str.fullmatch(pattern).mean()) if len(sample) else 0.0

    words = set(sample.str.strip().str.lower().unique()) if len(sample) else set()
    return _Profile(
        name=name,
        filled=len(filled),
        num_values=int(filled.nunique()),
        distinct=sample.nunique() / len(sample) if len(sample) else 0.0,
        length=float(sample.str.len().mean()) if len(sample) else 0.0,
        numbers=share(NUMBER),
        decimals=share(DECIMAL),
        dates=share(DATE),
        parts=len(words) >= 2 and words <= PART_WORDS.keys() and len(filled) == len(column),
    )


def _roles(profiles: list[_Profile]) -> dict[str, str]:
    """Return the role of each column that has one; what is settled by its form comes first."""
    roles: dict[str, str] = {}
    for profile in profiles:
        if profile.parts:
            roles[profile.name] = "part"
        elif profile.dates > 0.9:
            roles[profile.name] = "date"
    free = [p for p in profiles if p.name not in roles and p.filled]
    roles |= _question_roles(free) or _text_roles(free)
    free = [p for p in free if p.name not in roles]
    groups = [p.name for p in free if GROUP_NAMES.search(p.name) and p.repeats]
    if groups:
        roles[groups[0]] = "group"
    return roles


def _question_roles(free: list[_Profile]) -> dict[str, str]:
    """Return prompt, answer and choices where the names say that the file asks and answers."""
    prompts = [p.name for p in free if PROMPT_NAMES.search(p.name)]
    answers = [p.name for p in free if ANSWER_NAMES.search(p.name)]
    choices = [p.name for p in free if CHOICE_NAMES.search(p.name)]
    if not prompts or not answers:
        return {}
    # With choices, the short answer names one of them; without, the longer one is what to write.
    length = {p.name: p.length for p in free}
    answer = (min if choices else max)(answers, key=length.__getitem__)
    return {prompts[0]: "prompt", answer: "answer", **dict.fromkeys(choices, "choices")}


def _text_roles(free: list[_Profile]) -> dict[str, str]:
    """Return text, second text, and label or score."""
    scores = {p.name: score for p in free if (score := _text_score(p)) > 0}
    text = max(scores, key=scores.__getitem__, default=None)
    if text is None:
        return {}
    roles = {text: "text"}
    names = [p.name for p in free]
    second = _second_text(text, scores, names)
    if second is not None:
        roles |= {min(text, second, key=names.index): "text"}
        roles |= {max(text, second, key=names.index): "second_text"}
    rest = [p for p in free if p.name not in roles]
    labels = {
        p.name: value + 0.1 * place / len(free)
        for place, p in enumerate(free)
        if p.name not in roles and (value := _label_score(p))
    }
    if labels:
        return roles | {max(labels, key=labels.__getitem__): "label"}
    numbers = [p for p in rest if p.numbers > 0.95 and p.num_values > 2]
    named = [p for p in numbers if SCORE_NAMES.search(p.name) or p.decimals > 0.5]
    return roles | ({named[-1].name: "score"} if named else {})


def _second_text(text: str, scores: Mapping[str, float], names: list[str]) -> str | None:
    """Return the text's partner: as good a text, named as a pair (sentence1, sentence2)."""
    for other in names:
        if other == text or scores.get(other, 0.0) < 0.4 * scores[text]:
            continue
        first, second = sorted((text, other), key=names.index)
        stem = SECOND_NAMES.sub("", second)
        paired = SECOND_NAMES.search(second) and first.startswith(stem[:3])
        if paired or {first.lower(), second.lower()} == {"premise", "hypothesis"}:
            return other
    return None


def _text_score(profile: _Profile) -> float:
    named = 3.0 if TEXT_NAMES.search(profile.name) else 1.0
    # Identifiers vary but have neither blanks nor length; sentences of any language outgrow them.
    length = min(profile.length, 200.0)
    return named * length * (0.1 + profile.distinct) * (1.0 - profile.plain)


def _label_score(profile: _Profile) -> float:
    # Numbers with decimals are scores or measurements, and classes hardly ever.
    if not profile.repeats or profile.decimals > 0.5:
        return 0.0
    named = 2.0 if LABEL_NAMES.search(profile.name) else 0.0
    grouped = 1.0 if GROUP_NAMES.search(profile.name) and not named else 0.0
    short = 1.0 / (1.0 + profile.length / 40.0)
    varied = profile.num_values / profile.filled
    return max(0.01, named - grouped + short + (1.0 - varied) * (1.0 - 0.5 * profile.plain))


def _info(profile: _Profile, column: pd.Series, role: str) -> ColumnInfo:
    filled = column[column.str.strip() != ""]
    facts = {"values": profile.num_values, "rows": profile.filled, "length": round(profile.length)}
    return ColumnInfo(
        name=profile.name,
        role=role,
        reason=Note(f"because_{_reason(profile, role)}", facts),
        num_values=profile.num_values,
        num_empty=len(column) - profile.filled,
        examples=tuple(str(value) for value in filled.unique()[:SHOWN_EXAMPLES]),
    )


def _reason(profile: _Profile, role: str) -> str:
    if role != "ignore":
        return role
    if not profile.filled:
        return "empty"
    if profile.num_values == 1:
        return "constant"
    if profile.distinct == 1.0 and profile.length < 30:
        return "identifier"
    return "number" if profile.numbers > 0.9 else "other"
