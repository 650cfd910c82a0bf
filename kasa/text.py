"""The ja and en catalogues: user-visible sentences by key, and numbers as people write them.

A catalogue is a folder of rooms, each with `en.toml` and `ja.toml`; the room's name is the first
part of a key, so `kasa/locale/errors/ja.toml` holds `errors.*`. Values are filled in with `{name}`.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from babel import Locale, dates, lists, numbers, units

LANGUAGES = ("ja", "en")
CATALOGUE = Path(__file__).parent / "locale"


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a nested catalogue as `{"a.b.c": sentence}`."""
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = str(value)
    return flat


@cache
def catalogue(lang: str, folder: Path = CATALOGUE) -> dict[str, str]:
    """Return every sentence of one language below `folder`, keyed `room.key`."""
    sentences: dict[str, str] = {}
    for file in sorted(folder.glob(f"*/{lang}.toml")):
        sentences |= flatten(tomllib.loads(file.read_text("utf-8")), f"{file.parent.name}.")
    return sentences


@dataclass(frozen=True)
class Translator:
    """Sentences, numbers, money and dates in one language."""

    lang: str
    folders: tuple[Path, ...] = (CATALOGUE,)

    def __call__(self, key: str, /, **values: Any) -> str:
        """Return the sentence for `key` with its values filled in; KeyError for an unknown key."""
        for folder in self.folders:
            sentence = catalogue(self.lang, folder).get(key)
            if sentence is not None:
                return sentence.format(**values) if values else sentence
        raise KeyError(f"no sentence {key!r} in the {self.lang} catalogue")

    def has(self, key: str) -> bool:
        """Say whether the catalogue holds `key`."""
        return any(key in catalogue(self.lang, folder) for folder in self.folders)

    @property
    def locale(self) -> Locale:
        """The Babel locale: ja_JP or en_US."""
        return Locale.parse({"ja": "ja_JP", "en": "en_US"}[self.lang])

    def number(self, value: float, digits: int = 0) -> str:
        """Return `value` with thousands separators and exactly `digits` decimals."""
        value = round(value, digits) or 0  # without the sign of a zero
        pattern = "#,##0" + ("." + "0" * digits if digits else "")
        return numbers.format_decimal(value, format=pattern, locale=self.locale)

    def percent(self, fraction: float, digits: int = 1) -> str:
        """Return a fraction as per cent, for example 0.8812 as 88.1%."""
        fraction = round(fraction, digits + 2) or 0
        pattern = "#,##0" + ("." + "0" * digits if digits else "") + "%"
        return numbers.format_percent(fraction, format=pattern, locale=self.locale)

    def points(self, fraction: float, digits: int = 1) -> str:
        """Return a difference of two fractions in signed percentage points, without the unit."""
        pattern = "+#,##0.{0};-#,##0.{0}".format("0" * digits)
        value = round(100 * fraction, digits) or 0
        return numbers.format_decimal(value, format=pattern, locale=self.locale)

    def money(self, amount: float, currency: str) -> str:
        """Return an amount in its currency's own style; small ones keep the digits that count."""
        if 0 < abs(amount) < 0.01:
            digits = math.ceil(-math.log10(abs(amount)))
            pattern = "¤0." + "0" * digits
            return numbers.format_currency(
                amount, currency, pattern, locale=self.locale, currency_digits=False
            )
        small = 0 < abs(amount) < 10
        return numbers.format_currency(
            amount, currency, locale=self.locale, currency_digits=not small
        )

    def seconds(self, value: float) -> str:
        """Return a duration as people say it: 8.3 sec, 2 min 5 sec, 1 hr 12 min (seconds in)."""
        if round(value) < 60:
            return self.unit(value, "second", 1 if round(value, 1) < 10 else 0)
        minutes, rest = divmod(round(value), 60)
        if minutes < 60:
            return f"{self.unit(minutes, 'minute')} {self.unit(rest, 'second')}"
        hours, minutes = divmod(minutes, 60)
        return f"{self.unit(hours, 'hour')} {self.unit(minutes, 'minute')}"

    def unit(self, value: float, unit: str, digits: int = 0) -> str:
        """Return a value with its unit in the locale's short form."""
        pattern = "#,##0" + ("." + "0" * digits if digits else "")
        text = units.format_unit(
            value, f"duration-{unit}", "short", format=pattern, locale=self.locale
        )
        return str(text).replace("\u00a0", " ")

    def bytes(self, value: float) -> str:
        """Return bytes as MB or GB (powers of ten), for example 512 MB or 1.3 GB."""
        if round(value / 1e6) < 1000:
            return f"{self.number(value / 1e6, 1 if value < 1e7 else 0)} MB"
        return f"{self.number(value / 1e9, 1)} GB"

    def listed(self, words: Sequence[str]) -> str:
        """Return words as a list in a sentence: A, B, and C, or A、B、C."""
        return str(lists.format_list(list(words), locale=self.locale))

    def date(self, moment: datetime) -> str:
        """Return a date and time in the locale's medium form."""
        return dates.format_datetime(moment, "medium", locale=self.locale)


@cache
def translator(lang: str) -> Translator:
    """Return the library's own translator for `ja` or `en`; any other language reads English."""
    return Translator(lang if lang in LANGUAGES else "en")
