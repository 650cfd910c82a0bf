"""Excel's own charts, over cells that stand on the sheet or on the one of chart data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xlsxwriter.chart import Chart as Drawing
from xlsxwriter.worksheet import Worksheet

from kasa.report.plots import Chart
from kasa.report.series import ChartData, Series, Unit
from kasa.report.tree import Charts, Section
from kasa.report.xlsx_cells import (
    FONTS,
    INK,
    PIXELS_A_POINT,
    RULE,
    Book,
    Kind,
    money_format,
    printed,
    put,
    width,
)
from kasa.text import Translator

KINDS: dict[Unit, Kind] = {"fraction": "fraction", "points": "points", "number": "correlation"}
AXIS_FORMATS = {"fraction": "0%", "points": "+0.##;-0.##;0", "number": "0.0#"}
WHISKER = {"color": "#334E68", "width": 1.5}
DRAWN = ("bars", "intervals")
BAR_HEIGHT, CHART_FRAME, CHART_WIDTH, CHART_GAP = 34, 120, 600, 20
PIXELS_A_CHARACTER = 7
MOST_STEPS, LEGEND = 7, 30
FEW_BARS, LOW_BAR_HEIGHT = 6, 24


def drawn_charts(sections: Sequence[Section], key: str) -> Iterator[Chart]:
    """Return a section's charts whose numbers a workbook can draw."""
    for section in sections:
        blocks = section.blocks if section.key == key else ()
        for block in blocks:
            found = block.charts if isinstance(block, Charts) else ()
            yield from (chart for chart in found if chart.data and chart.data.kind in DRAWN)


@dataclass
class DataSheet:
    """The last sheet of a workbook: the numbers of its charts; made when there is a first chart."""

    book: Book
    title: str
    sheet: Worksheet | None = None
    row: int = 0

    def place(self, charts: Iterable[Chart], sheet: Worksheet, top: int, wide: int) -> int:
        """Draw charts on `sheet` from row `top`, side by side as far as its width allows.

        `wide` is in characters. Returns the first row below them.
        """
        beside = max(1, wide * PIXELS_A_CHARACTER // (CHART_WIDTH + CHART_GAP))
        row = below = top
        for place, chart in enumerate(charts):
            if chart.data is None:
                continue
            drawing = self._draw(chart, chart.data)
            if place and place % beside == 0:
                row = below
            left = (CHART_WIDTH + CHART_GAP) * (place % beside)
            sheet.insert_chart(row, 0, drawing, {"x_offset": left, "object_position": 2})
            height = _height(len(chart.data.categories)) + CHART_GAP
            below = max(below, row + math.ceil(height / (self.book.line * PIXELS_A_POINT)))
        return below

    def _draw(self, chart: Chart, data: ChartData) -> Drawing:
        if self.sheet is None:
            self.sheet = self.book.workbook.add_worksheet(self.book.text("sheet.name.charts"))
            self.sheet.set_column(0, 0, 44)
            self.sheet.set_column(1, 3, 22)
            printed(self.sheet, self.title, top=None)
        first = self.row + 2
        drawing = _bars(self.book, self.sheet.get_name(), chart, data, first)
        _write_numbers(self.book, self.sheet, chart, data, self.row)
        self.row = first + len(data.categories) + 2
        return drawing


def _write_numbers(book: Book, sheet: Worksheet, chart: Chart, data: ChartData, top: int) -> None:
    text, (series,) = book.text, data.series
    put(book, sheet, top, 0, _title(chart, data, text), "text", "heading")
    sheet.set_row(top + 1, 2 * book.line + 4)
    ends = ("minus", "plus") if series.low else ()
    titles = ("", series.name, *(text(f"sheet.column.{end}") for end in ends))
    for col, title in enumerate(titles):
        put(book, sheet, top + 1, col, title, "text", "number_header" if col else "header")
    for row, place in enumerate(_order(data), top + 2):
        put(book, sheet, row, 0, data.categories[place], "text")
        reach = [_reach(series, end)[place] for end in ends]
        for col, number in enumerate((series.values[place], *reach), 1):
            kind: Kind = "tenths" if col > 1 and data.unit == "points" else KINDS[data.unit]
            put(book, sheet, row, col, number, kind)


def _title(chart: Chart, data: ChartData, text: Translator) -> str:
    """Return a chart's title; the report's speaks of dots where these are bars."""
    if data.kind == "bars":
        return text("sheet.means", metric=data.value_title)
    return chart.title


def _order(data: ChartData) -> list[int]:
    """Return the places of the categories from the last: Excel draws flat bars from below."""
    return list(reversed(range(len(data.categories))))


def _reach(series: Series, end: str) -> list[float]:
    """Return how far the interval reaches from every value, down (minus) or up (plus)."""
    ends, sign = (series.low, -1) if end == "minus" else (series.high, 1)
    pairs = zip(ends, series.values, strict=True)
    return [max(0.0, sign * (limit - value)) for limit, value in pairs]


def _bars(book: Book, name: str, chart: Chart, data: ChartData, first: int) -> Drawing:
    """Return flat bars over the sheet's rows from `first`, with whiskers where there are ends."""
    drawing, series, order = book.workbook.add_chart({"type": "bar"}), data.series[0], _order(data)
    last = first + len(order) - 1
    looks: dict[str, Any] = {
        "name": [name, first - 1, 1],
        "categories": [name, first, 0, last, 0],
        "values": [name, first, 1, last, 1],
        "gap": 60,
        "points": [
            {"fill": {"color": series.colors[place if len(series.colors) > 1 else 0]}}
            for place in order
        ],
    }
    if series.low:
        looks["y_error_bars"] = {"type": "custom", "line": WHISKER}
        for column, end in (("C", "minus"), ("D", "plus")):
            found = _reach(series, end)
            cells = f"='{name}'!${column}${first + 1}:${column}${last + 1}"
            looks["y_error_bars"][f"{end}_values"] = cells
            looks["y_error_bars"][f"{end}_data"] = [found[place] for place in order]
    drawing.add_series(looks)
    axis = _axis(book, data.value_title) | {"num_format": AXIS_FORMATS[data.unit]}
    drawing.set_x_axis(axis | _ends(data))
    drawing.set_y_axis(_axis(book) | {"label_position": "low", "major_gridlines": {"visible": 0}})
    drawing.set_legend({"none": True})
    _finish(book, drawing, _title(chart, data, book.text), _height(len(order)))
    return drawing


def _ends(data: ChartData) -> dict[str, float]:
    """Return an axis's ends and step, with room for every whisker and the margin of equivalence.

    Shares go from 0 to 100 %.
    """
    if data.unit == "fraction":
        return {"min": 0, "max": 1, "major_unit": 0.2}
    (series,) = data.series
    low = min(-data.band, 0.0, *series.values, *series.low)
    high = max(data.band, 0.0, *series.values, *series.high)
    rough = (high - low) / MOST_STEPS or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough)
    return {
        "min": step * math.floor(low / step),
        "max": step * math.ceil(high / step),
        "major_unit": step,
    }


