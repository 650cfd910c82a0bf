"""Charts for print, drawn by matplotlib from their numbers: SVG whose words stay text.

Only the object-oriented interface is used, and words are never read as mathematics.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kasa.report.palette import SERIES_COLORS
from kasa.report.print_text import FAMILIES, font_files, printable, widest, width, wrapped
from kasa.report.series import ChartData, Series, Unit
from kasa.text import Translator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, BAND = "#1F2933", "#52606D", "#E4E7EB", "#CBD2D9"
MARKERS = ("o", "D", "s", "^", "v", "P", "X", "*")
SIZE = 8.0
MOST_ROWS, MOST_NAMED = 14, 12
LOG_RATIO = 20
# matplotlib's fonts are not made for several threads, and what it reads while it writes is global.
DRAWING = threading.Lock()
WRITING: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "kasa"}


def chart_svg(data: ChartData, text: Translator, room: float) -> str:
    """Return the chart as SVG, `room` points wide; its words are text in the embedded font."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    target = io.StringIO()
    with DRAWING, rc_context(WRITING):
        figure = draw(data, text, room)
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(target, metadata={"Date": None, "Creator": None})
    return target.getvalue()


def left_out(data: ChartData) -> int:
    """Return how many categories, or names of marks and lines, the chart has no room for."""
    most = MOST_ROWS if data.categories else MOST_NAMED
    return max(0, len(data.categories or data.series) - most)


def draw(data: ChartData, text: Translator, room: float) -> Figure:
    """Return the chart as a figure `room` points wide, as high as its kind needs."""
    return _Drawing(_shown(data), text, room).figure()


def _shown(data: ChartData) -> ChartData:
    """Return the chart with as many categories as it has room for, and with words in the font."""

    def shown(one: Series) -> Series:
        if not data.categories:
            return replace(one, name=printable(one.name, 1))
        return replace(
            one,
            name=printable(one.name, 1),
            values=one.values[:MOST_ROWS],
            low=one.low[:MOST_ROWS],
            high=one.high[:MOST_ROWS],
            colors=one.colors[:MOST_ROWS],
        )

    return replace(
        data,
        series=tuple(map(shown, data.series)),
        categories=tuple(printable(name, 1) for name in data.categories[:MOST_ROWS]),
        value_title=printable(data.value_title, 1),
        x_title=printable(data.x_title, 1),
    )


def words_of(value: float, data: ChartData, text: Translator, unit: Unit | None = None) -> str:
    """Return a value of a chart as people write it."""
    small = abs(value) < 10
    ways: dict[Unit, Callable[[], str]] = {
        "fraction": lambda: text.percent(value),
        "points": lambda: text.points(value / 100),
        "money": lambda: text.money(value, data.currency),
        "count": lambda: text.number(value),
        "seconds": lambda: text.seconds(value),
        "megabytes": lambda: text.bytes(1e6 * value),
        "number": lambda: text.number(value, 3 if small else 0),
    }
    return printable(ways[unit or data.unit](), 1)


@dataclass(frozen=True)
class Room:
    """What stands around the axes, in points."""

    left: float
    right: float
    top: float
    bottom: float
    height: float


