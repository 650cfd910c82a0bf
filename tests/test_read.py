"""Cells, rows, columns and notes of tables that were read, and real files."""

from __future__ import annotations

import time as clock
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

from kasa.data.read import Reading, previews, read_table
from kasa.errors import DataError, StudyError
from kasa.text import translator


def read(folder: Path, content: str | bytes, reading: Reading | None = None) -> Any:
    path = folder / "some.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, reading)


def same(frame: pd.DataFrame, header: list[str], rows: list[list[str]]) -> None:
    assert list(frame.columns) == header
    assert frame.to_numpy().tolist() == rows


class TestCells:
    def test_excel_values_read_as_excel_shows_them(self, tmp_path: Path) -> None:
        shown = {
            5: "5", 6.0: "6", 0.1 + 0.2: "0.3", -2.5: "-2.5", 1e20: "1e+20", True: "TRUE",
            date(2025, 4, 7): "2025-04-07", datetime(2025, 4, 7, 13, 5): "2025-04-07 13:05:00",  # noqa: DTZ001
            time(8, 30): "08:30:00", timedelta(hours=30, seconds=5): "30:00:05",
            "#N/A": "#N/A", "007": "007", " a ": " a ",
        }  # fmt: skip
        book = openpyxl.Workbook()
        book.active.append(["number", "value"])
        for number, value in enumerate(shown):
            book.active.append([number, value])
        path = tmp_path / "cells.xlsx"
        book.save(path)
        assert read_table(path).frame["value"].tolist() == list(shown.values())

    def test_json_values_and_missing_keys(self, tmp_path: Path) -> None:
        table = read(
            tmp_path,
            '{"a": 5.0, "b": null}\n\n{"b": 0.25, "c": true, "a": NaN}\n{"c": [1, "é"], "b": 7}\n',
        )
        same(
            table.frame,
            ["a", "b", "c"],
            [["5", "", ""], ["", "0.25", "true"], ["", "7", '[1, "é"]']],
        )
        assert list(table.frame.index) == [1, 3, 4]

    def test_excel_escapes_are_undone(self, tmp_path: Path) -> None:
        book = openpyxl.Workbook()
        for value in ("a", "line_x000D_\nend"):
            book.active.append([value])
        path = tmp_path / "escape.xlsx"
        book.save(path)
        assert read_table(path).frame["a"].tolist() == ["line\r\nend"]


class TestRowsAndColumns:
    def test_row_numbers_are_what_excel_shows(self, tmp_path: Path) -> None:
        table = read(tmp_path, b'\r\ntext,label\r\n"two\r\nlines",a\r\n\r\nlast,b,,\r\n')
        assert table.frame["text"].to_dict() == {3: "two\r\nlines", 5: "last"}
        assert (table.header_row, table.first_row) == (2, 3)

    def test_a_row_without_any_value_is_none(self, tmp_path: Path) -> None:
        table = read(tmp_path, "a,b\n1,\n,\n,2\n")
        assert table.frame["b"].to_dict() == {2: "", 4: "2"}

    def test_blank_and_double_column_names_are_repaired_and_noted(self, tmp_path: Path) -> None:
        table = read(tmp_path, " a ,,a,a (2),column 2,\n1,2,3,4,5,\n")
        same(
            table.frame,
            ["a", "column 2 (2)", "a (3)", "a (2)", "column 2"],
            [["1", "2", "3", "4", "5"]],
        )
        assert [note.code for note in table.notes] == ["blank_column", "double_column"]
        for lang, word in (("en", "a (3)"), ("ja", "列名「a」")):
            assert word in table.notes[1].sentence(translator(lang))

    def test_first_visible_sheet(self, tmp_path: Path) -> None:
        book = openpyxl.Workbook()
        book.active.title = "hidden"
        book.active.sheet_state = "hidden"
        for name in ("data", "more"):
            sheet = book.create_sheet(name)
            sheet["B3"], sheet["C3"], sheet["B4"], sheet["D5"] = "text", "label", name, 1.5
        path = tmp_path / "sheets.xlsx"
        book.save(path)
        table = read_table(path)
        assert table.frame.to_dict("index") == {
            4: {"text": "data", "label": "", "column 4": ""},
            5: {"text": "", "label": "", "column 4": "1.5"},
        }
        assert table.notes[0].values == {"sheet": "data", "count": 2}
        assert read_table(path, Reading(sheet="more")).frame.loc[4, "text"] == "more"
        for name in ("none", "hidden"):
            with pytest.raises(DataError, match="data, more") as caught:
                read_table(path, Reading(sheet=name))
            assert caught.value.code == "data_sheet_missing"

    @pytest.mark.parametrize(
        ("content", "delimiter"),
        [
            ("text;label\n1,5 mm, loose;a\nb, c;d\n", ";"),
            ("text\tlabel\na, b, c\td;e\n", "\t"),
            ("text|label\na, b|c;d\n", "|"),
            ("a,b;c\n1,2\n3,4\n", ","),
            ('"a;b","c"\n"1;2","3"\n', ","),
            ("Title, with a comma\ntext;label\na;b\nc;d\n", ";"),
            ("only\none\n", ","),
        ],
    )
    def test_delimiter(self, tmp_path: Path, content: str, delimiter: str) -> None:
        assert read(tmp_path, content).delimiter == delimiter

    def test_the_delimiter_that_is_given_wins(self, tmp_path: Path) -> None:
        table = read(tmp_path, "a,b;c\n1,2;3\n", Reading(delimiter=";"))
        same(table.frame, ["a,b", "c"], [["1,2", "3"]])


