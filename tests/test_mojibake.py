from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasa.data.mojibake import is_mojibake, mojibake_rows, repaired, repaired_column

SAMPLES = Path(__file__).parent.parent / "sample_data"
HEALTHY = [
    "", "pump 3 leaks", "油漏れ", "ポンプ3号機の異音", "ﾎﾟﾝﾌﾟ ﾃｨ ﾎｱ ﾊｰﾌ", "ﾂｱｰ 3", "①②Ⅲ㈱㎜",
    "齟齬", "罹災", "été", "élève déjà", "Maße für Größe", "“Hello” don’t—ok…", "français—Ça va",
    "“Ä” ‘A’B", "•item", "‚Über‘ und ‚Ärger‘", "50 °C ±0.1 µm", "Ω φ", "насос", "펌프", "ƒ/2.8",
    "What???", "???", "why? no??", "a??b??", "是正？？", "naïve façade", "Å Ø æ", "E-101 → OK",
    "“MAÎ”", "ÔÊÆ 5 €", "‘êæ’ ÊÆ", "Æ’s æ… Æ’s æ…",
]  # fmt: skip
JAPANESE = [
    "油漏れ", "平面度 0.28 規格0.2", "借金を踏み倒す", "公差±0.1外れ", "ﾎﾞﾙﾄゆるみ２本", "手を洗う",
    "ローター√2", "暗い懐中電灯",
]  # fmt: skip
WESTERN = ["été", "don’t “stop”", "Größe 5 €", "±0.1 µm at 20 °C"]


def read_as(text: str, right: str, wrong: str) -> str:
    return text.encode(right).decode(wrong)


def hiragana_and_words() -> st.SearchStrategy[str]:
    level_1 = "亜哀愛悪握圧扱安暗案以位依偉囲油漏異音不良寸法検査部品交換清掃"
    points = [*range(0x3041, 0x3094), *range(0x30A1, 0x30F7), *range(0xFF66, 0xFF9E)]
    kana = "".join(map(chr, points))
    return st.text(alphabet=level_1 + kana + "ー、。・「」（）０１Ａ 0123abcXYZ-.%/", max_size=30)


def western_words() -> st.SearchStrategy[str]:
    word = st.text(alphabet="abcdefghilmnoprstuvzéèàùçäöüñåøæêîôï", min_size=1, max_size=8)
    case = st.sampled_from([str.lower, str.capitalize, str.upper])
    marks = [
        "{}",
        "“{}”",
        "‘{}’",
        "{}’s",
        "({})",
        "{}…",
        "– {}",
        "{},",
        "{} 5 €",
        "±0.1 {}",
        "«{}»",
    ]
    mark = st.sampled_from(marks)
    pieces = st.builds(lambda mark, to, inner: mark.format(to(inner)), mark, case, word)
    return st.lists(pieces, max_size=8).map(" ".join)


@pytest.mark.parametrize("text", HEALTHY)
def test_healthy_text_is_left_alone(text: str) -> None:
    assert repaired(text) == text
    assert not is_mojibake(text)


@pytest.mark.parametrize("file", ["work_orders_en.csv", "inspection_notes_ja.csv"])
def test_healthy_files_are_left_alone(file: str) -> None:
    with (SAMPLES / file).open(encoding="utf-8-sig", newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert [cell for cell in cells if is_mojibake(cell) or repaired(cell) != cell] == []


@given(hiragana_and_words())
def test_no_japanese_text_is_damaged(text: str) -> None:
    assert repaired(text) == text


@given(western_words())
def test_no_western_text_is_damaged(text: str) -> None:
    assert repaired(text) == text


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("縺ｮ", "の"),
        ("豐ｹ貍上ｌ", "油漏れ"),
        ("荳崎憶", "不良"),
        ("ƒ|ƒ“ƒv", "ポンプ"),
        ("\x83|\x83\x93\x83v", "ポンプ"),
        ("Ã©tÃ©", "été"),
        ("donâ€™t", "don’t"),
        ("CafÃ© 20 Â°C", "Café 20 °C"),
        ("0.5 ﾂｱ0.1", "0.5 ±0.1"),
        ("20ﾂｰC", "20°C"),
        ("æ‰‹ã‚’æ´—ã\x81†", "手を洗う"),
    ],
)
def test_known_repairs(wrong: str, right: str) -> None:
    assert repaired(wrong) == right
    assert is_mojibake(wrong)


@pytest.mark.parametrize("text", JAPANESE)
@pytest.mark.parametrize(
    ("right", "wrong"),
    [("utf-8", "cp932"), ("utf-8", "latin-1"), ("utf-8", "sloppy-windows-1252"),
     ("cp932", "latin-1"), ("cp932", "sloppy-windows-1252")],
)  # fmt: skip
def test_japanese_comes_back_by_every_road(text: str, right: str, wrong: str) -> None:
    try:
        misread = read_as(text, right, wrong)
    except UnicodeDecodeError:  # CP932 lacks some pairs of bytes: then characters are lost instead
        assert is_mojibake(text.encode(right).decode(wrong, "replace"))
        return
    assert repaired(misread) == text
    assert is_mojibake(misread)


@pytest.mark.parametrize("text", WESTERN)
@pytest.mark.parametrize("wrong", ["latin-1", "sloppy-windows-1252"])
def test_western_text_comes_back(text: str, wrong: str) -> None:
    assert repaired(read_as(text, "utf-8", wrong)) == text


@pytest.mark.parametrize(
    "text",
    [
        "pump \ufffd leaks",
        "繝舌Ν繝\ufffd",
        "繝昴Φ繝・3蜿ｷ",
        "????",
        "??? E-101 ???",
        "3???5???",
        "(???) ??",
    ],
)
def test_lost_text_is_found_and_not_invented(text: str) -> None:
    assert is_mojibake(text)
    assert repaired(text) == text


@given(st.text())
def test_a_repair_is_a_text_and_healthy_ascii_stays(text: str) -> None:
    assert isinstance(repaired(text), str)
    if text.isascii():
        assert repaired(text) == text


def test_columns_keep_index_and_name() -> None:
    column = pd.Series(["縺ｮ", "ok", "", "\ufffd"], index=[9, 3, 4, 5], name="note", dtype="str")
    assert mojibake_rows(column).to_dict() == {9: True, 3: False, 4: False, 5: True}
    fixed = pd.Series(["の", "ok", "", "\ufffd"], index=column.index, name="note", dtype="str")
    pd.testing.assert_series_equal(repaired_column(column), fixed)
    empty = column[:0]
    assert mojibake_rows(empty).dtype == bool
    assert repaired_column(empty).empty
