"""The numbers behind a chart, for formats that draw it themselves (slides, sheets, print)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["bars", "intervals", "stacked", "span", "points", "lines"]
Unit = Literal["fraction", "number", "points", "count", "money", "seconds", "megabytes"]


@dataclass(frozen=True)
class Series:
    """Values under one name; `low` and `high` are interval ends, empty where there are none.

    `x` holds the abscissas of points and lines. `colors` are #RRGGBB: one for all values, or one
    each.
    """

    name: str
    values: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    x: tuple[float, ...] = ()
    colors: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChartData:
    """A chart as numbers; every word is finished, every value in the unit that `unit` names.

    | kind | what it is |
    |---|---|
    | bars | one flat bar a category, with its interval where there is one |
    | intervals | one mark a category with its interval, about the zero line and `band` = ± margin |
    | stacked | one upright bar a category, made of a piece of every series |
    | span | flat bars from `low` to `high` about `base` (tornado); the series are the two ends |
    | points | one mark a series at (x, value), with the value's interval |
    | lines | one line a series through (x, value) |

    Fractions are 0 to 1; points are percentage points; `categories` is empty for points and lines.
    """

    kind: Kind
    unit: Unit
    series: tuple[Series, ...]
    value_title: str
    categories: tuple[str, ...] = ()
    x_title: str = ""
    x_unit: Unit = "number"
    base: float = 0.0
    band: float = 0.0
    currency: str = ""
