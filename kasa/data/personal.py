"""Likely personal data in a text: e-mail, phone, My Number, postal code and payment card.

"Likely" is the word: a part number can have the form of a phone number. What names itself a part,
serial or lot number is left alone, and every number has to pass the check its kind knows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from kasa.data.phones import phones

KINDS = ("e-mail", "card", "my-number", "postal-code", "phone")
"""In the order of precedence where two would overlap."""
# Personal data has an at sign or seven digits, none far from the next; most rows end here.
WORTH_A_LOOK = re.compile(r"[@＠]|\d(?:(?:[^\w@]|ー){0,3}\d){6}")
FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
DASHES = dict.fromkeys((*range(0x2010, 0x2016), 0x2212, 0x2500, 0x30FC, 0xFF70), ord("-"))
PLAIN = FULL_WIDTH | DASHES | {0x3000: ord(" "), 0xA0: ord(" ")}
"""One character for one, so that offsets stay those of the original text."""
NOT_A_PERSON = re.compile(
    r"(?:\b[ps]/?n|part|serial|lot|sku|order|item|batch|asset|drawing|dwg|model"
    r"|品番|型番|型式|図番|製番|部番|部品|番号|ロット|シリアル|注文|伝票|製造|管理)"
    r"[ .:#]{0,2}(?:no|nr|number|code|id|番号|コード|№)?[ .:#=_-]{0,3}$",
    re.IGNORECASE,
)
SAYS_MY_NUMBER = re.compile(r"(?:マイナンバー|個人番号|my ?number)[^\d]{0,6}$", re.IGNORECASE)
# RFC 5321 allows 64 characters before the at sign; the bound keeps the search linear.
E_MAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_%+][A-Za-z0-9._%+-]{0,63}@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
BEFORE, AFTER = r"(?<![0-9A-Za-z_.+,])(?<![0-9A-Za-z][-/:])", r"(?![0-9A-Za-z_]|[-.,/:][0-9A-Za-z])"
CARD = re.compile(
    rf"{BEFORE}(?:\d{{13,19}}|\d{{4}}(?:([ -])\d{{4}})(?:\1\d{{4}}){{2}}(?:\1\d{{1,3}})?"
    rf"|\d{{4}}([ -])\d{{6}}\2\d{{4,5}}){AFTER}"
)
# Visa, Mastercard, American Express, JCB, Diners, Discover, UnionPay with their lengths.
ISSUER = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d+(?<=\d{16})"
    r"|3[47]\d{13}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[689]\d)\d{11}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|62\d{14,17}"
)
# A short word after it is a unit: 1000-2000-3000 rpm.
MY_NUMBER = re.compile(
    rf"{BEFORE}\d{{4}}([ -]?)\d{{4}}\1\d{{4}}{AFTER}(?! ?(?:[A-Za-zµμ]{{1,3}}\b|[%°]))", re.ASCII
)
TIME_STAMP = re.compile(
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])\d+"
)
POSTAL = re.compile(
    rf"(?:〒 {{0,2}}|郵便番号[ :は]{{0,3}})(?P<named>\d{{3}}-?\d{{4}})(?!\d)"
    rf"|{BEFORE}(?P<bare>\d{{3}}-\d{{4}})(?= {{0,2}}"
    r"(?:東京都|北海道|(?:京都|大阪)府|[一-龠]{2,3}県|[一-龠ヶケ]{1,5}(?:市|区|郡)(?!場)))"
)


@dataclass(frozen=True)
class Finding:
    """One piece of likely personal data: its kind (see `KINDS`) and where it stands."""

    kind: str
    start: int
    end: int


def find_personal(text: str) -> list[Finding]:
    """Return the likely personal data in a text, in order and without overlaps.

    e-mail: RFC 5321 forms. card: 13-19 digits with an issuer's prefix and the check digit of
    ISO/IEC 7812 (Luhn). my-number: 12 digits whose check digit follows Ordinance 85 (2014) of the
    Ministry of Internal Affairs, article 5. postal-code: seven digits after 〒 or 郵便番号, or with
    a hyphen before an address. phone: see `kasa.data.phones`. Offsets are those of `text`.
    """
    if not WORTH_A_LOOK.search(text):
        return []
    plain = text if text.isascii() else text.translate(PLAIN)
    found: list[Finding] = []
    for kind in KINDS:
        for start, end in FINDERS[kind](plain):
            if all(end <= other.start or other.end <= start for other in found):
                found.append(Finding(kind, start, end))
    return sorted(found, key=lambda finding: finding.start)


def mask_personal(text: str) -> str:
    """Return the text with each piece of likely personal data as its kind in square brackets."""
    pieces, end = [], 0
    for finding in find_personal(text):
        pieces += [text[end : finding.start], f"[{finding.kind}]"]
        end = finding.end
    return "".join([*pieces, text[end:]])


def masked_labels(labels: Iterable[str]) -> dict[str, str]:
    """Return what stands for each label that holds likely personal data; the names stay different.

    Two people's addresses become [e-mail] and [e-mail] (2).
    """
    masked: dict[str, str] = {}
    for label in labels:
        plain = name = mask_personal(label)
        number = 2
        while name != label and name in masked.values():
            name, number = f"{plain} ({number})", number + 1
        if name != label:
            masked[label] = name
    return masked


def rows_with_personal(column: pd.Series) -> pd.Series:
    """Return True for each row that holds likely personal data."""
    return pd.Series([bool(find_personal(text)) for text in column], index=column.index, dtype=bool)


def personal_counts(column: pd.Series) -> dict[str, int]:
    """Return how many pieces of each kind a column holds, only kinds that occur, as in `KINDS`."""
    counts = Counter(finding.kind for text in column for finding in find_personal(text))
    return {kind: counts[kind] for kind in KINDS if counts[kind]}


def has_luhn_digit(digits: str) -> bool:
    """Say whether the last digit is the check digit of ISO/IEC 7812-1, annex B (Luhn).

    From the right every second digit is doubled and its digits added; the sum is a multiple of ten.
    """
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[::-2])) + sum(doubled)) % 10 == 0


def has_my_number_digit(digits: str) -> bool:
    """Say whether the last of 12 digits is the check digit of a My Number (個人番号).

    11 - (Σ Pn·Qn mod 11), and 0 where that is above 9; Pn is the n-th digit from the right without
    the check digit, Qn = n + 1 up to n = 6 and n - 5 from n = 7 (Ordinance 85 of 2014, article 5).
    """
    weights = (*range(2, 8), *range(2, 7))
    rest = sum(int(p) * q for p, q in zip(digits[-2::-1], weights, strict=True)) % 11
    return int(digits[-1]) == (0 if rest <= 1 else 11 - rest)


def _has_article_digit(digits: str) -> bool:
    """Say whether this can be a trade item's number (GTIN-12, -13, -14 by GS1: weights 3, 1)."""
    weighted = 3 * sum(map(int, digits[-2::-2])) + sum(map(int, digits[::-2]))
    return len(digits) <= 14 and weighted % 10 == 0


