"""What is read equals what was written: tables × encodings × delimiters × formats.

Random cells leave some bytes ambiguous, and some header like data: there a `Reading` says what is
not to be guessed. Realistic Japanese and Western tables are read without one, in every encoding.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from kasa.data.read import Reading, Table, read_table

RELAXED = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# A workbook is read in a process of its own, which takes a tenth of a second to start.
FEWER = settings(RELAXED, max_examples=15)
# Controls other than tab and line feed are no text; a lone carriage return inside a cell is turned
# into a line feed by Excel's own XML, and surrogates cannot be encoded.
UNICODE = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], include_characters="\n\t")
# Excel writes _x000D_ for a carriage return, so that an underscore may begin an escape.
IN_EXCEL = UNICODE.filter(lambda c: c not in "_\ufffe\uffff")
JIS = "ポンプ漏れ異音不良、。Ａ０ソ能表十abc 123\"',;|\t\n=+-@"
WINDOWS = JIS + "①㈱髙﨑ﾎﾟﾝﾌﾟ~"
LATIN = "abcéèüößñçÀÉ «»'°±µ,;|\"\t\n=+-@ 123"
ALPHABETS = {
    "utf-8": UNICODE,
    "utf-8-sig": UNICODE,
    "utf-16-le": UNICODE,
    "utf-16-be": UNICODE,
    "utf-32": UNICODE,
    "cp932": st.sampled_from(WINDOWS),
    "euc-jp": st.sampled_from(JIS),
    "iso-2022-jp": st.sampled_from(JIS),
    "cp1252": st.sampled_from(LATIN + "’“”–€œ"),
    "iso-8859-1": st.sampled_from(LATIN),
}
NAMES = st.text(st.sampled_from("abcxyzABC_1"), min_size=1, max_size=8)
Rows = list[list[str]]


@st.composite
def tables(draw: st.DrawFn, alphabet: st.SearchStrategy[str]) -> tuple[list[str], Rows]:
    header = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    row = st.lists(st.text(alphabet, max_size=20), min_size=len(header), max_size=len(header))
    # A row without any value does not exist in a sheet, and words like Total could end a table.
    filled = row.map(lambda cells: [f"x{cells[0]}", *cells[1:]])
    return header, draw(st.lists(filled, min_size=1, max_size=12))


ENCODED = st.sampled_from(sorted(ALPHABETS)).flatmap(
    lambda name: st.tuples(st.just(name), tables(ALPHABETS[name]))
)


def write_csv(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    delimiter: str = ",",
    line_end: str = "\r\n",
    quoting: int = csv.QUOTE_MINIMAL,
) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    writer.writerows([header, *rows])
    return file.getvalue()


def encode(text: str, encoding: str) -> bytes:
    codec = {"euc-jp": "euc_jp", "iso-2022-jp": "iso2022_jp"}.get(encoding, encoding)
    return text.encode(codec)


def write_xlsx(path: Path, rows: Sequence[Sequence[str]], name: str = "data") -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = name
    for i, row in enumerate(rows, start=1):
        for j, value in enumerate(row, start=1):
            cell = sheet.cell(row=i, column=j, value=value)
            if value:
                cell.data_type = "s"  # "=1+1" is text here, not a formula
    book.save(path)


def same(table: Table, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # An unnamed column without values is not there; here every column has a name.
    assert list(table.frame.columns) == list(header)
    assert table.frame.to_numpy().tolist() == [list(row) for row in rows]


class TestWithReading:
    @RELAXED
    @given(
        ENCODED,
        st.sampled_from([",", ";", "\t", "|"]),
        # Python's writer leaves a line feed unquoted where the lines end otherwise.
        st.sampled_from(
            [
                *(("\r\n", csv.QUOTE_MINIMAL), ("\n", csv.QUOTE_MINIMAL)),
                *((end, csv.QUOTE_ALL) for end in ("\r\n", "\n", "\r")),
            ]
        ),
    )
    def test_delimited(
        self, tmp_path: Path, encoded: tuple, delimiter: str, ends: tuple[str, int]
    ) -> None:
        encoding, (header, rows) = encoded
        end, quoting = ends
        path = tmp_path / "table.csv"
        path.write_bytes(encode(write_csv(header, rows, delimiter, end, quoting), encoding))
        table = read_table(path, Reading(encoding, delimiter, None, 1))
        same(table, header, rows)
        assert (table.format, table.encoding, table.delimiter) == ("csv", encoding, delimiter)
        assert list(table.frame.index) == list(range(2, 2 + len(rows)))
        assert (table.header_row, table.notes) == (1, ())

    @RELAXED
    @given(tables(UNICODE), st.sampled_from(["utf-8", "utf-8-sig", "utf-16-le"]), st.booleans())
    def test_json_lines(self, tmp_path: Path, content: tuple, encoding: str, escaped: bool) -> None:
        header, rows = content
        records = [dict(zip(header, row, strict=True)) for row in rows]
        path = tmp_path / "table.txt"
        lines = "\n".join(json.dumps(record, ensure_ascii=escaped) for record in records)
        path.write_bytes(lines.encode(encoding))
        table = read_table(path, Reading(encoding=encoding))
        same(table, header, rows)
        assert (table.format, table.encoding, table.first_row) == ("jsonl", encoding, 1)

    @RELAXED
    @given(tables(UNICODE), st.sampled_from(["list", "key", "columns"]), st.sampled_from([None, 2]))
    def test_json(self, tmp_path: Path, content: tuple, form: str, indent: int | None) -> None:
        header, rows = content
        records = [dict(zip(header, row, strict=True)) for row in rows]
        columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
        document = {"list": records, "key": {"rows": records, "n": 1}, "columns": columns}[form]
        path = tmp_path / "table.json"
        path.write_text(json.dumps(document, ensure_ascii=False, indent=indent), "utf-8")
        table = read_table(path)
        same(table, header, rows)
        assert (table.format, table.first_row) == ("json", 1)
        assert [note.code for note in table.notes] == (["json_key"] if form == "key" else [])

    @FEWER
    @given(tables(IN_EXCEL), st.booleans())
    def test_xlsx(self, tmp_path: Path, content: tuple, in_zip: bool) -> None:
        header, rows = content
        path = tmp_path / "table.bin"
        write_xlsx(path, [header, *rows], "点検")
        if in_zip:
            packed = tmp_path / "table.zip"
            with zipfile.ZipFile(packed, "w") as archive:
                archive.write(path, "点検.xlsx")
            path = packed
        table = read_table(path, Reading(sheet="点検", header_row=1))
        same(table, header, rows)
        assert list(table.frame.index) == list(range(2, 2 + len(rows)))
        assert (table.format, table.member) == ("xlsx", "点検.xlsx" if in_zip else None)

    @FEWER
    @given(tables(UNICODE))
    def test_parquet(self, tmp_path: Path, content: tuple) -> None:
        header, rows = content
        path = tmp_path / "table.csv"
        frame = pd.DataFrame(rows, columns=header, dtype="str")
        parquet.write_table(pa.Table.from_pandas(frame), path)
        table = read_table(path)
        same(table, header, rows)
        assert (table.format, table.first_row) == ("parquet", 1)


JAPANESE_TEXTS = [
    "ポンプから異音がする", "配管の継手から油漏れ", "モータが過熱し停止した",
    "センサの値が安定しない", "ベルトが摩耗している", "非常停止ボタンが効かない",
    "コンベアの速度が遅い", "表示ランプが点灯しない",
]  # fmt: skip
JAPANESE_LABELS = ["機械", "電気", "配管", "制御"]
# Only Windows has these; its own forms of EUC-JP and ISO-2022-JP are among the awkward files.
WINDOWS_TEXTS = ["①号機の㈱表示が消灯", "ﾎﾟﾝﾌﾟのﾓｰﾀが停止", "髙橋が確認済み～再発", "Ⅱ系の弁が固着"]
WESTERN_TEXTS = [
    "fuite d'huile à la pompe", "câble coupé près du moteur", "Ölverlust an der Hydraulikpumpe",
    "Förderband läuft zu langsam", "ruido extraño en el cojinete", "la señal no está estable",
    "vazamento na conexão da válvula", "il motore è fermo già da ieri", "température > 95 °C ± 2",
]  # fmt: skip
WESTERN_LABELS = ["mécanique", "Elektrik", "tubería", "contrôle"]


@st.composite
def realistic(draw: st.DrawFn, texts: list[str], labels: list[str], names: list[str]) -> tuple:
    row = st.tuples(st.integers(1, 99999).map(str), st.sampled_from(texts), st.sampled_from(labels))
    return names, draw(st.lists(row, min_size=2, max_size=15))


JAPANESE = realistic(JAPANESE_TEXTS, JAPANESE_LABELS, ["管理番号", "所見", "不良区分"])
WINDOWS_JAPANESE = realistic(
    JAPANESE_TEXTS + WINDOWS_TEXTS, JAPANESE_LABELS, ["管理番号", "所見", "不良区分"]
)
WESTERN = realistic(WESTERN_TEXTS, WESTERN_LABELS, ["number", "description", "catégorie"])
IN_ANY = [
    *((name, WINDOWS_JAPANESE) for name in ("utf-8", "utf-8-sig", "utf-16-le", "utf-16-be")),
    ("utf-32", WINDOWS_JAPANESE),
    ("cp932", WINDOWS_JAPANESE),
    ("euc-jp", JAPANESE),
    ("iso-2022-jp", JAPANESE),
    *((name, WESTERN) for name in ("utf-8", "utf-8-sig", "utf-16-le", "utf-16-be")),
    ("cp1252", WESTERN),
    ("iso-8859-1", WESTERN),
]


class TestWithoutReading:
    @settings(RELAXED, max_examples=150)
    @given(
        st.sampled_from(IN_ANY).flatmap(lambda case: st.tuples(st.just(case[0]), case[1])),
        st.sampled_from([",", ";", "\t", "|"]),
    )
    def test_delimited(self, tmp_path: Path, encoded: tuple, delimiter: str) -> None:
        encoding, (header, rows) = encoded
        path = tmp_path / "table.csv"
        path.write_bytes(encode(write_csv(header, rows, delimiter), encoding))
        table = read_table(path)
        same(table, header, rows)
        # Without the characters that only CP1252 has, the two are the same.
        assert table.encoding == encoding.replace("iso-8859-1", "cp1252")
        assert (table.delimiter, table.header_row) == (delimiter, 1)
        noted = [] if encoding.startswith("utf-8") else ["encoding"]
        assert [note.code for note in table.notes] == noted

    @FEWER
    @given(WINDOWS_JAPANESE)
    def test_xlsx(self, tmp_path: Path, content: tuple) -> None:
        header, rows = content
        path = tmp_path / "table.csv"
        write_xlsx(path, [header, *rows])
        table = read_table(path)
        same(table, header, rows)
        assert (table.header_row, table.sheet, table.notes) == (1, "data", ())


@pytest.mark.parametrize("encoding", ["cp932", "euc-jp", "iso-2022-jp"])
@pytest.mark.parametrize("text", JAPANESE_TEXTS)
def test_one_japanese_row_is_enough(tmp_path: Path, encoding: str, text: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(encode(f"text,label\n{text},a\n", encoding))
    table = read_table(path)
    assert (table.encoding, table.frame["text"].item()) == (encoding, text)


@pytest.mark.parametrize("text", [*WESTERN_TEXTS, "don’t", "5 µm", "Ø 12", "£5", "São", "naïve"])
def test_one_western_row_is_enough(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(f"text,label\n{text},a\n".encode("cp1252"))
    table = read_table(path)
    assert (table.encoding, table.frame["text"].item()) == ("cp1252", text)