class _Drawing:
    """One chart on its way to a figure."""

    def __init__(self, data: ChartData, text: Translator, room: float) -> None:
        """Take the chart as it is to be shown; `room` is its width in points."""
        from matplotlib.font_manager import FontProperties

        self._data, self._text, self._width = data, text, room
        font = FontProperties(family=FAMILIES[:1], fname=font_files()[0], size=SIZE)
        self._words: dict[str, Any] = {
            "fontproperties": font,
            "color": INK,
            "parse_math": False,
        }

    def figure(self) -> Figure:
        """Return the figure."""
        flat = bool(self._data.categories)
        return self._flat() if flat else self._free()

    # -- charts of categories: a row each, with its numbers on the right ---------------------------

    def _flat(self) -> Figure:
        data, longest = self._data, 0.36 * self._width
        names = [wrapped(name, SIZE, longest, 2) for name in data.categories]
        numbers = [self._numbers(place) for place in range(len(names))]
        legend = self._legend_rows() if len(data.series) > 1 else 0
        row = 23.0 if any("\n" in name for name in names) else 17.0
        if data.kind == "bars":
            row = max(row, 10.0 * len(data.series))
        room = Room(
            left=max(widest(name, SIZE) for name in names) + 8,
            right=max(width(number, SIZE) for number in numbers) + 12,
            top=13.0 * legend + 4,
            bottom=29,
            height=13.0 * legend + 33 + row * len(names),
        )
        figure, axes = self._frame(room)
        kinds = {
            "bars": self._bars,
            "intervals": self._intervals,
            "stacked": self._stacked,
            "span": self._span,
        }
        kinds[data.kind](axes)
        axes.set_ylim(len(names) - 0.5, -0.5)  # the first on top
        axes.set_yticks(range(len(names)), names, linespacing=1.15, **self._words)
        for place, number in enumerate(numbers):
            where = axes.get_yaxis_transform()
            spot: dict[str, Any] = {"transform": where, "ha": "left", "va": "center"}
            axes.text(1 + 8 / self._inside(room), place, number, **spot, **self._words)
        self._value_axis(axes, self._inside(room))
        if legend:
            self._legend(figure)
        return figure

    def _numbers(self, place: int) -> str:
        """Return what stands at the right of a category's row."""
        data, text = self._data, self._text
        if data.kind == "span":
            low, high = (words_of(one.values[place], data, text) for one in data.series)
            return text("report.interval", low=low, high=high)
        if data.kind == "stacked":
            return words_of(sum(one.values[place] for one in data.series), data, text)
        one = data.series[0]
        if len(data.series) > 1:  # bars beside each other: the numbers of one would mislead
            return ""
        value = words_of(one.values[place], data, text)
        if not one.low:
            return value
        low, high = (words_of(ends[place], data, text) for ends in (one.low, one.high))
        return f"{value} ({text('report.interval', low=low, high=high)})"

    def _bars(self, axes: Axes) -> None:
        data, count = self._data, len(self._data.series)
        for place, one in enumerate(data.series):
            thick = 0.62 / count
            rows = [row + thick * (place - (count - 1) / 2) for row in range(len(one.values))]
            colors = _colors(one, place)
            axes.barh(rows, one.values, height=thick, color=colors, zorder=2)
            if one.low:
                self._whiskers(axes, one, rows)
        ends = _ends(data)
        top = 1.0 if data.unit == "fraction" and ends[1] <= 1 else 1.04 * ends[1]
        axes.set_xlim(min(0.0, 1.04 * ends[0]), max(top, 1e-9))

    def _whiskers(self, axes: Axes, one: Series, rows: Sequence[float]) -> None:
        errors = _errors(one)
        axes.errorbar(
            one.values,
            rows,
            xerr=errors,
            fmt="none",
            ecolor=INK,
            elinewidth=0.9,
            capsize=2.5,
            zorder=3,
        )

    def _intervals(self, axes: Axes) -> None:
        data, one = self._data, self._data.series[0]
        if data.band:
            axes.axvspan(-data.band, data.band, color=BAND, alpha=0.55, linewidth=0, zorder=0)
        axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
        for row, color in enumerate(_colors(one, 0)):
            each = _at(one, row)
            axes.errorbar(
                each.values,
                [row],
                xerr=_errors(each),
                fmt="o",
                color=color,
                markersize=5,
                elinewidth=1.6,
                capsize=3,
                zorder=3,
            )
        low, high = _ends(data)
        low, high = min(low, -data.band, 0.0), max(high, data.band, 0.0)
        spare = 0.05 * ((high - low) or 1.0)
        axes.set_xlim(low - spare, high + spare)

    def _stacked(self, axes: Axes) -> None:
        data = self._data
        used = [0.0] * len(data.categories)
        for place, one in enumerate(data.series):
            color = _colors(one, place)[0]
            rows = range(len(used))
            edge: dict[str, Any] = {"edgecolor": "#FFFFFF", "linewidth": 0.5}
            axes.barh(rows, one.values, left=used, height=0.62, color=color, zorder=2, **edge)
            used = [before + more for before, more in zip(used, one.values, strict=True)]
        axes.set_xlim(0, 1.04 * max((*used, 1e-9)))

    def _span(self, axes: Axes) -> None:
        data = self._data
        for place, one in enumerate(data.series):
            sizes = [value - data.base for value in one.values]
            color = _colors(one, place)[0]
            rows = range(len(sizes))
            axes.barh(rows, sizes, left=data.base, height=0.62, color=color, zorder=2)
        axes.axvline(data.base, color=MUTED, linewidth=0.9, zorder=3)
        low, high = _ends(data)
        low, high = min(low, data.base), max(high, data.base)
        spare = 0.04 * ((high - low) or 1.0)
        axes.set_xlim(low - spare, high + spare)

    # -- charts of two numbers: marks and lines ----------------------------------------------------

    def _free(self) -> Figure:
        data = self._data
        legend = self._legend_rows()
        high, low = (words_of(end, data, self._text) for end in _ends(data))
        left = max(width(words, SIZE) for words in (high, low)) + 26
        last = self._labels(
            [_powers(data)[-1] if _in_powers(data) else _costs(data)[1]], data.x_unit
        )
        right = max(14.0, width(last[0], SIZE) / 2)  # half of the last tick stands there
        room = Room(left, right, 13.0 * legend + 6, 31, 13.0 * legend + 175)
        figure, axes = self._frame(room, both=True)
        for place, one in enumerate(data.series):
            color = _colors(one, place)[0]
            marker = MARKERS[place % len(MARKERS)]
            if data.kind == "lines":
                self._line(axes, one, color)
            else:
                errors = _errors(one) if one.low else None
                mark: dict[str, Any] = {
                    "fmt": marker,
                    "markersize": 6.5,
                    "elinewidth": 1.1,
                    "capsize": 2.5,
                }
                axes.errorbar(one.x, one.values, yerr=errors, color=color, zorder=3, **mark)
        self._upright_axis(axes)
        self._cost_axis(axes, self._inside(room))
        self._legend(figure)
        return figure

    def _line(self, axes: Axes, one: Series, color: str) -> None:
        axes.plot(one.x, one.values, color=color, linewidth=1.5, marker="o", markersize=3, zorder=3)
        if one.low:
            axes.fill_between(one.x, one.low, one.high, color=color, alpha=0.14, linewidth=0)

    def _upright_axis(self, axes: Axes) -> None:
        low, high = _ends(self._data)
        spare = 0.08 * ((high - low) or abs(high) or 1.0)
        top = min(1.0, high + spare) if self._data.unit == "fraction" else high + spare
        bottom = max(0.0, low - spare) if self._data.unit == "fraction" else low - spare
        axes.set_ylim(bottom, top + 0.01 * spare)
        ticks = _ticks((bottom, top), 5)
        labels = self._labels(ticks, self._data.unit)
        axes.set_yticks(ticks, labels, **self._words)
        axes.set_ylabel(self._data.value_title, **self._words)

    def _cost_axis(self, axes: Axes, inside: float) -> None:
        data = self._data
        low, high = _costs(data)
        if _in_powers(data):
            axes.set_xscale("log")
            powers = _powers(data)
            axes.set_xlim(0.8 * powers[0], 1.2 * powers[-1])
            axes.minorticks_off()
            every = math.ceil(len(powers) / (_parts(data.x_unit, inside) + 1))
            ticks = powers[::-every][::-1]
        else:
            first = 0.0 if data.kind == "points" and low >= 0 else low
            spare = 0.06 * ((high - first) or 1.0)
            axes.set_xlim(first - (spare if first else 0.0), high + spare)
            ticks = _ticks((first, high + spare), _parts(data.x_unit, inside))
        axes.set_xticks(ticks, self._labels(ticks, data.x_unit), **self._words)
        axes.set_xlabel(data.x_title, **self._words)

    # -- frame, axes and legend --------------------------------------------------------------------

    def _frame(self, room: Room, *, both: bool = False) -> tuple[Figure, Axes]:
        """Return an empty figure with axes inside the room that words take."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(self._width / 72, room.height / 72), dpi=72, facecolor="none")
        place = (
            room.left / self._width,
            room.bottom / room.height,
            self._inside(room) / self._width,
            (room.height - room.top - room.bottom) / room.height,
        )
        axes = figure.add_axes(place, facecolor="none")
        for name, spine in axes.spines.items():
            spine.set_visible(name == "bottom" or (both and name == "left"))
            spine.set_color(BAND)
        axes.tick_params(length=0, pad=4)
        axes.grid(axis="both" if both else "x", color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        return figure, axes

    def _inside(self, room: Room) -> float:
        return self._width - room.left - room.right

    def _value_axis(self, axes: Axes, inside: float) -> None:
        ticks = _ticks(axes.get_xlim(), _parts(self._data.unit, inside))
        axes.set_xticks(ticks, self._labels(ticks, self._data.unit), **self._words)
        axes.set_xlabel(self._data.value_title, **(self._words | {"color": MUTED}))

    def _labels(self, ticks: Sequence[float], unit: Unit) -> list[str]:
        """Return ticks in words, with as many decimals as tell them apart."""
        text, step = self._text, ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
        if unit == "money":
            return [words_of(tick, self._data, text, unit) for tick in ticks]
        if unit in {"seconds", "megabytes"}:  # the axis names the unit
            return [text.number(tick, max(0, -_exponent(tick))) for tick in ticks]
        digits = max(0, -_exponent(100 * step if unit == "fraction" else step))
        ways: dict[str, Callable[[float], str]] = {
            "fraction": lambda tick: text.percent(tick, digits),
            "points": lambda tick: text.points(tick / 100, digits) if tick else "0",
        }
        way = ways.get(unit) or (lambda tick: text.number(tick, digits))
        return [way(tick) for tick in ticks]

    def _legend_rows(self) -> int:
        return math.ceil(min(len(self._data.series), MOST_NAMED) / self._legend_columns())

    def _legend_columns(self) -> int:
        """Return how many names stand beside each other."""
        names = [self._legend_name(one) for one in self._data.series[:MOST_NAMED]]
        each = max(width(name, SIZE) for name in names) + 26
        return max(1, min(len(names), int((self._width - 8) / each)))

    def _legend_name(self, one: Series) -> str:
        return wrapped(one.name, SIZE, 0.6 * self._width, 1)

    def _legend(self, figure: Figure) -> None:
        """Name the series above the axes."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        handles: list[Any] = []
        for place, one in enumerate(self._data.series[:MOST_NAMED]):
            color = _colors(one, place)[0]
            if self._data.categories:
                handles.append(Patch(facecolor=color))
                continue
            lines = self._data.kind == "lines"
            marker = "o" if lines else MARKERS[place % len(MARKERS)]
            line: dict[str, Any] = {"linestyle": "-" if lines else "none", "linewidth": 1.5}
            handles.append(Line2D([], [], color=color, marker=marker, markersize=5, **line))
        font = self._words["fontproperties"]
        legend = figure.legend(
            handles,
            ["-"] * len(handles),
            loc="upper left",
            bbox_to_anchor=(0, 1),
            ncols=self._legend_columns(),
            prop=font,
            frameon=False,
            borderpad=0,
            borderaxespad=0,
            handlelength=1.1,
            handleheight=0.8,
            columnspacing=1.4,
            labelspacing=0.55,
        )
        # Written afterwards, since a legend reads names for marks like "$" and a first "_".
        for label, one in zip(legend.get_texts(), self._data.series, strict=False):
            label.set_parse_math(False)
            label.set_text(self._legend_name(one))
            label.set_color(INK)