class TestHeaders:
    @pytest.mark.parametrize(
        ("content", "header_row"),
        [
            ("text,label\nlabel,x\nb,y\n", 1),
            ("Breakdown,why\nx,Breakdown\ny,z\n", 1),
            ("text,n\nBreakdown,1\nBreakdown,2\n", 1),
            (",sent,label\n0,a,1\n1,b,0\n", 1),
            ("0,1\npump,belt\nfan,fuse\n", 1),
            ("a,b\n1,2\n", 1),
            ("x,a\ny,b\nz,a\n", 0),
            ("x,1\ny,2\n", 0),
            (f"{'very long ' * 11},a\n{'quite long ' * 9},b\n", 0),
            ("title\n\nx,a\ny,b\nz,a\n", 0),
        ],
    )
    def test_header_or_data(self, tmp_path: Path, content: str, header_row: int) -> None:
        assert read(tmp_path, content).header_row == header_row

    @pytest.mark.parametrize(
        "content",
        [
            "text,,label\npump leaks,yes,mech\nbelt slips,no,mech\nfan stops,yes,elec\n",
            "a,b,c\n,x,y\n1,2,3\n",
            "a,,c\n1,2,3\n4,5,6\n",
        ],
    )
    def test_a_gap_in_the_header_alone_makes_no_second_row(
        self, tmp_path: Path, content: str
    ) -> None:
        table = read(tmp_path, content)
        assert (table.header_row, table.first_row) == (1, 2)

    def test_a_row_that_is_not_there_cannot_be_the_header(self, tmp_path: Path) -> None:
        for row in (2, 9):
            with pytest.raises(DataError) as caught:
                read(tmp_path, "a,b\n\n1,2\n", Reading(header_row=row))
            assert (caught.value.code, caught.value.values) == ("data_header_row", {"row": row})

    @pytest.mark.parametrize(
        "last", ["Total,x,3", "合計設備,,1", "以上です,a,b", "Total 5 bolts are loose,,", "1,2,3"]
    )
    def test_what_may_be_data_is_no_footer(self, tmp_path: Path, last: str) -> None:
        table = read(tmp_path, f"text,crew,n\npump,a,1\nbelt,b,2\n{last}\n")
        assert len(table.frame) == 3
        assert table.notes == ()

    @pytest.mark.parametrize(
        "last",
        ["Total,,3", "合計,,3", "合計：3件", "出力日：2025/4/7", "以上", "※ 速報値", "Page 1 of 3"],
    )
    def test_a_footer_is_left_out_and_said(self, tmp_path: Path, last: str) -> None:
        table = read(tmp_path, f"text,crew,n\npump,a,1\nbelt,b,2\n{last}\n")
        assert len(table.frame) == 2
        assert [(note.code, note.values["rows"]) for note in table.notes] == [("footer", "4")]


