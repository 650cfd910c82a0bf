"""Every bad file is one clear message in both languages, within seconds and a bounded memory."""

from __future__ import annotations

import base64
import io
import struct
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import openpyxl
import psutil
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from kasa.data import archive, sandbox, table
from kasa.data.read import Reading, read_table
from kasa.errors import DataError
from kasa.text import translator

MAX_SECONDS = 60.0  # a guard against hanging, not a measurement
MAX_GROWTH = 400_000_000
RELAXED = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


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


def zipped(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            made.writestr(name, content)
    return file.getvalue()


def encrypted(content: bytes) -> bytes:
    """Return a ZIP with the flag of encryption set in both places that hold it."""
    changed = bytearray(content)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        changed[content.find(mark) + place] |= 1
    return bytes(changed)


def parquet_file(columns: dict[str, list[str]]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


ENTITIES = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>
<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>
<row r="1"><c r="A1" t="inlineStr"><is><t>&b;</t></is></c></row></sheetData></worksheet>"""
FAR_ROW = b"""<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>
<row r="4000000000"><c r="A4000000000" t="n"><v>1</v></c></row></sheetData></worksheet>"""
SHEET = "xl/worksheets/sheet1.xml"


def sheet(cells: bytes) -> bytes:
    space = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return b'<worksheet xmlns="%s"><sheetData>%s</sheetData></worksheet>' % (space, cells)


NUMBER = b'<row r="1"><c r="A1"><v>1</v></c></row>'
FAR_CELL = sheet(NUMBER + b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>')
SHARED = "xl/sharedStrings.xml"
LONG_STRING = (
    b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>'
    + b"x" * 3_000_000
    + b"</t></si></sst>"
)
MANY_COPIES = sheet((b"<row>" + b'<c t="s"><v>0</v></c>' * 50 + b"</row>") * 200)
# A workbook that Office encrypted, its random parts set to zero.
PROTECTED = (
    "c-rmOu};EZ6vgq=Vnsj&9T*%Ocn~)RH(!CM5M!doxG?xIjEp>qB+e!<xjHfcpQoWUKw`wi#qj?nr(f@v"
    "CQW*q+YVojM!mtwSZmHy&^(m1yR;WMabDCGb((nyA>R)8S7uJyzk++Wll3y~dC}R+>ay30v+o=@hfa0z"
    "3INz*btPXjzx>TLAJg~#>+@TbuZgnZVolxYQjhBDK~K8Yl`hos&aICf*FS0ai?lq?Ho1Svdy`{&2W-35"
    "`E#Rt*XK^#XPY=x9L3px@Nec%FX7n(00000000000Qg&<?lclS"
)

BAD = {
    "empty": (b"", "data_empty", {}),
    "only a mark and blanks": (b"\xef\xbb\xbf \r\n\t\r\n", "data_empty", {}),
    "only a utf-16 mark": (b"\xff\xfe", "data_empty", {}),
    "header only": (b"text,label\r\n", "data_no_rows", {"columns": 2}),
    "header only jsonl": (b"{}", "data_no_rows", {}),
    "header only xlsx": (xlsx_with(SHEET, sheet(NUMBER)), "data_no_rows", {"columns": 1}),
    "header only parquet": (parquet_file({"text": []}), "data_no_rows", {"columns": 1}),
    "empty xlsx": (xlsx_with(SHEET, sheet(b"")), "data_no_rows", {"columns": 0}),
    "empty json list": (b"[]", "data_no_rows", {}),
    "nothing but delimiters": (b",,\n,,\n", "data_no_rows", {}),
    "pdf": (b"%PDF-1.7\n%abc", "data_binary", {}),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0", "data_binary", {}),
    "random": (bytes(range(256)) * 20, "data_binary", {}),
    "zeros": (bytes(5000), "data_binary", {}),
    "nul": (b"text,label\n" + b"pump leaks,a\n" * 50 + b"a\0,b\n", "data_nul", {"line": 52}),
    "marked but not utf-8": (b"\xef\xbb\xbfa,b\n\x83\x5c,c\n", "data_encoding", {"line": 2}),
    "utf-8 with one broken character": (
        "a,b\n異音,c\n".encode() + b"\xe7\x95,d\n" + "ポンプ漏れ,c\n".encode() * 3,
        "data_encoding",
        {"line": 3},
    ),
    "russian in cp1251": ("a,b\nПривет мир,c\n".encode("cp1251"), "data_encoding", {"line": 2}),
    "word document of 1997": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
        "data_binary",
        {},
    ),
    "broken old excel": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "Workbook".encode("utf-16-le"),
        "data_xlsx_broken",
        {},
    ),
    "encrypted xlsx": (zlib.decompress(base64.b85decode(PROTECTED)), "data_password", {}),
    "docx": (zipped(("[Content_Types].xml", b"x"), ("word/document.xml", b"x")), "data_zip", {}),
    "truncated xlsx": (xlsx_with("x", b"x")[:-200], "data_xlsx_broken", {}),
    "half an xlsx": (xlsx_with("x", b"x")[:2000], "data_xlsx_broken", {}),
    "broken sheet": (xlsx_with(SHEET, b"<worksheet><sheetData>"), "data_xlsx_broken", {}),
    "xml entities": (xlsx_with(SHEET, ENTITIES), "data_xlsx_entities", {}),
    "row four billion": (xlsx_with(SHEET, FAR_ROW), "data_xlsx_broken", {}),
    "a cell at the sheet's end": (xlsx_with(SHEET, FAR_CELL), "data_too_heavy", {}),
    "one long text ten thousand times": (
        zipped(
            (
                "xl/workbook.xml",
                zipfile.ZipFile(io.BytesIO(xlsx_with("x", b""))).read("xl/workbook.xml"),
            ),
            *(
                (name, zipfile.ZipFile(io.BytesIO(xlsx_with("x", b""))).read(name))
                for name in (
                    "[Content_Types].xml",
                    "_rels/.rels",
                    "xl/_rels/workbook.xml.rels",
                    "xl/styles.xml",
                )
            ),
            (SHEET, MANY_COPIES),
            (SHARED, LONG_STRING),
        ),
        "data_too_heavy",
        {},
    ),
    "xlsx bomb": (
        xlsx_with("xl/media/a.bin", b"\0" * 30_000_000),
        "data_zip_bomb",
        {"megabytes": "30"},
    ),
    "zip bomb": (zipped(("a.csv", b"a,b\n" * 10_000_000)), "data_zip_bomb", {"megabytes": "40"}),
    "empty zip": (zipped(("folder/", b""), ("__MACOSX/._a.csv", b"x")), "data_zip_empty", {}),
    "several files": (zipped(("a.csv", b"x"), ("b.csv", b"x")), "data_zip_files", {"count": 2}),
    "nested zip": (
        zipped(("a.zip", zipped(("b.csv", b"a,b\n1,2\n")))),
        "data_zip_nested",
        {"name": "a.zip"},
    ),
    "encrypted zip": (encrypted(zipped(("a.csv", b"a,b\n1,2\n"))), "data_password", {}),
    "truncated zip": (zipped(("a.csv", b"a,b\n1,2\n"))[:-30], "data_zip_broken", {}),
    "damaged zip": (
        zipped(("a.csv", b"a,b\n1,2\n")).replace(b"a.csv\x4b", b"a.csv\xff"),
        "data_zip_broken",
        {},
    ),
    "empty file in a zip": (zipped(("a.csv", b"")), "data_empty", {}),
    "picture in a zip": (zipped(("a.png", b"\x89PNG\r\n\x1a\n\0")), "data_binary", {}),
    "broken parquet": (b"PAR1" + b"x" * 100, "data_parquet_broken", {}),
    "truncated parquet": (parquet_file({"a": ["1", "2"]})[:-20], "data_parquet_broken", {}),
    "long parquet": (parquet_file({"a": ["1"] * 10_000_001}), "data_cells", {}),
    "ragged": (
        b'text,label\n"a\nb",c\nd,e\nf\n',
        "data_ragged",
        {"row": 4, "line": 5, "got": 1, "wanted": 2},
    ),
    "ragged under a title": (
        b"Report\n\ntext,label\na,b\nd,e,f\ng,h\n",
        "data_ragged",
        {"row": 5, "line": 5, "got": 3, "wanted": 2},
    ),
    "ragged below sep=": (b"sep=;\na;b\n1;2;3\n4;5\n", "data_ragged", {"row": 2, "line": 3}),
    "one cell too many": (b"a,b\n1,2,3\n", "data_ragged", {"got": 3, "wanted": 2}),
    "open quote": (b'a,b\n1,2\n"x,3\n4,5\n', "data_quotes", {"line": 3}),
    "quote inside": (b'a,b\n"1/2" bolt,2\n', "data_quotes", {"line": 2}),
    "huge cell": (b"a,b\n1," + b"x" * 200_000, "data_quotes", {"line": 2}),
    "broken json lines": (b'{"a": 1}\n{"a": \n', "data_json_line", {"line": 2}),
    "json number": (b'{"a": 1}\n\n7\n', "data_json_line", {"line": 3}),
    "lone surrogate": (b'{"a": "\\ud800"}\n', "data_json_line", {"line": 1}),
    "broken json list": (b'[{"a": 1},\n {"a": 2}', "data_json", {"line": 2}),
    "broken json object": (b'{\n "rows": [{"a": 1,}]}', "data_json", {"line": 2}),
    "deep json": (b'{"a": ' + b"[" * 100_000, "data_json", {"line": 1}),
    "json of many cells": (b'[{"a": [' + b"0," * 11_000_000 + b"0]}]", "data_cells", {}),
    "json list of lists": (b"[[1, 2], [3, 4]]", "data_json_shape", {}),
    "json objects in objects": (b'{\n"a": 1, "b": {"c": [1]}\n}', "data_json_shape", {}),
    "columns": (b",".join([b"x"] * 2001) + b"\n", "data_columns", {"got": "2,001"}),
    "a million columns": (b",".join([b"x"] * 1_000_000), "data_columns", {"got": "1,000,000"}),
    "a million keys": (
        b"{" + b",".join(b'"k%d":1' % i for i in range(1_000_000)) + b"}",
        "data_columns",
        {"got": "1,000,000"},
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_each_is_one_clear_message(tmp_path: Path, name: str) -> None:
    content, code, values = BAD[name]
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    memory, start = psutil.Process().memory_info().rss, time.monotonic()
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert time.monotonic() - start < MAX_SECONDS
    assert psutil.Process().memory_info().rss - memory < MAX_GROWTH
    assert caught.value.code == code
    assert values.items() <= caught.value.values.items()
    for lang in ("en", "ja"):
        what, cause, do = caught.value.parts(translator(lang))
        assert all([what, cause, do])
        assert "{" not in what + do


def test_no_process_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "bad.xlsx"
    path.write_bytes(xlsx_with(SHEET, FAR_CELL))
    with pytest.raises(DataError):
        read_table(path)
    scripts = [child.cmdline() for child in psutil.Process().children()]
    assert not [command for command in scripts if "sandboxed.py" in " ".join(command)]


def test_a_process_that_takes_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "MAX_SECONDS", 0.0)
    path = tmp_path / "book.xlsx"
    path.write_bytes(xlsx_with("x", b"x"))
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.code == "data_too_heavy"


def test_a_process_that_takes_too_much_memory_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "MAX_MEMORY_BYTES", 1_000_000)
    path = tmp_path / "book.xlsx"
    path.write_bytes(xlsx_with("x", b"x"))
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.code == "data_too_heavy"


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "none.csv")
    assert caught.value.code == "file_not_found"


@pytest.mark.parametrize("start", [b"a,b\n", b"PK\x03\x04", b"PAR1"])
def test_too_large_is_refused_before_reading(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.write(start)
        file.truncate(300_000_000)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.values == {"megabytes": "300", "limit": "100"}


def test_too_many_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_CELLS", 10)
    path = tmp_path / "cells.csv"
    path.write_text("a,b\n" + "1,2\n" * 6, "utf-8")
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.code == "data_cells"


def test_unpacked_limit_counts_without_a_high_ratio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1000)
    path = tmp_path / "book.xlsx"
    path.write_bytes(xlsx_with("x", b"x"))
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.code == "data_zip_bomb"


def test_a_long_list_of_contents_is_not_read(tmp_path: Path) -> None:
    content = zipped(("a.csv", b"a,b\n1,2\n"))
    place = content.rfind(b"PK\x05\x06") + 12
    path = tmp_path / "long.zip"
    path.write_bytes(content[:place] + struct.pack("<I", 90_000_000) + content[place + 4 :])
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.code == "data_zip_broken"


@RELAXED
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"PK\x03\x04", b"{", b"[", b"a,b\n", b"\xff\xfe", b"\x1b$B", b"sep=;\n"]),
    st.sampled_from([None, 0, 2]),
)
def test_any_bytes_are_a_table_or_a_data_error(
    tmp_path: Path, content: bytes, start: bytes, header_row: int | None
) -> None:
    path = tmp_path / "any"
    path.write_bytes(start + content)
    with suppress(DataError):
        read = read_table(path, Reading(header_row=header_row))
        assert len(read.frame) > 0
        text = read.frame.to_string()
        assert "\ufffd" not in text or "\ufffd".encode(read.encoding) in start + content
