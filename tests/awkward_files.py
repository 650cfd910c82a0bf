"""More than fifty files that are awkward in one named way each, with what must be read from them.

Each is made here from its bytes, and none holds anybody's data. `CASES` maps the way in which a
file is awkward to an `Awkward`: its bytes, how it is to be read, and the expected table.
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import openpyxl
import pyarrow as pa
from openpyxl.styles import Font
from pyarrow import parquet

from kasa.data.read import Reading


@dataclass(frozen=True)
class Awkward:
    """A file and its expected reading; `rows` maps row numbers to cells, `notes` are codes."""

    content: bytes
    header: Sequence[str]
    rows: dict[int, Sequence[str]]
    format: str = "csv"
    encoding: str = "utf-8"
    delimiter: str | None = ","
    header_row: int = 1
    notes: tuple[str, ...] = ()
    reading: Reading | None = None
    sheet: str | None = None
    sheets: tuple[str, ...] = ()
    member: str | None = None


CASES: dict[str, Awkward] = {}
EN = ("text", "crew")
EN_ROWS: dict[int, Sequence[str]] = {
    2: ("pump leaks at the flange", "mechanical"),
    3: ("fuse blown in panel 3", "electrical"),
    4: ("bearing noise, left side", "mechanical"),
}
JA = ("所見", "不良区分")
JA_ROWS: dict[int, Sequence[str]] = {
    2: ("ポンプから異音がする", "機械"),
    3: ("ﾌﾞﾚｰｶが落ちる①号機", "電気"),
    4: ("配管の継手から油漏れ、要確認", "配管"),
}
# Without the signs that only Windows has, for encodings that lack them.
PLAIN_ROWS: dict[int, Sequence[str]] = {**JA_ROWS, 3: ("ブレーカが落ちる", "電気")}
FR = ("texte", "catégorie")
FR_ROWS: dict[int, Sequence[str]] = {
    2: ("fuite à la pompe d’eau", "mécanique"),
    3: ("câble coupé près du four", "électrique"),
    4: ("arrêt d’urgence déclenché", "sécurité"),
}


def lines(header: Sequence[str], rows: dict[int, Sequence[str]], delimiter: str = ",") -> str:
    quoted = [
        [f'"{cell}"' if delimiter in cell or "\n" in cell else cell for cell in row]
        for row in (header, *rows.values())
    ]
    return "".join(delimiter.join(row) + "\r\n" for row in quoted)


def moved(rows: dict[int, Sequence[str]], by: int) -> dict[int, Sequence[str]]:
    return {number + by: cells for number, cells in rows.items()}


def add(name: str, content: bytes | str, header: Sequence[str] = EN, **facts: Any) -> None:
    facts.setdefault("rows", EN_ROWS)
    if isinstance(content, str):
        content = content.encode()
    CASES[name] = Awkward(content, header, **facts)


def add_book(
    name: str, fill: Callable[[Any], None], header: Sequence[str] = EN, **facts: Any
) -> None:
    book = openpyxl.Workbook()
    book.active.title = "data"
    fill(book)
    file = io.BytesIO()
    book.save(file)
    facts = {"format": "xlsx", "delimiter": None, "sheet": "data", "sheets": ("data",)} | facts
    add(name, file.getvalue(), header, **facts)


def rows_of(*rows: Sequence[Any]) -> Callable[[Any], None]:
    def fill(book: Any) -> None:
        for row in rows:
            book.active.append(row)

    return fill


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/", 1) if "MACOSX" in name else name, content)
    return file.getvalue()


# -- encodings ----------------------------------------------------------------------------------

EN_TEXT, JA_TEXT, FR_TEXT = lines(EN, EN_ROWS), lines(JA, JA_ROWS), lines(FR, FR_ROWS)
PLAIN_TEXT = lines(JA, PLAIN_ROWS)
ENCODED = {"notes": ("encoding",)}

add(
    "utf-8 with byte order mark",
    JA_TEXT.encode("utf-8-sig"),
    JA,
    rows=JA_ROWS,
    encoding="utf-8-sig",
)
add(
    "cp932 from Japanese Excel",
    JA_TEXT.encode("cp932"),
    JA,
    rows=JA_ROWS,
    encoding="cp932",
    **ENCODED,
)
add(
    "half-width katakana only, in cp932",
    "ﾅｲﾖｳ,ｸﾌﾞﾝ\r\nﾎﾟﾝﾌﾟ ｲｵﾝ,ｷｶｲ\r\nﾓｰﾀ ﾌﾃﾞｷ,ﾃﾞﾝｷ\r\nﾊﾞﾙﾌﾞ ﾓﾚ,ﾊｲｶﾝ\r\n".encode("cp932"),
    ("ﾅｲﾖｳ", "ｸﾌﾞﾝ"),
    rows={2: ("ﾎﾟﾝﾌﾟ ｲｵﾝ", "ｷｶｲ"), 3: ("ﾓｰﾀ ﾌﾃﾞｷ", "ﾃﾞﾝｷ"), 4: ("ﾊﾞﾙﾌﾞ ﾓﾚ", "ﾊｲｶﾝ")},
    encoding="cp932",
    **ENCODED,
)
add(
    "cp932 with the end mark of DOS",
    JA_TEXT.encode("cp932") + b"\x1a",
    JA,
    rows=JA_ROWS,
    encoding="cp932",
    **ENCODED,
)
add("euc-jp", PLAIN_TEXT.encode("euc_jp"), JA, rows=PLAIN_ROWS, encoding="euc-jp", **ENCODED)
add(
    "euc-jp with the signs of Windows",
    "所見,区分\r\n".encode("euc_jp")
    + b"\xad\xa1\xb9\xe6\xb5\xa1\xa4\xac\xc4\xe4\xbb\xdf,\xad\xea\r\n",
    ("所見", "区分"),
    rows={2: ("①号機が停止", "㈱")},
    encoding="euc-jp",
    **ENCODED,
)
add(
    "iso-2022-jp from a mail system",
    PLAIN_TEXT.encode("iso2022_jp"),
    JA,
    rows=PLAIN_ROWS,
    encoding="iso-2022-jp",
    **ENCODED,
)
add(
    "utf-16 as Excel's Unicode text",
    b"\xff\xfe" + lines(JA, JA_ROWS, "\t").encode("utf-16-le"),
    JA,
    rows=JA_ROWS,
    encoding="utf-16-le",
    delimiter="\t",
    **ENCODED,
)
add(
    "utf-16 big endian with mark",
    b"\xfe\xff" + JA_TEXT.encode("utf-16-be"),
    JA,
    rows=JA_ROWS,
    encoding="utf-16-be",
    **ENCODED,
)
add(
    "utf-16 without mark",
    JA_TEXT.encode("utf-16-le"),
    JA,
    rows=JA_ROWS,
    encoding="utf-16-le",
    **ENCODED,
)
add("utf-16 big endian without mark", EN_TEXT.encode("utf-16-be"), encoding="utf-16-be", **ENCODED)
add("utf-32", JA_TEXT.encode("utf-32"), JA, rows=JA_ROWS, encoding="utf-32", **ENCODED)
add(
    "French in cp1252 with curly apostrophes",
    FR_TEXT.encode("cp1252"),
    FR,
    rows=FR_ROWS,
    encoding="cp1252",
    **ENCODED,
)
add(
    "German in latin-1, semicolons and decimal commas",
    "Text;Größe in mm;Priorität\nÖl läuft aus;1,5;hoch\nKühlung fällt aus;12,25;hoch\n".encode(
        "latin-1"
    ),
    ("Text", "Größe in mm", "Priorität"),
    rows={2: ("Öl läuft aus", "1,5", "hoch"), 3: ("Kühlung fällt aus", "12,25", "hoch")},
    encoding="cp1252",
    delimiter=";",
    **ENCODED,
)
add(
    "only a degree sign betrays latin-1",
    "text,crew\nruns at 95 °C,mechanical\n".encode("latin-1"),
    rows={2: ("runs at 95 °C", "mechanical")},
    encoding="cp1252",
    **ENCODED,
)
add(
    "the encoding is given because nothing tells",
    "text,crew\n\xfc,a\n".encode("latin-1"),
    rows={2: ("ü", "a")},
    encoding="iso-8859-1",
    reading=Reading(encoding="iso-8859-1"),
)

# -- delimiters, quotes, line ends --------------------------------------------------------------

add("tabs in a file named .csv", lines(EN, EN_ROWS, "\t"), delimiter="\t")
add("bars", lines(EN, EN_ROWS, "|"), delimiter="|")
add("semicolons", lines(JA, JA_ROWS, ";"), JA, rows=JA_ROWS, delimiter=";")
add("Excel's own first line sep=;", "sep=;\r\n" + lines(EN, EN_ROWS, ";"), delimiter=";")
add(
    "a comma file whose texts hold more semicolons",
    'text,crew\n"a; b; c",x\nd;e;f,y\n',
    rows={2: ("a; b; c", "x"), 3: ("d;e;f", "y")},
)
add("old Mac line ends", EN_TEXT.replace("\r\n", "\r"))
add("Unix line ends and none at the end", EN_TEXT.replace("\r\n", "\n").rstrip("\n"))
add(
    "line breaks, quotes and commas inside cells",
    'text,crew\r\n"two\r\nlines",a\r\n"said ""stop"", then left",b\r\nlast,c\r\n',
    rows={2: ("two\r\nlines", "a"), 3: ('said "stop", then left', "b"), 4: ("last", "c")},
)
add(
    "trailing delimiters",
    "text,crew,,\npump leaks,a,,\nfuse blown,b,,\n",
    rows={2: ("pump leaks", "a"), 3: ("fuse blown", "b")},
)
add(
    "trailing delimiters in the header only",
    "text,crew,\npump leaks,a\nfuse blown,b\n",
    rows={2: ("pump leaks", "a"), 3: ("fuse blown", "b")},
)
add("hundreds of empty rows at the end", EN_TEXT + ",\r\n" * 300)
add(
    "an empty column in the middle",
    "text,,crew\npump leaks,,a\nfuse blown,,b\n",
    rows={2: ("pump leaks", "a"), 3: ("fuse blown", "b")},
)
add(
    "a column without a name and one named twice",
    "text,,crew,crew\npump leaks,7,a,x\nfuse blown,8,b,y\n",
    ("text", "column 2", "crew", "crew (2)"),
    rows={2: ("pump leaks", "7", "a", "x"), 3: ("fuse blown", "8", "b", "y")},
    notes=("blank_column", "double_column"),
)
add(
    "formulas as text",
    "text,crew\n=1+1,@x\n+cmd|' /C calc'!A0,-1\n",
    rows={2: ("=1+1", "@x"), 3: ("+cmd|' /C calc'!A0", "-1")},
)
add(
    "full-width digits, dates, per cent and leading zeros",
    "番号,日付,所見,率\n００１,２０２５年４月７日,異音あり,１２％\n００２,2025/4/8,異常なし,7.5%\n",
    ("番号", "日付", "所見", "率"),
    rows={
        2: ("００１", "２０２５年４月７日", "異音あり", "１２％"),
        3: ("００２", "2025/4/8", "異常なし", "7.5%"),
    },
)
add(
    "words that other readers take for nothing",
    "text,crew\nNA,null\nnan,None\n",
    rows={2: ("NA", "null"), 3: ("nan", "None")},
)

# -- headers and footers ------------------------------------------------------------------------

add(
    "title and date above the header",
    "設備点検記録,,\r\n出力日：2025/04/07,,\r\n\r\n所見,不良区分,回数\r\nポンプ異音,機械,3\r\n油漏れ,配管,1\r\n",
    ("所見", "不良区分", "回数"),
    rows={5: ("ポンプ異音", "機械", "3"), 6: ("油漏れ", "配管", "1")},
    header_row=4,
    notes=("rows_above",),
)
add(
    "a title of one cell without delimiters",
    "Work orders 2025\n" + EN_TEXT,
    rows=moved(EN_ROWS, 1),
    header_row=2,
    notes=("rows_above",),
)
add(
    "keys and values above the table",
    "plant,Osaka,,\nexported,2025-04-07,,\n\n"
    "text,crew,hours,done\npump leaks,a,2,yes\nfuse blown,b,1,no\n",
    ("text", "crew", "hours", "done"),
    rows={5: ("pump leaks", "a", "2", "yes"), 6: ("fuse blown", "b", "1", "no")},
    header_row=4,
    notes=("rows_above",),
)
add(
    "blank lines above the header",
    "\n\n" + EN_TEXT,
    rows=moved(EN_ROWS, 2),
    header_row=3,
    notes=("rows_above",),
)
add(
    "no header, the labels recur",
    "pump leaks,mechanical\nfuse blown,electrical\nbearing noise,mechanical\n",
    ("column 1", "column 2"),
    rows={
        1: ("pump leaks", "mechanical"),
        2: ("fuse blown", "electrical"),
        3: ("bearing noise", "mechanical"),
    },
    header_row=0,
    notes=("no_header",),
)
add(
    "no header, numbers and dates",
    "2025/4/7,ポンプ異音,3\n2025/4/8,油漏れ,1\n2025/4/9,過熱,2\n",
    ("column 1", "column 2", "column 3"),
    rows={
        1: ("2025/4/7", "ポンプ異音", "3"),
        2: ("2025/4/8", "油漏れ", "1"),
        3: ("2025/4/9", "過熱", "2"),
    },
    header_row=0,
    notes=("no_header",),
)
add(
    "years as column names",
    "line,2023,2024\nA,10,12\nB,7,9\n",
    ("line", "2023", "2024"),
    rows={2: ("A", "10", "12"), 3: ("B", "7", "9")},
)
add(
    "the header is said to be missing",
    "a,b\nc,d\n",
    ("column 1", "column 2"),
    rows={1: ("a", "b"), 2: ("c", "d")},
    header_row=0,
    notes=("no_header",),
    reading=Reading(header_row=0),
)
add(
    "the header row is given",
    "old,names\ntext,crew\npump leaks,a\n",
    rows={3: ("pump leaks", "a")},
    header_row=2,
    notes=("rows_above",),
    reading=Reading(header_row=2),
)
add(
    "two header rows as a CSV export leaves them",
    "所見,寸法,,判定\n,幅,高さ,\n傷あり,1.5,2.0,不良\n良好,1.4,2.1,良\n",
    ("所見", "寸法 / 幅", "寸法 / 高さ", "判定"),
    rows={3: ("傷あり", "1.5", "2.0", "不良"), 4: ("良好", "1.4", "2.1", "良")},
    header_row=2,
    notes=("header_joined",),
)
add(
    "totals and a date at the end",
    "番号,所見,回数\n1,ポンプ異音,3\n2,油漏れ,1\n合計,,4\n出力日：2025/04/07,,\n",
    ("番号", "所見", "回数"),
    rows={2: ("1", "ポンプ異音", "3"), 3: ("2", "油漏れ", "1")},
    notes=("footer",),
)
add(
    "a footer of one cell without delimiters",
    EN_TEXT + "\r\nExported on 2025-04-07\r\n",
    notes=("footer",),
)
add(
    "a text that begins like a total is data",
    "text,crew\npump leaks,a\nTotal loss of pressure,b\nTotal,c\n",
    rows={2: ("pump leaks", "a"), 3: ("Total loss of pressure", "b"), 4: ("Total", "c")},
)

# -- JSON ---------------------------------------------------------------------------------------

JSON = {"delimiter": None, "header_row": 0}
EN_RECORDS = [dict(zip(EN, row, strict=True)) for row in EN_ROWS.values()]
JA_RECORDS = [dict(zip(JA, row, strict=True)) for row in JA_ROWS.values()]
JSON_LINES = "\n".join(json.dumps(record, ensure_ascii=False) for record in JA_RECORDS)

add("JSON Lines named .txt", JSON_LINES, JA, rows=moved(JA_ROWS, -1), format="jsonl", **JSON)
add(
    "JSON Lines in cp932",
    JSON_LINES.encode("cp932"),
    JA,
    rows=moved(JA_ROWS, -1),
    format="jsonl",
    encoding="cp932",
    **ENCODED,
    **JSON,
)
add(
    "JSON Lines with missing keys and blank lines",
    '{"a": 5.0}\n\n{"b": null, "a": "x"}\n',
    ("a", "b"),
    rows={1: ("5", ""), 3: ("x", "")},
    format="jsonl",
    **JSON,
)
add(
    "JSON list of objects",
    json.dumps(JA_RECORDS, ensure_ascii=False, indent=2),
    JA,
    rows=moved(JA_ROWS, -1),
    format="json",
    **JSON,
)
add(
    "JSON list with escapes and a mark",
    json.dumps(JA_RECORDS).encode("utf-8-sig"),
    JA,
    rows=moved(JA_ROWS, -1),
    format="json",
    encoding="utf-8-sig",
    **JSON,
)
add(
    "JSON object that holds the list",
    json.dumps({"version": 2, "rows": EN_RECORDS}),
    rows=moved(EN_ROWS, -1),
    format="json",
    notes=("json_key",),
    **JSON,
)
add(
    "JSON object of columns",
    json.dumps({"text": ["a", "b"], "crew": ["x", 2]}, indent=1),
    rows={1: ("a", "x"), 2: ("b", "2")},
    format="json",
    **JSON,
)
add(
    "JSON columns as pandas writes them",
    json.dumps({"text": {"0": "a", "7": "b"}, "crew": {"0": "x", "7": None}}),
    rows={1: ("a", "x"), 2: ("b", "")},
    format="json",
    **JSON,
)
add(
    "JSON list of plain values",
    '["良品", "不良", 3]',
    ("value",),
    rows={1: ("良品",), 2: ("不良",), 3: ("3",)},
    format="json",
    notes=("json_values",),
    **JSON,
)

# -- workbooks ----------------------------------------------------------------------------------


def merged_header(book: Any) -> None:
    sheet = book.active
    for row in (
        ("外観検査記録", None, None, None),
        (),
        ("所見", "寸法", None, "判定"),
        (None, "幅", "高さ", None),
        ("傷あり", 1.5, 2, "不良"),
        ("良好", 1.4, 2.1, "良"),
    ):
        sheet.append(row)
    for cells in ("A1:D1", "A3:A4", "B3:C3", "D3:D4"):
        sheet.merge_cells(cells)


def merged_data(book: Any) -> None:
    for row in (
        ("設備", "所見"),
        ("ポンプ", "異音"),
        (None, "漏れ"),
        (None, "過熱"),
        ("モータ", "停止"),
    ):
        book.active.append(row)
    book.active.merge_cells("A2:A4")


def several_sheets(book: Any) -> None:
    book.active.append(EN)
    book.active.append(("first", "a"))
    book.create_sheet("二枚目").append(EN)
    book["二枚目"].append(("second", "b"))
    hidden = book.create_sheet("hidden", 0)
    hidden.sheet_state = "hidden"
    hidden.append(("secret",))


def formulas(book: Any) -> None:
    book.active.append(("text", "hours"))
    book.active.append(("pump leaks", "=1+2"))
    book.active.append(("fuse blown", 4))


def stored_values(content: bytes) -> bytes:
    """Write the value that Excel would have stored beside the formula."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            part = old.read(name)
            if name == "xl/worksheets/sheet1.xml":
                changed = part.replace(b"<v></v>", b"<v>3</v>").replace(b"<v />", b"<v>3</v>")
                assert changed != part
                part = changed
            new.writestr(name, part)
    return file.getvalue()


