"""What a native chart counts with: the workbook behind it, its axes, its number formats."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from openpyxl import Workbook
from openpyxl.utils import get_column_letter

from kasa.report.series import ChartData, Unit

FORMATS: dict[Unit, str] = {"fraction": "0{}%", "points": "+0{0};-0{0};0{0}"}
PARTS = 5
LOG_RATIO = 20


@dataclass
class Sheet:
    """The workbook behind a chart, filled column by column."""

    columns: dict[str, tuple[str, tuple[str | float, ...]]] = field(default_factory=dict)

    def add(self, header: str, values: Sequence[str | float]) -> str:
        """Add a column and return its letter."""
        letter = str(get_column_letter(len(self.columns) + 1))
        self.columns[letter] = (header, tuple(values))
        return letter

    def workbook(self) -> bytes:
        """Return the file; words stay words, whatever they begin with."""
        target, book = io.BytesIO(), Workbook()
        sheet = book.active
        sheet.title = "Sheet1"
        for place, (header, values) in enumerate(self.columns.values(), start=1):
            for row, value in enumerate((header, *values), start=1):
                cell = sheet.cell(row, place, value)
                if isinstance(value, str):
                    cell.data_type = "s"
        book.save(target)
        return target.getvalue()


@dataclass(frozen=True)
class Ends:
    """An axis: its ends, the step between its lines, and whether it counts in powers of ten."""

    low: float
    high: float
    step: float
    log: bool = False

    @property
    def span(self) -> float:
        return self.high - self.low


def axis_ends(
    values: Sequence[float], unit: Unit, near: Sequence[float] = (), parts: int = PARTS
) -> Ends:
    """Return round ends about the values and what should be in sight, in about so many parts.

    Fractions stay between 0 and 1.
    """
    low, high = min((*values, *near)), max((*values, *near))
    span = (high - low) or abs(high) or 1.0
    step = _round_step(span / parts)
    room = 0.02 * span
    start = low if low in near else low - room
    end = high if high in near else high + room
    ends = [step * math.floor(start / step + 1e-9), step * math.ceil(end / step - 1e-9)]
    if unit == "fraction" and low >= 0 and high <= 1:
        ends = [max(0.0, ends[0]), min(1.0, ends[1])]
    first, last = (float(f"{end:.10g}") for end in ends)
    return Ends(first, last, step)


def log_ends(values: Sequence[float]) -> Ends | None:
    """Return an axis of powers of ten where values differ much; None where they do not."""
    low, high = min(values), max(values)
    if low <= 0 or high / low <= LOG_RATIO:
        return None
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return Ends(10.0**first, 10.0**last, 1.0, log=True)


def _round_step(least: float) -> float:
    scale = 10.0 ** math.floor(math.log10(least))
    step = next(step for step in (1, 2, 5, 10) if step * scale >= least * (1 - 1e-9))
    return float(f"{step * scale:.10g}")


def all_values(data: ChartData) -> list[float]:
    """Return the values of every series, with the ends of their intervals."""
    return [value for one in data.series for value in (*one.values, *one.low, *one.high)]


def step_digits(step: float, unit: Unit) -> int:
    """Return how many decimals an axis of this step needs."""
    return max(0, -math.floor(math.log10(step * (100 if unit == "fraction" else 1)) + 1e-9))


def value_digits(values: Sequence[float], unit: Unit) -> int:
    """Return how many decimals a value of this unit shows."""
    if unit in {"fraction", "points"}:
        return 1
    if unit in {"count", "megabytes"}:
        return 0
    most = max((abs(value) for value in values), default=0.0)
    few = {"number": 3, "money": 2}.get(unit, 1)
    return few if most < 10 else 0


def pattern(unit: Unit, digits: int, symbol: str = "") -> str:
    """Return Excel's pattern for numbers of a unit; `symbol` is the currency's."""
    decimals = "." + "0" * digits if digits else ""
    if unit == "money":
        return f'"{symbol}"#,##0{decimals}'
    return FORMATS.get(unit, "#,##0{}").format(decimals)
