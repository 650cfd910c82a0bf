"""Cells of a workbook: typed values with number formats, text that stays text, widths, print."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from babel import numbers
from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from kasa.report.csv_files import FORMULA_STARTS
from kasa.report.fit import fit
from kasa.text import Translator

Kind = Literal[
    "text",
    "integer",
    "count",
    "number",
    "tenths",
    "fraction",
    "points",
    "correlation",
    "gigabytes",
    "seconds",
    "minutes",
    "months",
    "money",
    "fine_money",
    "date",
]
FORMATS: dict[str, str] = {
    "integer": "0",
    "count": "#,##0",
    "number": "#,##0.00",
    "tenths": "#,##0.0",
    "fraction": "0.0%",
    "points": "+0.0;-0.0;0.0",
    "correlation": "0.000",
    "gigabytes": '0.0" GB"',
    "date": "yyyy-mm-dd hh:mm",
}
# Numbers that stand beside others of another unit carry their own.
WITH_UNIT = {"seconds": "#,##0.0", "minutes": "0.00", "months": "#,##0.0"}
FONTS = {"ja": "Yu Gothic", "en": "Calibri"}
# A line of Yu Gothic is higher than one of Calibri; points.
LINE = {"ja": 18.75, "en": 15.0}
PIXELS_A_POINT = 4 / 3
INK, RULE, DARK, PALE, COLOURED = "#1F2933", "#CBD2D9", "#243B53", "#F0F4F8", "#FFF3C4"
RULED = {"bottom": 1, "bottom_color": RULE, "valign": "vcenter", "indent": 1}
HEADER = {
    "bold": True,
    "font_color": "#FFFFFF",
    "bg_color": DARK,
    "text_wrap": True,
    "valign": "vcenter",
    "border": 1,
    "border_color": "#FFFFFF",
}
LOOKS: dict[str, dict[str, Any]] = {
    "title": {"bold": True, "font_size": 16, "font_color": DARK, "valign": "vcenter"},
    "heading": {"bold": True, "font_size": 13, "font_color": DARK, "valign": "vcenter"},
    "lead": {"bold": True, "text_wrap": True, "valign": "top"},
    "body": {"text_wrap": True, "valign": "top"},
    "small": {"text_wrap": True, "valign": "top", "font_size": 9, "font_color": "#52606D"},
    "note": {"font_size": 9, "font_color": "#52606D", "valign": "vcenter"},
    "header": HEADER | {"indent": 1},
    "number_header": HEADER | {"align": "center"},
    "cell": RULED,
    "left": RULED | {"align": "left"},
    "wrapped": RULED | {"text_wrap": True, "valign": "top"},
    "input": RULED | {"bg_color": COLOURED, "locked": False},
    "band": RULED | {"bold": True, "bg_color": PALE, "font_color": DARK},
    "total": RULED | {"bold": True, "top": 1, "top_color": DARK},
    "met": RULED | {"bold": True, "font_color": "#1B6E4B", "bg_color": "#E3F5EC"},
    "not_met": RULED | {"bold": True, "font_color": "#9B2C2C", "bg_color": "#FCE8E6"},
    "not_settled": RULED | {"bold": True, "font_color": "#7A5B00", "bg_color": "#FDF3D6"},
}
LONGEST_TEXT = 32_767
WIDEST = 60


@dataclass(frozen=True)
class Cell:
    """A value whose kind or look is not its column's; `shown` is what to read where kinds mix."""

    value: Any
    kind: Kind = "text"
    look: str = "cell"
    shown: str = ""


@dataclass(frozen=True)
class Book:
    """A workbook in the making, with its language, its currency and the formats made so far."""

    workbook: Workbook
    text: Translator
    currency: str
    styles: dict[tuple[str, str, bool], Format] = field(default_factory=dict)

    def style(self, kind: str = "text", look: str = "cell", *, quoted: bool = False) -> Format:
        """Return the format of a kind in a look; `quoted` text stays text when it is edited."""
        key = (kind, look, quoted)
        if key not in self.styles:
            side = "left" if kind == "text" else "right"
            own: dict[str, Any] = {"font_color": INK, "align": side} | LOOKS[look]
            if kind != "text":
                own |= {"num_format": self._number_format(kind)}
            self.styles[key] = self.workbook.add_format(own | {"quote_prefix": quoted})
        return self.styles[key]

    def _number_format(self, kind: str) -> str:
        if kind in FORMATS:
            return FORMATS[kind]
        if kind in WITH_UNIT:
            word = self.text(f"sheet.suffix.{kind}")
            return f'{WITH_UNIT[kind]}"{word}"'
        return money_format(self.currency, self.text, fine=kind == "fine_money")

    @property
    def line(self) -> float:
        """The height of a line of text, in points."""
        return LINE[self.text.lang]


