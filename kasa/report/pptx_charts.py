"""Native, editable PowerPoint charts from a chart's numbers.

`NativeChart` stands in for python-pptx's chart data: it writes the chart's XML and the workbook
behind it, so that one sheet holds values and interval ends, no word becomes a formula, and bars can
have whiskers and a band behind them.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from babel.numbers import get_currency_symbol

from kasa.report.palette import SERIES_COLORS
from kasa.report.pptx_chart_fit import SIZE, foot_height, name_room, stands_upright
from kasa.report.pptx_chart_xml import (
    INK,
    NAMESPACES,
    PALE,
    QUOTES,
    axis_title,
    band_fill,
    filled,
    label_flags,
    letters,
    literal,
    point_list,
    solid,
)
from kasa.report.pptx_numbers import (
    Ends,
    Sheet,
    all_values,
    axis_ends,
    log_ends,
    pattern,
    step_digits,
    value_digits,
)
from kasa.report.pptx_text import Pen, clean, squeezed, width
from kasa.report.series import ChartData, Series, Unit
from kasa.text import Translator

MOST_SERIES = 12
MARKERS = ("circle", "diamond", "square", "triangle")
# How wide a value's label is, in em.
LABEL: dict[Unit, float] = {"money": 7.5, "count": 6.0, "seconds": 5.0, "megabytes": 5.0}
LABEL |= {"fraction": 4.5, "points": 4.5, "number": 4.5}


class NativeChart:
    """What `shapes.add_chart` asks of chart data, for one chart in a place of this size."""

    def __init__(
        self, data: ChartData, text: Translator, pen: Pen, size: tuple[float, float]
    ) -> None:
        """Lay the chart out for `size` = (width, height) points."""
        self._data, self._text, self._pen = data, text, pen
        self._width, self._height = size
        self._sheet = Sheet()
        makers = {
            "bars": self._flat_bars,
            "intervals": self._flat_bars,
            "span": self._flat_bars,
            "stacked": self._stacked,
            "points": self._scatter,
            "lines": self._scatter,
        }
        self._plot = makers[data.kind]()

    @property
    def xlsx_blob(self) -> bytes:
        """The workbook that PowerPoint opens for "Edit data"."""
        return self._sheet.workbook()

    def xml_bytes(self, _kind: object) -> bytes:
        """Return the chart part."""
        named = len(self._data.series) > 1
        place = "b" if self._legend_fits() else "r"
        gone = "".join(
            f'<c:legendEntry><c:idx val="{index}"/><c:delete val="1"/></c:legendEntry>'
            for index in range(MOST_SERIES, len(self._data.series))
        )
        legend = (
            f'<c:legend><c:legendPos val="{place}"/>{gone}<c:overlay val="0"/>'
            f"{letters(self._pen, SIZE)}</c:legend>"
        )
        return (
            "<?xml version='1.0' encoding='UTF-8' standalone='yes'?>"
            f'<c:chartSpace {NAMESPACES}><c:date1904 val="0"/><c:roundedCorners val="0"/>'
            f'<c:chart><c:autoTitleDeleted val="1"/><c:plotArea>{self._plot}'
            f"<c:spPr><a:noFill/></c:spPr></c:plotArea>{legend if named else ''}"
            '<c:plotVisOnly val="1"/><c:dispBlanksAs val="gap"/></c:chart>'
            f"<c:spPr><a:noFill/><a:ln><a:noFill/></a:ln></c:spPr>{letters(self._pen, SIZE)}"
            "</c:chartSpace>"
        ).encode()

    # -- the kinds ------------------------------------------------------------------------------

    def _flat_bars(self) -> str:
        """Return flat bars, first category on top; a pale band lies on axes of its own."""
        data = self._data
        crossing = data.base if data.kind == "span" else 0.0
        near = (crossing - data.band, crossing + data.band)
        ends = axis_ends(all_values(data), data.unit, near, self._parts(data.unit, 0.6))
        if data.kind == "span":
            ends = self._room_for_labels(ends.step)
        names = self._sheet.add("", self._categories())
        series = [
            self._bar(place, one, names, self._labels(one, ends), default=place)
            for place, one in enumerate(data.series)
        ]
        gap, overlap = (
            130 if data.band else 55,
            100 if len(series) == 1 or data.kind == "span" else 0,
        )
        plot = self._bars("".join(series), gap, overlap, 1)
        axes = self._category_axis(1, crossing) + self._value_axis(2, 1, ends, data.unit, side="b")
        if data.band:
            plot += self._band(names)
            axes += self._category_axis(3, crossing, shown=False)
            axes += self._value_axis(4, 3, ends, data.unit, side="b", shown=False)
        return f"{self._inner()}{plot}{axes}"

    def _room_for_labels(self, step: float) -> Ends:
        """Return a tornado's axis, which has room for the labels beyond its bars."""
        values = [*all_values(self._data), self._data.base]
        low, high = min(values), max(values)
        share = min(0.38, self._label_width() / ((0.94 - self._names_share()) * self._width))
        room = (high - low or 1.0) * share / (1 - 2 * share)
        return Ends(low - room, high + room, step)

    def _label_width(self) -> float:
        """Return how wide the widest label is, in points."""
        unit, values = self._data.unit, all_values(self._data)
        digits = value_digits(values, unit)
        widest = max((self._text.number(value, digits) for value in values), key=len)
        return width(f"{widest}￥", SIZE, bold=True) + 6

    def _band(self, names: str) -> str:
        """Return the margin about zero as pale bars without gaps."""
        sides, size = "", len(self._data.categories)
        for share in (-self._data.band, self._data.band):
            side = Series(self._text("slides.band"), (share,) * size)
            sides += self._bar(len(self._sheet.columns) - 1, side, names, "")
        return self._bars(sides, 0, 100, 3)

    def _stacked(self) -> str:
        """Return bars made of the series' pieces: upright, or flat where the names need room."""
        data = self._data
        pieces = list(zip(*(one.values for one in data.series), strict=True))
        tops = [sum(max(0.0, piece) for piece in bar) for bar in pieces]
        feet = [sum(min(0.0, piece) for piece in bar) for bar in pieces]
        ends = axis_ends([*tops, *feet], data.unit, (0.0,), self._parts(data.unit, 0.6))
        upright = stands_upright(data, self._width)
        names = self._sheet.add("", self._categories())
        series = [
            self._bar(place, one, names, self._labels(one, ends, upright=upright), default=place)
            for place, one in enumerate(data.series)
        ]
        plot = self._bars("".join(series), 70, 100, 1, upright=upright)
        side, other = ("b", "l") if upright else ("l", "b")
        axes = self._category_axis(1, 0.0, side=side)
        axes += self._value_axis(2, 1, ends, data.unit, side=other)
        return ("" if upright else self._inner()) + plot + axes

    def _scatter(self) -> str:
        """Return marks or lines at (x, value); whiskers are the values' intervals."""
        data = self._data
        ends = axis_ends(all_values(data), data.unit)
        xs = [x for one in data.series for x in one.x]
        across = log_ends(xs) if data.kind == "points" else None
        near = (0.0,) if data.kind == "points" else ()
        across = across or axis_ends(xs, data.x_unit, near, self._parts(data.x_unit, 0.85))
        series = "".join(self._mark(place, one) for place, one in enumerate(data.series))
        plot = (
            f'<c:scatterChart><c:scatterStyle val="lineMarker"/><c:varyColors val="0"/>{series}'
            '<c:axId val="1"/><c:axId val="2"/></c:scatterChart>'
        )
        down = self._value_axis(2, 1, ends, data.unit)
        flat = self._value_axis(1, 2, across, data.x_unit, side="b", title=data.x_title)
        return plot + flat + down

    # -- series ---------------------------------------------------------------------------------

    def _bar(self, index: int, one: Series, names: str, labels: str, default: int = 0) -> str:
        """Return one bar series; a series without colours is the band."""
        color = one.colors or ((SERIES_COLORS[default % len(SERIES_COLORS)],) if labels else ())
        letter = self._sheet.add(clean(one.name), one.values)
        fill = f"<c:spPr>{filled(color[0])}</c:spPr>" if color else band_fill()
        points = "".join(
            f'<c:dPt><c:idx val="{place}"/><c:invertIfNegative val="0"/><c:bubble3D val="0"/>'
            f"<c:spPr>{filled(each)}</c:spPr></c:dPt>"
            for place, each in enumerate(color)
            if len(color) > 1
        )
        return (
            f'<c:ser><c:idx val="{index}"/><c:order val="{index}"/>{self._name(letter)}{fill}'
            f'<c:invertIfNegative val="0"/>{points}{labels}{self._whiskers(one, "")}'
            f"<c:cat>{self._column(names)}</c:cat><c:val>{self._column(letter)}</c:val></c:ser>"
        )

    def _mark(self, place: int, one: Series) -> str:
        color = one.colors[0] if one.colors else SERIES_COLORS[place % len(SERIES_COLORS)]
        x, lines = self._sheet.add(clean(self._data.x_title), one.x), self._data.kind == "lines"
        letter = self._sheet.add(squeezed(one.name, 30), one.values)
        line = f'<a:ln w="28575">{filled(color)}</a:ln>' if lines else "<a:ln><a:noFill/></a:ln>"
        marker = (
            f'<c:marker><c:symbol val="{MARKERS[place % len(MARKERS)]}"/>'
            f'<c:size val="{5 if lines else 11}"/><c:spPr>{filled(color)}'
            "<a:ln><a:noFill/></a:ln></c:spPr></c:marker>"
        )
        return (
            f'<c:ser><c:idx val="{place}"/><c:order val="{place}"/>{self._name(letter)}'
            f"<c:spPr>{line}</c:spPr>{marker}{self._whiskers(one, 'y')}"
            f"<c:xVal>{self._column(x)}</c:xVal><c:yVal>{self._column(letter)}</c:yVal>"
            '<c:smooth val="0"/></c:ser>'
        )

    def _whiskers(self, one: Series, direction: str) -> str:
        """Return an interval's whiskers: how far its ends lie from the value."""
        if not one.low or self._data.kind == "span":
            return ""
        pairs = zip(one.values, one.low, one.high, strict=True)
        reach = [(max(0.0, high - value), max(0.0, value - low)) for value, low, high in pairs]
        up, down = zip(*reach, strict=True)
        along = f'<c:errDir val="{direction}"/>' if direction else ""
        return (
            f'<c:errBars>{along}<c:errBarType val="both"/><c:errValType val="cust"/>'
            f'<c:noEndCap val="0"/><c:plus>{literal(up)}</c:plus><c:minus>{literal(down)}'
            f'</c:minus><c:spPr><a:ln w="19050">{solid(INK)}</a:ln></c:spPr></c:errBars>'
        )

    def _labels(self, one: Series, ends: Ends, *, upright: bool = False) -> str:
        """Return the values as labels: in a bar where it is long enough, beyond it or none."""
        data = self._data
        if data.kind == "intervals":  # its numbers stand with the names, clear of the whiskers
            return "<c:dLbls>" + label_flags(values=False) + "</c:dLbls>"
        code = self._code(value_digits(one.values, data.unit))
        form = f'<c:numFmt formatCode="{escape(code, QUOTES)}" sourceLinked="0"/>'
        single = ""
        for place, value in enumerate(one.values):
            where, color = (
                self._label_place(one, value, ends, upright=upright),
                self._on(one, place),
            )
            if not where:
                single += f'<c:dLbl><c:idx val="{place}"/><c:delete val="1"/></c:dLbl>'
                continue
            ink = solid(INK if where == "outEnd" else color)
            single += (
                f'<c:dLbl><c:idx val="{place}"/>{form}<c:spPr><a:noFill/></c:spPr>'
                f'{letters(self._pen, SIZE, ink, bold=True)}<c:dLblPos val="{where}"/>'
                f"{label_flags(values=True)}</c:dLbl>"
            )
        return f"<c:dLbls>{single}{form}{label_flags(values=True)}</c:dLbls>"

    def _label_place(self, one: Series, value: float, ends: Ends, *, upright: bool) -> str:
        """Return where a value's label stands; empty where it has no room."""
        data, share = self._data, abs(value - self._data.base) / ends.span
        wide = LABEL[data.unit] * SIZE
        if data.kind == "span":
            return "outEnd"
        if data.kind == "stacked":
            least = 1.6 * SIZE / (0.7 * self._height) if upright else wide / (0.55 * self._width)
            slot = 0.85 * self._width / len(data.categories) / 1.7
            return "" if share < least or (upright and slot < wide) else "ctr"
        if share >= wide / (0.55 * self._width):
            return "inBase"
        return "" if one.low else "outEnd"  # whiskers would run through it

    def _on(self, one: Series, place: int) -> str:
        """Return the ink that reads on a bar's colour."""
        color = one.colors[place % len(one.colors)] if one.colors else ""
        if not color:
            color = SERIES_COLORS[self._data.series.index(one) % len(SERIES_COLORS)]
        red, green, blue = (int(color.lstrip("#")[i : i + 2], 16) for i in (0, 2, 4))
        light = 0.299 * red + 0.587 * green + 0.114 * blue > 150
        return f'<a:srgbClr val="{"1F2933" if light else "FFFFFF"}"/>'

    # -- axes -----------------------------------------------------------------------------------

    def _category_axis(
        self, axis: int, crossing: float, *, side: str = "l", shown: bool = True
    ) -> str:
        order = "minMax" if side == "b" else "maxMin"
        line = solid(PALE.format(share=60)) if shown else "<a:noFill/>"
        return (
            f'<c:catAx><c:axId val="{axis}"/><c:scaling><c:orientation val="{order}"/></c:scaling>'
            f'<c:delete val="0"/><c:axPos val="{side}"/>'
            '<c:majorTickMark val="none"/><c:minorTickMark val="none"/>'
            f'<c:tickLblPos val="{"low" if shown else "none"}"/>'
            f'<c:spPr><a:ln w="12700">{line}</a:ln></c:spPr>{letters(self._pen, SIZE)}'
            f'<c:crossAx val="{axis + 1}"/>'
            f'<c:crossesAt val="{crossing!r}"/><c:auto val="0"/><c:lblAlgn val="ctr"/>'
            '<c:lblOffset val="100"/><c:noMultiLvlLbl val="1"/></c:catAx>'
        )

    def _value_axis(
        self,
        axis: int,
        other: int,
        ends: Ends,
        unit: Unit,
        *,
        side: str = "l",
        shown: bool = True,
        title: str | None = None,
    ) -> str:
        name = self._data.value_title if title is None else title
        flat = side == "b" and self._data.kind not in {"points", "lines"}
        lines = f'<c:majorGridlines><c:spPr><a:ln w="6350">{solid(PALE.format(share=15))}'
        lines += "</a:ln></c:spPr></c:majorGridlines>"
        scaling = '<c:logBase val="10"/>' if ends.log else ""
        step = "" if ends.log else f'<c:majorUnit val="{ends.step!r}"/>'
        code = "General" if ends.log else self._code(step_digits(ends.step, unit), unit)
        turn = "" if side == "b" else ' rot="-5400000" vert="horz"'
        named = axis_title(self._pen, name, turn) if name and shown else ""
        # A tornado's bars carry their numbers.
        bare = not shown or self._data.kind == "span"
        labels = "none" if bare else "nextTo" if flat else "low"
        return (
            f'<c:valAx><c:axId val="{axis}"/><c:scaling>{scaling}<c:orientation val="minMax"/>'
            f'<c:max val="{ends.high!r}"/><c:min val="{ends.low!r}"/></c:scaling>'
            f'<c:delete val="0"/><c:axPos val="{side}"/>{"" if bare else lines}'
            f'{named}<c:numFmt formatCode="{escape(code, QUOTES)}" sourceLinked="0"/>'
            '<c:majorTickMark val="none"/><c:minorTickMark val="none"/>'
            f'<c:tickLblPos val="{labels}"/><c:spPr><a:ln><a:noFill/></a:ln></c:spPr>'
            f"{letters(self._pen, SIZE)}"
            f'<c:crossAx val="{other}"/><c:crosses val="{"max" if flat else "min"}"/>'
            f'<c:crossBetween val="{"between" if self._data.categories else "midCat"}"/>{step}'
            "</c:valAx>"
        )

    def _names_share(self) -> float:
        parts = "\n".join(self._categories()).split("\n")
        return min(0.4, (max(width(part, SIZE) for part in parts) + 12) / self._width)

    def _inner(self) -> str:
        """Return the plot's place: beside names of up to two fifths of the width."""
        share = self._names_share()
        foot = foot_height(self._data, self._width)
        return (
            '<c:layout><c:manualLayout><c:layoutTarget val="inner"/><c:xMode val="edge"/>'
            f'<c:yMode val="edge"/><c:x val="{share:.4f}"/><c:y val="0.01"/>'
            f'<c:w val="{0.96 - share:.4f}"/><c:h val="{0.98 - foot / self._height:.4f}"/>'
            "</c:manualLayout></c:layout>"
        )

    # -- words and columns ----------------------------------------------------------------------

    def _categories(self) -> list[str]:
        return [self._category(place) for place in range(len(self._data.categories))]

    def _category(self, place: int) -> str:
        """Return a category's name; an interval's numbers stand below it."""
        data, text = self._data, self._text
        name = squeezed(data.categories[place], name_room(self._width))
        if data.kind != "intervals":
            return name
        one = data.series[0]
        digits = 1 if data.unit == "points" else 2
        sign = {True: text.points, False: text.number}[data.unit == "points"]
        scale = 100 if data.unit == "points" else 1
        value, low, high = (
            sign(number / scale, digits)
            for number in (one.values[place], one.low[place], one.high[place])
        )
        return clean(f"{name}\n{value} ({text('report.interval', low=low, high=high)})")

    def _parts(self, unit: Unit, share: float) -> int:
        """Return into how many parts an axis over this share of the width may be divided."""
        letters = {"money": 12, "count": 10}.get(unit, 6)
        return max(2, min(6, int(share * self._width / (0.7 * SIZE * letters))))

    def _code(self, digits: int, unit: Unit | None = None) -> str:
        """Return Excel's pattern for a unit with so many decimals."""
        unit = unit or self._data.unit
        currency = self._data.currency
        symbol = get_currency_symbol(currency, locale=self._text.locale) if currency else ""
        return pattern(unit, digits, symbol)

    def _legend_fits(self) -> bool:
        names = [width(squeezed(one.name, 30), SIZE) + 30 for one in self._data.series]
        return sum(names[:MOST_SERIES]) < 2.4 * self._width

    def _name(self, letter: str) -> str:
        header = self._sheet.columns[letter][0]
        cache = f'<c:ptCount val="1"/><c:pt idx="0"><c:v>{escape(header)}</c:v></c:pt>'
        return (
            f"<c:tx><c:strRef><c:f>Sheet1!${letter}$1</c:f><c:strCache>{cache}</c:strCache>"
            "</c:strRef></c:tx>"
        )

    def _column(self, letter: str) -> str:
        values = self._sheet.columns[letter][1]
        words = any(isinstance(value, str) for value in values)
        kind, code = ("str", "") if words else ("num", "<c:formatCode>General</c:formatCode>")
        return (
            f"<c:{kind}Ref><c:f>Sheet1!${letter}$2:${letter}${len(values) + 1}</c:f><c:{kind}Cache>"
            f"{code}{point_list(values)}</c:{kind}Cache></c:{kind}Ref>"
        )

    def _bars(
        self, series: str, gap: int, overlap: int, axis: int, *, upright: bool = False
    ) -> str:
        grouping = "stacked" if self._data.kind == "stacked" else "clustered"
        return (
            f'<c:barChart><c:barDir val="{"col" if upright else "bar"}"/>'
            f'<c:grouping val="{grouping}"/><c:varyColors val="0"/>'
            f'{series}<c:gapWidth val="{gap}"/><c:overlap val="{overlap}"/>'
            f'<c:axId val="{axis}"/><c:axId val="{axis + 1}"/></c:barChart>'
        )
