from __future__ import annotations

import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasa.data.personal import (
    KINDS,
    PLAIN,
    Finding,
    find_personal,
    has_luhn_digit,
    has_my_number_digit,
    mask_personal,
    masked_labels,
    personal_counts,
    rows_with_personal,
)

PERSONAL = [
    ("e-mail", "<taro.yamada+qc@example.co.jp>"),
    ("e-mail", "連絡は<ｔａｒｏ＠ｅｘａｍｐｌｅ．ｃｏ．ｊｐ>まで"),
    ("e-mail", "mail: <a_b@mail.example.com>."),
    ("phone", "<03-1234-5678>"),
    ("phone", "<(03)1234-5678>"),
    ("phone", "<03(1234)5678>"),
    ("phone", "担当は<（０３）１２３４－５６７８>です"),
    ("phone", "<０９０－１２３４－５６７８>"),
    ("phone", "携帯<090ー1234ー5678>"),
    ("phone", "山田<090-1234-5678>まで"),
    ("phone", "<090-1234-5678> 2024/01/15"),
    ("phone", "<09012345678>"),
    ("phone", "<090-12345678>"),
    ("phone", "<080 1234 5678>"),
    ("phone", "<070-1234-5678>"),
    ("phone", "<050-1234-5678>"),
    ("phone", "<0120-123-456>"),
    ("phone", "<0120123456>"),
    ("phone", "<0800-123-4567>"),
    ("phone", "<0532-12-3456>, shift B"),
    ("phone", "電話<0312345678>"),
    ("phone", "TEL.<052-123-4567>"),
    ("phone", "Fax: <06-6123-4567>"),
    ("phone", "<+81-90-1234-5678>"),
    ("phone", "<+819012345678>"),
    ("phone", "<+81 (0)3-1234-5678>"),
    ("phone", "<＋８１ ３ １２３４ ５６７８>"),
    ("phone", "<+44 20 7946 0958> 2024"),
    ("phone", "hotline <+49 89 636 48018>"),
    ("phone", "<+1 415-555-2671>"),
    ("phone", "<(415) 555-2671>"),
    ("phone", "call <415-555-2671> now"),
    ("phone", "tel <020 7946 0958>"),
    ("phone", "call me at <0412 345 678>"),
    ("my-number", "<123456789018>"),
    ("my-number", "<1234-5678-9018>"),
    ("my-number", "マイナンバーは<１２３４　５６７８　９０１８>"),
    ("my-number", "個人番号 <200001010009>"),  # could be a time, but says what it is
    ("postal-code", "〒<123-4567>"),
    ("postal-code", "〒 <１２３４５６７>"),
    ("postal-code", "郵便番号：<1234567>"),
    ("postal-code", "<460-0008> 愛知県名古屋市"),
    ("postal-code", "<460-0008>名古屋市中区栄"),
    ("card", "<4111111111111111>"),
    ("card", "<4111 1111 1111 1111>"),
    ("card", "カード<５５５５－５５５５－５５５５－４４４４>"),
    ("card", "<3782 822463 10005>"),
    ("card", "<3530111333300000>"),
    ("card", "<6011111111111117>"),
    ("card", "<2223003122003222>"),
]
FACTORY = [
    "4512-889-0012", "FL-7011-0345-6789", "BK-4410-2", "CV-0620-A", "3D-090-1234-5678",
    "0901-2345-678", "012-345-6789", "P/N 03-1234-5678", "品番 03-1234-5678",
    "品番：090-1234-5678", "S/N 09012345678", "serial no. 123456789018",
    "シリアル番号 4111111111111111", "ロット番号:1234-5678-9018", "LOT20240115-003",
    "lot 0120-123-456", "SN4111111111111111", "WO-24108", "order 0120-123-456", "2024-01-15",
    "2024/01/15 12:30:45", "08-01-2024 12:30", "06-12-2024 08-15", "令和6年1月15日",
    "2024-01-15T12:30:45+09:00", "2025-01-07 08:15:00.123456", "20240115123045", "202401151230",
    "200001010009", "call 2024-01-15", "call 20240115", "08:00-17:00 2024", "contact 4512-889-0012",
    "torque 45.5-50.2 Nm", "45.12 N·m ±0.0012345", "φ0.05-0.08-0.12", "M6x1.0-20",
    "SUS304 t1.2x1219x2438", "1000-2000-3000 rpm", "0100-0200-0300", "+0.05/-0.0212345",
    "+12.5 V -12.5 V", "X=012.345 Y=067.891", "0.12345678", "1,234,567,890", "0,123,456,789",
    "50@200 M8", "user@host", "@ 12345678", "192.168.001.010", "10.0.0.255:8080",
    "00:1A:2B:3C:4D:5E", "fe80::0123:4567:89ab", "ISO 0120-555-003x", "0312345678", "0123456789",
    "1234567890", "000000000000", "0000-0000-0000", "4111111111111112", "1234567890123456",
    "123456789012", "4901234567894", "49012345678904", "5012345678900", "356938035643809",
    "123-4567", "部品 123-4567 交換", "123-4567 市場クレーム", "0421-11-20240115", "+4512345678",
]  # fmt: skip


