"""Rows below the table that hold no data: totals, dates of export, remarks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median_high

from kasa.data.header import (
    DATE,
    JUDGED_ROWS,
    NUMBER,
    TIME,
    VALUE,
    Row,
    cells_of,
    count_filled,
    share_of_values,
)

FOOTER_ROWS = 10
FOOTER = re.compile(
    r"\s*(?:(?:grand\s*|sub\s*-?)?totals?|sum|average|(?:row |record )?count"
    r"|(?:exported|printed|generated|created)(?: on| at| by)?|end of (?:report|file|data|table)"
    r"|総?合\s*計|総\s*計|小\s*計|計|平均|総?件数|以\s*上"
    r"|(?:出力|作成|印刷|抽出|更新)(?:日時?|者))"
    rf"\s*(?:[:：].*|[(（].*|(?:{DATE}|{TIME}|{NUMBER})\s*[^\W\d]{{0,5}})?\.?"
    r"|page\s*\d+(?:\s*(?:of|/)\s*\d+)?|※.*|注[)）:：].*|\*{2,}.*",
    re.IGNORECASE,
)


def footer_length(rows: Sequence[Row]) -> int:
    """Return how many rows at the end are totals, dates of export or remarks, and clearly no data.

    Such a row begins with a word like 合計 or Total, holds nothing else but numbers, and either
    lacks cells or has a number where the column holds words (or a word where it holds numbers).
    """
    possible = 0
    while possible < min(FOOTER_ROWS, len(rows) - 1) and _begins_footer(rows[-1 - possible][1]):
        possible += 1
    if not possible:
        return 0
    body = rows[: min(JUDGED_ROWS, len(rows) - possible)]
    typical = median_high(count_filled(row) for row in body)
    width = max(len(row[1]) for row in body)
    shares = [share_of_values(cells_of(body, column)) for column in range(width)]
    length = 0
    while length < possible and _is_footer(rows[-1 - length][1], typical, shares):
        length += 1
    return length


def _begins_footer(cells: Sequence[str]) -> bool:
    first = next((cell.strip() for cell in cells if cell.strip()), "")
    return FOOTER.fullmatch(first) is not None


def _is_footer(cells: Sequence[str], typical: int, shares: Sequence[float]) -> bool:
    filled = [(place, cell.strip()) for place, cell in enumerate(cells) if cell.strip()]
    if typical < 2 or not all(
        VALUE.fullmatch(cell) or FOOTER.fullmatch(cell) for _, cell in filled[1:]
    ):
        return False
    if len(filled) < typical:
        return True
    # A word in a column of numbers, or a number in a column of words, is no value of that column.
    return any(
        place >= len(shares)
        or (shares[place] < 0.2 if VALUE.fullmatch(cell) else shares[place] > 0.8)
        for place, cell in filled
    )
