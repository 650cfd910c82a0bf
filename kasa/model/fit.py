"""Can this base model read this data? Answered by its tokenizer alone, without torch.

Two things are counted. A tokenizer with an unknown token (WordPiece, Unigram) loses what it does
not know: `unknown_share`. A tokenizer that spells unknown characters as bytes (GPT-2, Llama) has no
unknown tokens, but spends more than one token on a single character: `tokens_per_character`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from kasa.errors import ModelError
from kasa.model.source import ModelSource
from kasa.text import Translator

UNKNOWN_SHARE_MAX = 0.05
"""Measured: English on the embedded model 0.00 %, Japanese on it 18–25 % (FACTS 3)."""
TOKENS_PER_CHARACTER_MAX = 1.2
"""Above one token a character, characters are split. Japanese: 3.0 where each is spelt as bytes."""
SCRIPT_SHARE_MIN = 0.1
BATCH = 1000
JAPANESE_BASES = (
    "intfloat/multilingual-e5-small",
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
    "cl-nagoya/ruri-v3-30m",
)


@dataclass(frozen=True)
class TokenizerFit:
    """How a tokenizer reads some texts; special tokens count in the lengths only.

    `script` is japanese, latin or other; `tokens_per_character` is over the characters outside
    ASCII (0.0 where there are none); `readable` is False above `UNKNOWN_SHARE_MAX`, and for other
    scripts than latin also above `TOKENS_PER_CHARACTER_MAX`.
    """

    num_texts: int
    num_tokens: int
    unknown_share: float
    tokens_per_character: float
    median_tokens: float
    longest_tokens: int
    readable: bool
    script: str


def tokenizer_fit(source: ModelSource, texts: Sequence[str]) -> TokenizerFit:
    """Return how well the tokenizer reads the texts; `ModelError` without tokenizer.json."""
    tokenizer, unknown_id = _tokenizer(source)
    lengths: list[int] = []
    tokens = unknown = foreign_tokens = 0
    for start in range(0, len(texts), BATCH):
        batch = list(texts[start : start + BATCH])
        for text, encoding in zip(batch, tokenizer.encode_batch(batch), strict=True):
            lengths.append(len(encoding))
            own = np.asarray(encoding.special_tokens_mask) == 0
            tokens += int(own.sum())
            unknown += int((np.asarray(encoding.ids)[own] == unknown_id).sum())
            foreign_tokens += 0 if text.isascii() else _foreign_tokens(text, encoding)
    foreign = sum(not char.isascii() for text in texts for char in text)
    share = unknown / tokens if tokens else 0.0
    per_character = foreign_tokens / foreign if foreign else 0.0
    script = script_of(texts)
    spelt = script != "latin" and per_character > TOKENS_PER_CHARACTER_MAX
    return TokenizerFit(
        num_texts=len(texts),
        num_tokens=tokens,
        unknown_share=share,
        tokens_per_character=per_character,
        median_tokens=float(np.median(lengths)) if lengths else 0.0,
        longest_tokens=max(lengths, default=0),
        readable=share <= UNKNOWN_SHARE_MAX and not spelt,
        script=script,
    )


def token_counts(source: ModelSource, texts: Sequence[str]) -> NDArray[np.int64]:
    """Return each text's number of tokens, and how many of them the model does not know.

    Shape (number of texts, 2); special tokens count in the first, and nothing is cut.
    """
    tokenizer, unknown_id = _tokenizer(source)
    counts = [
        (len(encoding), encoding.ids.count(unknown_id) if unknown_id is not None else 0)
        for start in range(0, len(texts), BATCH)
        for encoding in tokenizer.encode_batch(list(texts[start : start + BATCH]))
    ]
    return np.asarray(counts, dtype=np.int64).reshape(-1, 2)


def fit_sentence(fit: TokenizerFit, text: Translator) -> str:
    """Return the fit in plain words, with other bases where the model cannot read the data."""
    unknown = text.percent(fit.unknown_share)
    if fit.readable:
        return text("model.fit.readable", unknown=unknown)
    problem = (
        text("model.fit.unknown", unknown=unknown)
        if fit.unknown_share > UNKNOWN_SHARE_MAX
        else text("model.fit.spelt", tokens=text.number(fit.tokens_per_character, 1))
    )
    advice = "japanese" if fit.script == "japanese" else "other"
    return problem + text(f"model.fit.advice_{advice}", bases=", ".join(JAPANESE_BASES))


def script_of(texts: Sequence[str]) -> str:
    """Return japanese (a tenth of the letters or more), latin (nine tenths) or other.

    Japanese is kana or Han characters; a text without letters counts as latin.
    """
    letters = [char for text in texts for char in text if char.isalpha()]
    if not letters:
        return "latin"
    japanese = sum(_japanese(char) for char in letters)
    latin = sum(ord(char) < 0x250 for char in letters)
    if japanese >= SCRIPT_SHARE_MIN * len(letters):
        return "japanese"
    return "latin" if latin >= (1 - SCRIPT_SHARE_MIN) * len(letters) else "other"


def _japanese(char: str) -> bool:
    point = ord(char)
    return 0x3040 <= point <= 0x30FF or 0x3400 <= point <= 0x9FFF or 0xFF66 <= point <= 0xFF9F


def _foreign_tokens(text: str, encoding: Encoding) -> int:
    """Count the tokens that stand for at least one character outside ASCII."""
    return sum(not text[start:end].isascii() for start, end in encoding.offsets)


def _tokenizer(source: ModelSource) -> tuple[Tokenizer, int | None]:
    file = source.folder / "tokenizer.json"
    if not file.is_file():
        raise ModelError("tokenizer_missing", name=source.name)
    state = file.stat()
    return _load_tokenizer(str(file), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4)
def _load_tokenizer(path: str, _size: int, _mtime_ns: int) -> tuple[Tokenizer, int | None]:
    try:
        tokenizer = Tokenizer.from_file(path)
        model = json.loads(Path(path).read_text("utf-8"))["model"]
    except Exception as error:  # the Rust library raises plain Exception
        raise ModelError("model_damaged", path=path, detail=str(error)) from error
    # A length limit in the file would hide how long the texts are.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if isinstance(model.get("unk_id"), int):
        return tokenizer, int(model["unk_id"])
    unknown = model.get("unk_token")
    return tokenizer, tokenizer.token_to_id(unknown) if unknown else None