class TestReading:
    @pytest.mark.parametrize(
        ("values", "name"),
        [
            ({"encoding": "utf8"}, "data.reading.encoding"),
            ({"delimiter": " "}, "data.reading.delimiter"),
            ({"sheet": ""}, "data.reading.sheet"),
            ({"header_row": -1}, "data.reading.header_row"),
            ({"header_row": True}, "data.reading.header_row"),
            ({"encoding": 5}, "data.reading.encoding"),
        ],
    )
    def test_wrong_values_are_named(self, values: dict[str, Any], name: str) -> None:
        with pytest.raises(StudyError) as caught:
            Reading(**values)
        assert caught.value.values["name"] == name

    def test_an_encoding_that_does_not_fit_names_the_line(self, tmp_path: Path) -> None:
        content = "a,b\n1,2\n所見,x\n".encode("cp932")
        for encoding in ("utf-8", "euc-jp"):
            with pytest.raises(DataError) as caught:
                read(tmp_path, content, Reading(encoding=encoding))
            assert caught.value.code == "data_encoding_given"
            assert caught.value.values["line"] == 3

    def test_previews_show_what_differs(self) -> None:
        content = "a,b\n所見,漏れ\n".encode("euc_jp")
        shown = previews(content, limit=1)
        assert shown["euc-jp"] == ["所見,漏れ"]
        assert "utf-8" not in shown
        assert shown["cp1252"] != shown["euc-jp"]
        assert previews(b"a,b\n1,2\n") == {"utf-8": ["a,b", "1,2"]}


SHARED = {
    "arc_easy/test.json": ("json", 0, 2376, ["instruction", "input", "output", "answer"]),
    "arc_easy/train.json": ("json", 0, 2251, ["instruction", "input", "output", "answer"]),
    "banking77/categories.json": ("json", 0, 77, ["value"]),
    "banking77/test.csv": ("csv", 1, 3080, ["text", "category"]),
    "banking77/train.csv": ("csv", 1, 10003, ["text", "category"]),
    "fmc_mwo2kg/dev.txt": ("csv", 0, 62, ["column 1", "column 2"]),
    "fmc_mwo2kg/test.txt": ("csv", 0, 62, ["column 1", "column 2"]),
    "fmc_mwo2kg/train.txt": ("csv", 0, 502, ["column 1", "column 2"]),
    "jcm/test.csv": ("csv", 1, 3992, ["column 1", "sent", "label"]),
    "jcm/train.csv": ("csv", 1, 13975, ["column 1", "sent", "label"]),
    "jcm/val.csv": ("csv", 1, 1996, ["column 1", "sent", "label"]),
    "jsts/test-v1.3.json": ("jsonl", 0, 1589, None),
    "jsts/valid-v1.3.json": ("jsonl", 0, 1457, None),
}


class TestRealFiles:
    def test_every_shared_file_is_named_here(self, shared_data: Path) -> None:
        files = {str(file.relative_to(shared_data)) for file in shared_data.glob("*/*")}
        assert {file for file in files if not file.endswith("NOTICE")} == set(SHARED)

    @pytest.mark.parametrize("file", SHARED)
    def test_shared_files(self, shared_data: Path, file: str) -> None:
        table = read_table(shared_data / file)
        file_format, header_row, rows, header = SHARED[file]
        assert (table.format, table.encoding) == (file_format, "utf-8")
        assert (table.header_row, len(table.frame)) == (header_row, rows)
        assert header is None or list(table.frame.columns) == header

    def test_banking77_is_read_as_pandas_reads_it(self, shared_data: Path) -> None:
        path = shared_data / "banking77" / "train.csv"
        ours = read_table(path).frame.reset_index(drop=True)
        pd.testing.assert_frame_equal(ours, pd.read_csv(path, dtype=str, keep_default_na=False))

    @pytest.mark.parametrize(
        ("file", "encoding"),
        [("work_orders_en.csv", "utf-8"), ("inspection_notes_ja.csv", "utf-8-sig")],
    )
    def test_sample_files(self, file: str, encoding: str) -> None:
        table = read_table(Path(__file__).parent.parent / "sample_data" / file)
        assert (table.encoding, table.header_row, table.notes) == (encoding, 1, ())

    def test_fifty_thousand_rows_take_seconds(self, tmp_path: Path) -> None:
        row = "12,2025-04-07,ポンプの継手から油漏れ,機械,a,b,c,0.5\n"
        content = "id,date,text,label,x,y,z,n\n" + row * 50_000
        start = clock.monotonic()
        table = read(tmp_path, content.encode("cp932"))
        assert clock.monotonic() - start < 20  # 2 seconds on a quiet computer
        assert table.frame.shape == (50_000, 8)
