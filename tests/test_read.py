"""What is read equals what was written, and every bad file is one clear message."""

from __future__ import annotations

import csv
import io
import json
import traceback
import zipfile
from contextlib import suppress
from datetime import date, datetime, time
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kasa.data import excel, table
from kasa.data.read import describe_columns, guess_columns, read_table
from kasa.errors import DataError
from kasa.text import translator

RELAXED = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# Controls other than tab and line feed are no text; a lone carriage return inside a cell is turned
# into a line feed by Excel's own XML, and surrogates cannot be encoded.
UNICODE = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], include_characters="\n\t")
JAPANESE = st.sampled_from("ポンプ漏れ異音不良①㈱髙﨑ﾎﾟﾝﾌﾟ、。Ａ０abc 123\"',;\t\n=+-@~")
NAMES = st.text(st.sampled_from("abcxyz所見不良区分テキスト_1"), min_size=1, max_size=8)


@st.composite
def tables(draw: st.DrawFn, alphabet: st.SearchStrategy[str]) -> tuple[list[str], list[list[str]]]:
    header = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    cells = st.text(alphabet, max_size=20)
    row = st.lists(cells, min_size=len(header), max_size=len(header))
    return header, draw(st.lists(row, min_size=1, max_size=12))


def write_csv(
    header: list[str],
    rows: list[list[str]],
    delimiter: str = ",",
    line_end: str = "\r\n",
    quoting: int = csv.QUOTE_MINIMAL,
) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    writer.writerows([header, *rows])
    return file.getvalue()


def same(frame: pd.DataFrame, header: list[str], rows: list[list[str]]) -> None:
    assert list(frame.columns) == header
    assert frame.to_numpy().tolist() == rows


class TestRoundTrip:
    @RELAXED
    @given(
        tables(UNICODE),
        st.sampled_from(["utf-8", "utf-8-sig"]),
        st.sampled_from([",", ";", "\t"]),
        st.sampled_from(["\r\n", "\n"]),
        st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    )
    def test_csv_in_unicode(
        self, tmp_path: Path, content: tuple, encoding: str, delimiter: str, end: str, quoting: int
    ) -> None:
        header, rows = content
        path = tmp_path / "table.csv"
        path.write_bytes(write_csv(header, rows, delimiter, end, quoting).encode(encoding))
        read = read_table(path)
        same(read.frame, header, rows)
        assert (read.format, read.encoding) == ("csv", encoding)
        assert list(read.frame.index) == list(range(2, 2 + len(rows)))
        if len(header) > 1:
            assert read.delimiter == delimiter

    @RELAXED
    @given(tables(JAPANESE), st.sampled_from([",", ";", "\t"]))
    def test_csv_in_cp932(self, tmp_path: Path, content: tuple, delimiter: str) -> None:
        header, rows = content
        # The header makes the bytes invalid as UTF-8; half-width kana alone can be valid as both.
        header = [*header, "表示ソ能"]
        rows = [[*row, "十"] for row in rows]
        path = tmp_path / "table.csv"
        path.write_bytes(write_csv(header, rows, delimiter).encode("cp932"))
        read = read_table(path)
        same(read.frame, header, rows)
        assert (read.encoding, read.delimiter) == ("cp932", delimiter)
        assert [note.code for note in read.notes] == ["cp932"]

    @RELAXED
    @given(tables(UNICODE), st.sampled_from(["utf-8", "utf-8-sig"]), st.booleans())
    def test_json_lines(self, tmp_path: Path, content: tuple, encoding: str, escaped: bool) -> None:
        header, rows = content
        lines = [
            json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=escaped) for row in rows
        ]
        path = tmp_path / "table.txt"
        path.write_bytes("\n".join(lines).encode(encoding))
        read = read_table(path)
        same(read.frame, header, rows)
        assert (read.format, read.encoding, read.first_row) == ("jsonl", encoding, 1)

    @RELAXED
    @given(tables(st.one_of(JAPANESE, UNICODE.filter(lambda c: c not in "_\ufffe\uffff"))))
    def test_xlsx(self, tmp_path: Path, content: tuple) -> None:
        header, rows = content
        path = tmp_path / "table.bin"
        write_xlsx(path, [header, *rows])
        read = read_table(path)
        # A row without any value does not exist in a sheet; the others keep their row numbers.
        kept = [(number, row) for number, row in enumerate(rows, start=2) if any(row)]
        assert list(read.frame.index) == [number for number, _ in kept]
        same(read.frame, header, [row for _, row in kept])
        assert read.format == "xlsx"