def _height(bars: int) -> int:
    return CHART_FRAME + bars * (BAR_HEIGHT if bars <= FEW_BARS else LOW_BAR_HEIGHT)


def _font(book: Book, size: int, *, bold: bool = False) -> dict[str, Any]:
    return {"name": FONTS[book.text.lang], "size": size, "bold": bold, "color": INK}


def _axis(book: Book, title: str = "") -> dict[str, Any]:
    return {
        "name": title,
        "name_font": _font(book, 10),
        "num_font": _font(book, 10),
        "line": {"color": RULE},
        "major_gridlines": {"visible": 1, "line": {"color": "#E4E7EB"}},
    }


def _finish(book: Book, drawing: Drawing, title: str, height: int) -> None:
    # A title breaks nowhere by itself in some viewers.
    size = 12 if width(title) <= 60 else 10
    drawing.set_title({"name": title, "name_font": _font(book, size, bold=True), "overlay": False})
    drawing.set_size({"width": CHART_WIDTH, "height": height})
    drawing.set_chartarea({"border": {"color": RULE}})


def stacked_chart(
    book: Book, name: str, title: str, axis: str, parts: Sequence[tuple[int, str]], arms: range
) -> Drawing:
    """Return flat bars, one an arm, stacked of rows of a sheet: (row, colour) each.

    The rows' names stand in the column left of `arms`, the arms' in the row given first.
    """
    (head, _), *pieces = parts
    left, right = arms[0], arms[-1]
    drawing = book.workbook.add_chart({"type": "bar", "subtype": "stacked"})
    for row, color in pieces:
        drawing.add_series(
            {
                "name": [name, row, left - 1],
                "categories": [name, head, left, head, right],
                "values": [name, row, left, row, right],
                "fill": {"color": color},
                "gap": 60,
            }
        )
    money = money_format(book.currency, book.text)
    # The first arm on top; turned round, the axis would put the amounts there too.
    turned = {"reverse": True, "major_gridlines": {"visible": 0}}
    drawing.set_y_axis(_axis(book) | turned)
    amounts = {"num_format": money, "min": 0, "label_position": "high"}
    drawing.set_x_axis(_axis(book, axis) | amounts)
    drawing.set_legend({"position": "bottom", "font": _font(book, 10)})
    _finish(book, drawing, title, _height(len(arms)) + LEGEND)
    return drawing