def formatted_far_away(book: Any) -> None:
    for row in (EN, *EN_ROWS.values()):
        book.active.append(row)
    book.active["XFD1048576"].font = Font(bold=True)


def at_b3(book: Any) -> None:
    book.active["B3"], book.active["C3"] = EN
    book.active["B4"], book.active["C4"] = "pump leaks", "a"
    book.active["B6"], book.active["C6"] = "fuse blown", "b"


add_book("a workbook", rows_of(JA, *JA_ROWS.values()), JA, rows=JA_ROWS)
add_book(
    "numbers, dates and truth in a workbook",
    rows_of(
        ("n", "day", "at", "ok"),
        (5, date(2025, 4, 7), datetime(2025, 4, 7, 8, 30), True),  # noqa: DTZ001
        (0.1 + 0.2, date(2025, 4, 8), datetime(2025, 4, 8, 9, 0, 5), False),  # noqa: DTZ001
    ),
    ("n", "day", "at", "ok"),
    rows={
        2: ("5", "2025-04-07", "2025-04-07 08:30:00", "TRUE"),
        3: ("0.3", "2025-04-08", "2025-04-08 09:00:05", "FALSE"),
    },
)
add_book(
    "a table that begins in B3, with a blank row",
    at_b3,
    rows={4: ("pump leaks", "a"), 6: ("fuse blown", "b")},
    header_row=3,
    notes=("rows_above",),
)
add_book(
    "a merged title and a header of two merged rows",
    merged_header,
    ("所見", "寸法 / 幅", "寸法 / 高さ", "判定"),
    rows={5: ("傷あり", "1.5", "2", "不良"), 6: ("良好", "1.4", "2.1", "良")},
    header_row=4,
    notes=("rows_above", "header_joined"),
)
add_book(
    "cells merged downwards",
    merged_data,
    ("設備", "所見"),
    rows={
        2: ("ポンプ", "異音"),
        3: ("ポンプ", "漏れ"),
        4: ("ポンプ", "過熱"),
        5: ("モータ", "停止"),
    },
    notes=("merged_filled",),
)
add_book(
    "several sheets, one hidden",
    several_sheets,
    rows={2: ("first", "a")},
    sheets=("data", "二枚目"),
    notes=("first_sheet",),
)
add_book(
    "another sheet is chosen",
    several_sheets,
    rows={2: ("second", "b")},
    sheet="二枚目",
    sheets=("data", "二枚目"),
    reading=Reading(sheet="二枚目"),
)
add_book(
    "formulas without stored values",
    formulas,
    ("text", "hours"),
    rows={2: ("pump leaks", ""), 3: ("fuse blown", "4")},
    notes=("no_value",),
)
STORED = stored_values(CASES["formulas without stored values"].content)
add(
    "formulas with stored values",
    STORED,
    ("text", "hours"),
    rows={2: ("pump leaks", "3"), 3: ("fuse blown", "4")},
    format="xlsx",
    delimiter=None,
    sheet="data",
    sheets=("data",),
)
add_book("a format in the sheet's last cell", formatted_far_away)
add_book(
    "a total below the table",
    rows_of(
        ("番号", "所見", "回数"), (1, "異音", 3), (2, "漏れ", 1), ("合計", None, 4), (), ("以上",)
    ),
    ("番号", "所見", "回数"),
    rows={2: ("1", "異音", "3"), 3: ("2", "漏れ", "1")},
    notes=("footer",),
)
add_book(
    "an empty sheet before the data",
    lambda book: (
        book.create_sheet("rows").append(EN)
        or [book["rows"].append(row) for row in EN_ROWS.values()]
    ),
    sheet="rows",
    sheets=("data", "rows"),
    notes=("first_sheet",),
)
OLD_WORKBOOK = (
    "c-"
    "rk)T}V_x6h3o*_Ahl;Q%egGODj{j+Diz!7M2gCm_}9v{^XK>?Ji3_C{&g$s1*c)QS^{t551VZR8oY!MFd7Y7=fXM"
    "F9|_e6r|qHoSmCLt)QTSalgx)nK?7(yR&D`{Oo-"
    "_7(LScAaNAtArEAj*6m=KrDK@vM#Tl#uIs#L<TgyYi8Teg4JXo~!js5XRz8P(zDGfVKIJ(|fRC6?fFFu|UQhBWVl"
    "R!Mit#bzG6iE#g4>v)Ac4jeL-Hia^(608-=`$=Npp>4F7_Q^$6?T2oW5Jc@lh#-+M-"
    "Z0ctkeuNs|R}@Pfzjh3hQTSA{)+x~j%C){vw`Ko8)Q7J9s%0IxgYE;s;=Au@}KG7AbuAQq>)2Y%?u0N;&uJ&<hbS"
    "69yf^}puotqbUFIEnN1ost630(vFm!5qY$xmn>Y3hVc8uG`p=-"
    "5G=kIA!J0A+bAM<=P~iLk++>OjcmS+JrWw8J&@2%=4}ov;68S?U?11SxPbcaK!KV+xdXjuKCYS+(3OreP68uSmoB"
    "AWfk>aEi1dWEvM<A)^^(G$JXCn8ya!-"
    "I(=8QdaYbTjqR|l!@*Ay+Id`acAiLDj}a(qz)9t3T9q#R;gk2izA36MaaWM0g-"
    ")B$nUu;M06JXc7HAwrEkp{uC7mpGlDtH$o2Z;fG8UH%=4mByqOiY}`dp^gG<?r4!dv&YS>^3m4vrssoD}@z-"
    "ht)b!qMi~-"
    "XV84q~IA@gZBJsg$$O#Zr$YQcN;kqyVo$ugnxE2o8%H>*Tuo>geksu5z!={(e!ce@JA*KDU5|g7Tiann&Hn-"
    "O(I*PCSy$zZ<ptBotGS>i-"
    "FHCCF(B|mny7f;^H$H>dCp{1(y<rOChc=f=eMTtKd?I%O<!K;u@DjTxu9DmAJkME|s|Kf=it<E|s_}VqBIm{<4t2"
    "92AXPFv-"
    "G0{9Y647zwE|CmN6k5^$Erurm`YQHDGz1|D+%;sG>+<qLLLFxY3X)`FdU2H|{W!h{JECQO)EA@IwKM3<M)U0D^E6"
    "RY^HGlgl|{7mxSq7;1ioWZ}8`@oBN0GgH*Kk=Y4gNrTF#`s>yQI2m9Km%0MI2x85zj(Q1vwzQ`4PDE(gqHgL>7|T"
    "wh2Q@N8_hO|"
)
add(
    "a workbook of Excel 97 with title, dates and total",
    zlib.decompress(base64.b85decode(OLD_WORKBOOK)),
    ("日付", "所見", "区分", "回数"),
    rows={
        4: ("2025-04-07", "ポンプから異音", "機械", "5"),
        5: ("2025-04-08", "①号機の㈱表示が消灯", "電気", "2.5"),
        6: ("2025-04-09", "漏れなし", "機械", "1"),
    },
    format="xls",
    delimiter=None,
    header_row=3,
    sheet="点検記録",
    sheets=("点検記録",),
    notes=("rows_above", "footer"),
)