def write_xlsx(path: Path, rows: list[list[str]]) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    for i, row in enumerate(rows, start=1):
        for j, value in enumerate(row, start=1):
            cell = sheet.cell(row=i, column=j, value=value)
            if value:
                cell.data_type = "s"  # "=1+1" is text here, not a formula
    if not any(any(row) for row in rows[1:]):
        sheet.cell(row=len(rows), column=1, value="x")
        rows[-1][0] = "x"
    book.save(path)


class TestCells:
    def test_excel_values_read_as_excel_shows_them(self, tmp_path: Path) -> None:
        shown = {
            5: "5", 6.0: "6", 0.1 + 0.2: "0.3", -2.5: "-2.5", 1e20: "1e+20", True: "TRUE",
            date(2025, 4, 7): "2025-04-07", datetime(2025, 4, 7, 13, 5): "2025-04-07 13:05:00",  # noqa: DTZ001
            time(8, 30): "08:30:00", "#N/A": "#N/A", "007": "007", " a ": " a ",
        }  # fmt: skip
        book = openpyxl.Workbook()
        book.active.append(["number", "value"])
        for number, value in enumerate(shown):
            book.active.append([number, value])
        path = tmp_path / "cells.xlsx"
        book.save(path)
        assert read_table(path).frame["value"].tolist() == list(shown.values())

    def test_json_values_and_missing_keys(self, tmp_path: Path) -> None:
        path = tmp_path / "cells.jsonl"
        path.write_text(
            '{"a": 5.0, "b": null}\n\n{"b": 0.25, "c": true, "a": NaN}\n{"c": [1, "é"], "b": 7}\n',
            "utf-8",
        )
        read = read_table(path)
        same(
            read.frame,
            ["a", "b", "c"],
            [["5", "", ""], ["", "0.25", "true"], ["", "7", '[1, "é"]']],
        )
        assert list(read.frame.index) == [1, 3, 4]

    def test_formula_like_text_stays_text(self, tmp_path: Path) -> None:
        path = tmp_path / "formula.csv"
        path.write_text("text,label\n=1+1,@x\n+cmd|' /C calc'!A0,-1\n", "utf-8")
        assert read_table(path).frame.to_numpy().tolist() == [
            ["=1+1", "@x"],
            ["+cmd|' /C calc'!A0", "-1"],
        ]

    def test_excel_escapes_are_undone(self, tmp_path: Path) -> None:
        path = tmp_path / "escape.xlsx"
        write_xlsx(path, [["a"], ["line_x000D_\nend"]])
        assert read_table(path).frame["a"].tolist() == ["line\r\nend"]


