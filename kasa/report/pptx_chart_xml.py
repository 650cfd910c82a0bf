"""The small pieces of a chart's XML: words, colours, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from kasa.report.pptx_chart_fit import SIZE
from kasa.report.pptx_text import Pen, clean

NAMESPACES = (
    'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)
INK = '<a:schemeClr val="tx1"/>'
PALE = '<a:schemeClr val="tx1"><a:alpha val="{share}000"/></a:schemeClr>'
QUOTES = {'"': "&quot;"}


def letters(pen: Pen, size: float, ink: str = "", *, bold: bool = False) -> str:
    color = faces(pen, ink or solid(INK))
    return (
        "<c:txPr><a:bodyPr/><a:lstStyle/><a:p><a:pPr>"
        f'<a:defRPr sz="{round(100 * size)}" b="{int(bold)}">{color}</a:defRPr></a:pPr>'
        f'<a:endParaRPr lang="{pen.lang}"/></a:p></c:txPr>'
    )


def faces(pen: Pen, fill: str) -> str:
    fonts = (("latin", pen.latin), ("ea", pen.east_asian))
    named = "".join(f'<a:{tag} typeface="{escape(face, QUOTES)}"/>' for tag, face in fonts)
    return fill + named


def axis_title(pen: Pen, words: str, turn: str) -> str:
    run = f'<a:rPr lang="{pen.lang}" sz="{SIZE}00" b="0">{faces(pen, solid(INK))}</a:rPr>'
    return (
        f"<c:title><c:tx><c:rich><a:bodyPr{turn}/><a:lstStyle/><a:p><a:pPr>"
        f'<a:defRPr sz="{SIZE}00" b="0"/></a:pPr><a:r>{run}<a:t>{escape(clean(words))}</a:t>'
        '</a:r></a:p></c:rich></c:tx><c:overlay val="0"/></c:title>'
    )


def point_list(values: Sequence[str | float]) -> str:
    shown = (escape(value) if isinstance(value, str) else repr(float(value)) for value in values)
    points = "".join(f'<c:pt idx="{i}"><c:v>{value}</c:v></c:pt>' for i, value in enumerate(shown))
    return f'<c:ptCount val="{len(values)}"/>{points}'


def literal(values: Sequence[float]) -> str:
    return f"<c:numLit><c:formatCode>General</c:formatCode>{point_list(values)}</c:numLit>"


def filled(color: str) -> str:
    return solid(f'<a:srgbClr val="{color.lstrip("#").upper()}"/>')


def solid(color: str) -> str:
    return f"<a:solidFill>{color}</a:solidFill>"


def band_fill() -> str:
    return f"<c:spPr>{solid(PALE.format(share=12))}<a:ln><a:noFill/></a:ln></c:spPr>"


def label_flags(*, values: bool) -> str:
    flags = {"LegendKey": False, "Val": values, "CatName": False, "SerName": False}
    flags |= {"Percent": False, "BubbleSize": False}
    return "".join(f'<c:show{name} val="{int(on)}"/>' for name, on in flags.items())