def _colors(one: Series, place: int) -> tuple[str, ...]:
    """Return a colour for each value."""
    colors = one.colors or (SERIES_COLORS[place % len(SERIES_COLORS)],)
    return colors if len(colors) > 1 else colors * max(1, len(one.values))


def _at(one: Series, place: int) -> Series:
    """Return a series of one value."""
    low, high = one.low[place : place + 1], one.high[place : place + 1]
    return replace(one, values=one.values[place : place + 1], low=low, high=high)


def _errors(one: Series) -> list[list[float]] | None:
    """Return how far an interval reaches below and above each value; None without intervals."""
    if not one.low:
        return None
    below = [max(0.0, value - low) for value, low in zip(one.values, one.low, strict=True)]
    above = [max(0.0, high - value) for value, high in zip(one.values, one.high, strict=True)]
    return [below, above]


def _ends(data: ChartData) -> tuple[float, float]:
    """Return the lowest and the highest number of a chart."""
    numbers = [number for one in data.series for number in (*one.values, *one.low, *one.high)]
    return min(numbers), max(numbers)


def _costs(data: ChartData) -> tuple[float, float]:
    """Return the lowest and the highest abscissa."""
    values = [value for one in data.series for value in one.x]
    return min(values), max(values)


def _in_powers(data: ChartData) -> bool:
    """Say whether the abscissas differ so much that their axis counts in powers of ten."""
    low, high = _costs(data)
    return data.kind == "points" and low > 0 and high / low > LOG_RATIO


def _powers(data: ChartData) -> list[float]:
    """Return the powers of ten about the abscissas."""
    low, high = (math.log10(end) for end in _costs(data))
    return [10.0**power for power in range(math.floor(low), math.ceil(high) + 1)]


def _ticks(ends: tuple[float, float], parts: int) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    low, high = ends
    spare = 1e-9 * (high - low)
    found = MaxNLocator(nbins=parts, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in found if low - spare <= tick <= high + spare]


def _parts(unit: Unit, inside: float) -> int:
    """Return into how many parts an axis may be divided so that its words stay apart."""
    letters = {"money": 11, "count": 10, "seconds": 7}.get(unit, 6)
    return max(2, min(6, int(inside / (0.75 * SIZE * letters))))


def _exponent(value: float) -> int:
    """Return the power of ten of a number; 0 for zero."""
    return math.floor(math.log10(abs(value)) + 1e-9) if value else 0