class TestRowsAndColumns:
    def test_row_numbers_are_what_excel_shows(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.csv"
        path.write_bytes(b'\r\ntext,label\r\n"two\r\nlines",a\r\n\r\nlast,b,,\r\n')
        read = read_table(path)
        assert read.frame["text"].to_dict() == {3: "two\r\nlines", 5: "last"}

    def test_blank_and_double_column_names_are_repaired_and_noted(self, tmp_path: Path) -> None:
        path = tmp_path / "names.csv"
        path.write_text(" a ,,a,a (2),column 2,\n1,2,3,4,5,\n", "utf-8")
        read = read_table(path)
        same(
            read.frame,
            ["a", "column 2 (2)", "a (3)", "a (2)", "column 2"],
            [["1", "2", "3", "4", "5"]],
        )
        assert [note.code for note in read.notes] == ["blank_column", "double_column"]
        for lang, word in (("en", "a (3)"), ("ja", "列名「a」")):
            assert word in read.notes[1].sentence(translator(lang))

    def test_first_visible_sheet(self, tmp_path: Path) -> None:
        book = openpyxl.Workbook()
        book.active.title = "hidden"
        book.active.sheet_state = "hidden"
        for name in ("data", "more"):
            sheet = book.create_sheet(name)
            sheet["B3"], sheet["C3"], sheet["B4"], sheet["D5"] = "text", "label", name, 1.5
        path = tmp_path / "sheets.xlsx"
        book.save(path)
        read = read_table(path)
        assert read.frame.to_dict("index") == {
            4: {"text": "data", "label": "", "column 4": ""},
            5: {"text": "", "label": "", "column 4": "1.5"},
        }
        assert read.notes[0].values == {"sheet": "data", "count": 2}

    @pytest.mark.parametrize(
        ("content", "delimiter"),
        [
            ("text;label\n1,5 mm, loose;a\nb, c;d\n", ";"),
            ("text\tlabel\na, b, c\td;e\n", "\t"),
            ("a,b;c\n1,2\n3,4\n", ","),
            ('"a;b","c"\n"1;2","3"\n', ","),
            ("only\none\n", ","),
        ],
    )
    def test_delimiter(self, tmp_path: Path, content: str, delimiter: str) -> None:
        path = tmp_path / "some.csv"
        path.write_text(content, "utf-8")
        assert read_table(path).delimiter == delimiter


def xlsx_with(part: str, content: bytes) -> bytes:
    """Return a small workbook with one part replaced or added."""
    book = openpyxl.Workbook()
    book.active.append(["text", "label"])
    book.active.append(["a", "b"])
    file, changed = io.BytesIO(), io.BytesIO()
    book.save(file)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name != part:
                new.writestr(name, old.read(name))
        new.writestr(part, content)
    return changed.getvalue()


def zipped(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "x")
    return file.getvalue()


ENTITIES = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>
<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>
<row r="1"><c r="A1" t="inlineStr"><is><t>&b;</t></is></c></row></sheetData></worksheet>"""
FAR_ROW = b"""<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>
<row r="4000000000"><c r="A4000000000" t="n"><v>1</v></c></row></sheetData></worksheet>"""
SHEET = "xl/worksheets/sheet1.xml"

BAD = {
    "empty": (b"", "data_empty", {}),
    "only a mark and blanks": (b"\xef\xbb\xbf \r\n\t\r\n", "data_empty", {}),
    "header only": (b"text,label\r\n", "data_no_rows", {"columns": 2}),
    "header only jsonl": (b"{}", "data_no_rows", {}),
    "nothing but delimiters": (b",,\n,,\n", "data_no_rows", {}),
    "pdf": (b"%PDF-1.7\n%abc", "data_binary", {}),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0", "data_binary", {}),
    "random": (bytes(range(256)) * 20, "data_binary", {}),
    "nul": (b"text,label\n" + b"pump leaks,a\n" * 50 + b"a\0,b\n", "data_nul", {"line": 52}),
    "utf-16": ("text,label\na,b\n".encode("utf-16"), "data_utf16", {}),
    "latin-1": (b"text,label\na,b\ncaf\xe9 au lait,c\n", "data_encoding", {"line": 3}),
    "marked but not utf-8": (b"\xef\xbb\xbfa,b\n\x83\x5c,c\n", "data_encoding", {"line": 2}),
    "old excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "data_old_excel", {}),
    "docx": (zipped("word/document.xml"), "data_zip", {}),
    "truncated xlsx": (xlsx_with("x", b"x")[:-200], "data_xlsx_broken", {}),
    "broken sheet": (xlsx_with(SHEET, b"<worksheet><sheetData>"), "data_xlsx_broken", {}),
    "xml entities": (xlsx_with(SHEET, ENTITIES), "data_xlsx_broken", {}),
    "row four billion": (xlsx_with(SHEET, FAR_ROW), "data_xlsx_broken", {}),
    "bomb": (
        xlsx_with("xl/media/a.bin", b"\0" * 30_000_000),
        "data_xlsx_bomb",
        {"megabytes": "30"},
    ),
    "ragged": (
        b'text,label\n"a\nb",c\nd,e\nf\n',
        "data_ragged",
        {"row": 4, "line": 5, "got": 1, "wanted": 2},
    ),
    "one cell too many": (b"a,b\n1,2,3\n", "data_ragged", {"got": 3, "wanted": 2}),
    "open quote": (b'a,b\n1,2\n"x,3\n4,5\n', "data_quotes", {"line": 3}),
    "quote inside": (b'a,b\n"1/2" bolt,2\n', "data_quotes", {"line": 2}),
    "huge cell": (b"a,b\n1," + b"x" * 200_000, "data_quotes", {"line": 2}),
    "broken json": (b'{"a": 1}\n{"a": \n', "data_json_line", {"line": 2}),
    "json number": (b'{"a": 1}\n\n7\n', "data_json_line", {"line": 3}),
    "lone surrogate": (b'{"a": "\\ud800"}\n', "data_json_line", {"line": 1}),
    "deep json": (b'{"a": ' + b"[" * 100_000, "data_json_line", {"line": 1}),
    "json array": (b'[{"a": 1}, {"a": 2}]', "data_json_array", {}),
    "columns": (b",".join([b"x"] * 2001) + b"\n", "data_columns", {"got": "2,001"}),
}


class TestBadFiles:
    @pytest.mark.parametrize("name", BAD)
    def test_each_is_one_clear_message(self, tmp_path: Path, name: str) -> None:
        content, code, values = BAD[name]
        path = tmp_path / "bad.csv"
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_table(path)
        assert caught.value.code == code
        assert values.items() <= caught.value.values.items()
        for lang in ("en", "ja"):
            what, cause, do = caught.value.parts(translator(lang))
            assert all([what, cause, do])
            assert "{" not in what + do

    def test_entities_are_forbidden_not_expanded(self, tmp_path: Path) -> None:
        path = tmp_path / "entities.xlsx"
        path.write_bytes(xlsx_with(SHEET, ENTITIES))
        with pytest.raises(DataError) as caught:
            read_table(path)
        trace = "".join(traceback.format_exception(caught.value))
        assert "EntitiesForbidden" in trace

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError) as caught:
            read_table(tmp_path / "none.csv")
        assert caught.value.code == "file_not_found"

    def test_too_large_is_refused_before_reading(self, tmp_path: Path) -> None:
        path = tmp_path / "large.csv"
        with path.open("wb") as file:
            file.truncate(300_000_000)
        with pytest.raises(DataError) as caught:
            read_table(path)
        assert caught.value.values == {"megabytes": "300", "limit": "100"}

    def test_too_many_cells(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(table, "MAX_CELLS", 10)
        path = tmp_path / "cells.csv"
        path.write_text("a,b\n" + "1,2\n" * 6, "utf-8")
        with pytest.raises(DataError) as caught:
            read_table(path)
        assert caught.value.code == "data_cells"

    def test_unpacked_limit_counts_without_a_high_ratio(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(excel, "MAX_UNPACKED_BYTES", 1000)
        path = tmp_path / "book.xlsx"
        path.write_bytes(xlsx_with("x", b"x"))
        with pytest.raises(DataError) as caught:
            read_table(path)
        assert caught.value.code == "data_xlsx_bomb"

    @RELAXED
    @given(st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04", b"{", b"a,b\n"]))
    def test_any_bytes_are_a_table_or_a_data_error(
        self, tmp_path: Path, content: bytes, start: bytes
    ) -> None:
        path = tmp_path / "any"
        path.write_bytes(start + content)
        with suppress(DataError):
            read = read_table(path)
            assert len(read.frame) > 0
            assert "\ufffd" not in read.frame.to_string() or "\ufffd".encode() in content


class TestColumns:
    @pytest.mark.parametrize(
        ("file", "text", "label"),
        [
            ("banking77/train.csv", "text", "category"),
            ("jcm/train.csv", "sent", "label"),
            ("jsts/valid-v1.3.json", "sentence1", None),
        ],
    )
    def test_shared_files(self, shared_data: Path, file: str, text: str, label: str | None) -> None:
        read = read_table(shared_data / file)
        guess = guess_columns(read.frame)
        assert (guess.text, guess.label) == (text, label)

    def test_banking77_is_read_as_pandas_reads_it(self, shared_data: Path) -> None:
        path = shared_data / "banking77" / "train.csv"
        ours = read_table(path).frame.reset_index(drop=True)
        pd.testing.assert_frame_equal(ours, pd.read_csv(path, dtype=str, keep_default_na=False))

    @pytest.mark.parametrize(
        ("file", "encoding", "text", "label"),
        [
            ("work_orders_en.csv", "utf-8", "text", "crew"),
            ("inspection_notes_ja.csv", "utf-8-sig", "所見", "不良区分"),
        ],
    )
    def test_sample_files(self, file: str, encoding: str, text: str, label: str) -> None:
        read = read_table(Path(__file__).parent.parent / "sample_data" / file)
        guess = guess_columns(read.frame)
        assert (read.encoding, guess.text, guess.label) == (encoding, text, label)
        assert read.notes == ()

    def test_nothing_fits(self) -> None:
        frame = pd.DataFrame({"id": [str(i) for i in range(40)], "none": [""] * 40}, dtype="str")
        guess = guess_columns(frame)
        assert (guess.text, guess.label) == (None, None)

    def test_description_of_columns(self) -> None:
        frame = pd.DataFrame(
            {"note": ["pump leaks", "belt slips", "pump leaks", " "], "id": list("1234")},
            dtype="str",
        )
        note, number = describe_columns(frame, guess_columns(frame))
        assert (note.role, note.num_values, note.num_empty) == ("text", 2, 1)
        assert note.examples == ("pump leaks", "belt slips")
        assert (number.role, number.num_values) == ("other", 4)