# -- Parquet and ZIP ----------------------------------------------------------------------------


def parquet_bytes(columns: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


add(
    "Parquet with dates, gaps and lists",
    parquet_bytes(
        {
            "所見": ["異音", None],
            "day": [date(2025, 4, 7), None],
            "n": [1.0, 2.5],
            "tags": [["a"], []],
        }
    ),
    ("所見", "day", "n", "tags"),
    rows={1: ("異音", "2025-04-07", "1", '["a"]'), 2: ("", "", "2.5", "[]")},
    format="parquet",
    **JSON,
)
add(
    "a ZIP from a Mac",
    zipped(
        **{"orders.csv": EN_TEXT.encode(), "__MACOSX/._orders.csv": b"\0\5", ".DS_Store": b"\0"}
    ),
    notes=("zip_member",),
    member="orders.csv",
)
add(
    "a ZIP with a workbook",
    zipped(**{"a/点検.xlsx": CASES["a workbook"].content}),
    JA,
    rows=JA_ROWS,
    format="xlsx",
    delimiter=None,
    sheet="data",
    sheets=("data",),
    notes=("zip_member",),
    member="点検.xlsx",
)
add(
    "a ZIP with cp932 inside",
    zipped(**{"a.csv": JA_TEXT.encode("cp932")}),
    JA,
    rows=JA_ROWS,
    encoding="cp932",
    notes=("zip_member", "encoding"),
    member="a.csv",
)
add(
    "a title with blanks to its right, as Excel saves it",
    (
        "外観検査（追加分）,,\r\n発生日,所見,不良区分\r\n"
        "2025-07-01,表面に傷あり,キズ\r\n2025-07-02,角がつぶれている,へこみ\r\n"
        "2025-07-03,側面に線状の傷,キズ\r\n2025-07-04,打痕を確認,へこみ\r\n"
    ),
    ("発生日", "所見", "不良区分"),
    rows={
        3: ("2025-07-01", "表面に傷あり", "キズ"),
        4: ("2025-07-02", "角がつぶれている", "へこみ"),
        5: ("2025-07-03", "側面に線状の傷", "キズ"),
        6: ("2025-07-04", "打痕を確認", "へこみ"),
    },
    header_row=2,
    notes=("rows_above",),
)