def money_format(currency: str, text: Translator, *, fine: bool = False) -> str:
    """Return Excel's format for a currency, amounts below zero red; `fine` has two decimals more.

    A yen has no hundredths, but a run may cost a few of them.
    """
    digits = numbers.get_currency_precision(currency) + (2 if fine else 0)
    symbol = numbers.get_currency_symbol(currency, text.locale).replace('"', "")
    space = " " if symbol == currency else ""
    amount = f'"{symbol}{space}"#,##0' + ("." + "0" * digits if digits else "")
    return f"{amount};[Red]-{amount}"


def money_kind(currency: str, *amounts: float | None) -> Kind:
    """Return the kind in which the largest of these amounts shows at least three digits."""
    known = [abs(amount) for amount in amounts if amount]
    small = 100 / 10 ** numbers.get_currency_precision(currency)
    return "fine_money" if known and max(known) < small else "money"


def clean(words: str) -> str:
    """Return text that a cell can hold: without what does not fit, and not longer than Excel takes.

    Excel counts UTF-16 units.
    """
    kept = fit(words)
    units = kept.encode("utf-16-le")
    if len(units) <= 2 * LONGEST_TEXT:
        return kept
    return units[: 2 * (LONGEST_TEXT - 1)].decode("utf-16-le", errors="ignore") + "…"


def width(words: str) -> int:
    """Return how wide the longest line is in half-width characters; full-width ones count two."""
    wide = ("W", "F", "A")
    return max(
        sum(2 if unicodedata.east_asian_width(c) in wide else 1 for c in line)
        for line in words.split("\n")
    )


def is_long(words: str) -> bool:
    """Say whether words need more than one line in the widest column."""
    return "\n" in words or width(words) > WIDEST


def put(
    book: Book, sheet: Worksheet, row: int, col: int, value: Any, kind: Kind, look: str = "cell"
) -> None:
    """Write one value: text as text whatever it begins with, numbers as numbers, dates as dates."""
    if isinstance(value, Cell):
        value, kind, look = value.value, value.kind, value.look if look == "cell" else look
    if isinstance(value, str):
        words = clean(value)
        quoted = words.startswith(FORMULA_STARTS)
        if look == "cell" and is_long(words):
            look = "wrapped"
        sheet.write_string(row, col, words, book.style("text", look, quoted=quoted))
    elif isinstance(value, date):
        sheet.write_datetime(row, col, value, book.style(kind, look))
    elif value is None or not math.isfinite(value):
        sheet.write_blank(row, col, None, book.style(kind, look))
    else:
        sheet.write_number(row, col, value, book.style(kind, look))


def local(moment: datetime | None) -> datetime | None:
    """Return a moment as this machine's clock shows it: Excel's dates know no time zone."""
    return moment.astimezone().replace(tzinfo=None) if moment else None


def paragraph(
    book: Book, sheet: Worksheet, row: int, words: str, look: str, widths: Sequence[float]
) -> None:
    """Write words over the row's first columns, of these widths, the row high enough for them."""
    lines = sum(max(1, math.ceil(1.08 * width(part) / sum(widths))) for part in words.split("\n"))
    size = LOOKS[look].get("font_size", 11) / 11
    sheet.set_row(row, book.line * max(size, 0.9) * lines + 3)
    if len(widths) > 1:
        sheet.merge_range(row, 0, row, len(widths) - 1, "", book.style("text", look))
    put(book, sheet, row, 0, words, "text", look)


def printed(sheet: Worksheet, title: str, *, top: int | None, pages: int = 0) -> None:
    """Set a sheet up for A4 paper across, a page wide, with the header row `top` on every page.

    `pages` is how many it may take, 0 for as many as there are rows for.
    """
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, pages)
    sheet.set_margins(0.5, 0.5, 0.6, 0.6)
    if top is not None:
        sheet.freeze_panes(top + 1, 0)
        sheet.repeat_rows(top)
    # "&" begins a code in a footer; Excel takes 255 characters.
    words = clean(title).replace("&", "&&").replace("\n", " ")[:120]
    sheet.set_footer(f"&L&9{words}&C&9&A&R&9&P / &N")