def _e_mails(plain: str) -> Iterator[tuple[int, int]]:
    yield from (match.span() for match in E_MAIL.finditer(plain))


def _cards(plain: str) -> Iterator[tuple[int, int]]:
    for match in CARD.finditer(plain):
        digits = re.sub(r"\D", "", match.group())
        valid = ISSUER.fullmatch(digits) and has_luhn_digit(digits)
        if valid and not _has_article_digit(digits) and not _is_named(plain, match.start()):
            yield match.span()


def _my_numbers(plain: str) -> Iterator[tuple[int, int]]:
    for match in MY_NUMBER.finditer(plain):
        digits = re.sub(r"\D", "", match.group())
        if not has_my_number_digit(digits) or len(set(digits)) == 1:
            continue
        other = TIME_STAMP.fullmatch(digits) or _has_article_digit(digits)
        before = plain[max(0, match.start() - 20) : match.start()]
        if SAYS_MY_NUMBER.search(before) or not (other or _is_named(plain, match.start())):
            yield match.span()


def _postal_codes(plain: str) -> Iterator[tuple[int, int]]:
    for match in POSTAL.finditer(plain):
        yield match.span("named" if match["named"] else "bare")


def _phones(plain: str) -> Iterator[tuple[int, int]]:
    yield from (span for span in phones(plain) if not _is_named(plain, span[0]))


def _is_named(plain: str, start: int) -> bool:
    """Say whether the words before a number call it a part, lot, serial or order number."""
    return NOT_A_PERSON.search(plain[max(0, start - 24) : start]) is not None


FINDERS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "e-mail": _e_mails,
    "card": _cards,
    "my-number": _my_numbers,
    "postal-code": _postal_codes,
    "phone": _phones,
}