@pytest.mark.parametrize(("kind", "example"), PERSONAL)
def test_personal_data_is_found_where_it_stands(kind: str, example: str) -> None:
    before, part, after = re.split("[<>]", example)
    text = before + part + after
    assert find_personal(text) == [Finding(kind, len(before), len(before + part))]
    assert mask_personal(text) == f"{before}[{kind}]{after}"


@pytest.mark.parametrize("text", FACTORY)
def test_what_a_factory_writes_is_no_personal_data(text: str) -> None:
    assert find_personal(text) == []
    assert find_personal(f"点検 {text} 交換") == []


@pytest.mark.parametrize("text", FACTORY)
def test_nor_is_it_in_full_width(text: str) -> None:
    wide = {narrow: full for full, narrow in PLAIN.items() if 0xFF01 <= full < 0xFF5F}
    assert find_personal(text.translate(wide)) == []


def test_several_kinds_in_one_text_are_masked_in_order() -> None:
    text = "〒460-0008 愛知県 a@b.jp 携帯０９０－１２３４－５６７８ 4111111111111111 123456789018"
    assert mask_personal(text) == "〒[postal-code] 愛知県 [e-mail] 携帯[phone] [card] [my-number]"
    assert find_personal("a@b.jp")[0] == Finding("e-mail", 0, 6)


@pytest.mark.parametrize(
    ("digits", "valid"),
    [("79927398713", True), ("79927398710", False), ("4111111111111111", True), ("0", True)],
)
def test_luhn(digits: str, valid: bool) -> None:
    assert has_luhn_digit(digits) == valid


def test_exactly_one_last_digit_is_right() -> None:
    # 1·2+0·3+9·4+8·5+7·6+6·7+5·2+4·3+3·4+2·5+1·6 = 212 = 19·11 + 3, and 11 - 3 = 8.
    fits = [digit for digit in "0123456789" if has_my_number_digit("12345678901" + digit)]
    assert fits == ["8"]
    # Remainders 0 and 1 both give 0.
    assert has_my_number_digit("000000000000")
    assert has_my_number_digit("000000000060")
    for base in ("98765432109", "31415926535", "00000000001"):
        assert sum(has_my_number_digit(base + digit) for digit in "0123456789") == 1


PIECES = st.sampled_from(
    ["a@b.jp", "090-1234-5678", "03-1234-5678", "4111111111111111", "123456789018", "〒123-4567",
     "+81 3", "0120", "123-4567", "東京都", "＠", "１２３", " ", "-", "x", "油", "tel ", "P/N "]
)  # fmt: skip


DIGITS = st.text(alphabet="0123456789-+() @a.９＠油", max_size=40)


@given(st.lists(PIECES, max_size=8).map("".join) | DIGITS)
def test_findings_are_ordered_apart_and_inside(text: str) -> None:
    end = 0
    for finding in find_personal(text):
        assert finding.kind in KINDS
        assert end <= finding.start < finding.end <= len(text)
        end = finding.end


@given(st.text(alphabet=st.characters(exclude_categories=["Nd", "Cs"], exclude_characters="@＠")))
def test_without_digits_and_at_signs_nothing_changes(text: str) -> None:
    assert mask_personal(text) == text


@pytest.mark.parametrize(
    "text",
    [
        piece * 20_000 + "@"
        for piece in ("1", "a@", "a", "0-", "+1 2", "(", "tel ", "1 ", "品番", "〒")
    ],
)
@pytest.mark.timeout(10)
def test_odd_long_texts_take_no_quadratic_time(text: str) -> None:
    assert mask_personal(text) is not None


def test_columns() -> None:
    texts = ["a@b.jp, c@d.jp", "none", "", "03-1234-5678"]
    column = pd.Series(texts, index=[5, 3, 9, 2], dtype="str")
    assert rows_with_personal(column).to_dict() == {5: True, 3: False, 9: False, 2: True}
    assert personal_counts(column) == {"e-mail": 2, "phone": 1}
    empty = column[:0]
    assert rows_with_personal(empty).dtype == bool
    assert personal_counts(empty) == {}


def test_masked_labels_stay_different() -> None:
    labels = ["a@example.com", "leak", "b@example.com", "call 03-1234-5678"]
    assert masked_labels(labels) == {
        "a@example.com": "[e-mail]",
        "b@example.com": "[e-mail] (2)",
        "call 03-1234-5678": "call [phone]",
    }
    assert masked_labels(["leak", "noise"]) == {}
