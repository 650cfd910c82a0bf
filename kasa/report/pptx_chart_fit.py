"""How much of a chart a place has room for."""

from __future__ import annotations

import math
from dataclasses import replace

from kasa.report.pptx_text import count_lines, squeezed, width
from kasa.report.series import ChartData, Series

SIZE = 11
ROW, MOST_ROW = 21.0, 72.0
NAMES_SHARE = 0.37


def fitting(data: ChartData, height: float, room: float) -> tuple[ChartData, int]:
    """Return the chart with as many categories as a height has room for, and how many that leaves.

    `room` is the chart's width: long names take more than one line.
    """
    if not data.categories or (data.kind == "stacked" and stands_upright(data, room)):
        return data, 0
    names = [squeezed(name, name_room(room)) for name in data.categories]
    longest = max(count_lines(name, SIZE, NAMES_SHARE * room) for name in names)
    longest += data.kind == "intervals"
    most = max(1, int((height - foot_height(data, room)) / max(ROW, longest * 1.3 * SIZE)))
    return head(data, most), max(0, len(names) - most)


def best_height(data: ChartData, height: float, room: float) -> float:
    """Return the height to draw a chart at: a few flat bars do not fill a slide."""
    if not data.categories or (data.kind == "stacked" and stands_upright(data, room)):
        return height
    return min(height, foot_height(data, room) + MOST_ROW * len(data.categories))


def foot_height(data: ChartData, room: float) -> float:
    """Return the height of axis, title and legend below flat bars."""
    names = sum(width(squeezed(one.name, 30), SIZE) + 40 for one in data.series)
    legend = math.ceil(names / (0.8 * room)) + 0.5 if len(data.series) > 1 else 0
    return (4 + 1.5 * legend) * SIZE


def stands_upright(data: ChartData, room: float) -> bool:
    """Say whether the names of upright bars fit below them."""
    slot = 0.85 * room / len(data.categories) - 8
    return all(count_lines(name, SIZE, slot) <= 2 for name in data.categories)


def name_room(room: float) -> float:
    """Return the length in em of the longest name beside flat bars: two lines."""
    return min(44.0, 1.9 * NAMES_SHARE * room / SIZE)


def head(data: ChartData, most: int) -> ChartData:
    def cut(one: Series) -> Series:
        low, high, colors = one.low[:most], one.high[:most], one.colors[:most]
        return replace(one, values=one.values[:most], low=low, high=high, colors=colors)

    series = tuple(cut(one) for one in data.series)
    return replace(data, series=series, categories=data.categories[:most])
