"""Phone numbers in a text: those of Japan by their form, all others by a plus or a word before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from phonenumbers import (
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    format_number,
    is_valid_number,
    parse,
)

Span = tuple[int, int]

REGIONS = (
    "JP", "US", "GB", "DE", "FR", "IT", "ES", "NL", "CN", "TW", "HK", "KR", "TH", "VN", "ID", "IN",
    "MY", "SG", "PH", "MX", "BR", "AU",
)  # fmt: skip
"""Whose national form counts after a word like "tel"."""
BEFORE = r"(?<![0-9A-Za-z_.+,])(?<![0-9A-Za-z)][-/:#])"
AFTER = r"(?![0-9A-Za-z_]|[-.,/:][0-9A-Za-z])"
# Without a hyphen only mobile, IP and free numbers: ten digits with a leading 0 are often serials.
JAPAN = re.compile(
    rf"{BEFORE}(?:0[5789]0\d{{8}}|0120\d{{6}}|0800\d{{7}}"
    rf"|\(?0\d{{1,4}}(?:\)[-. ]?|[-. ]|[-. ]?\()\d{{1,4}}\)?[-. ]?\d{{3,4}}){AFTER}"
)
PLUS = re.compile(r"(?<![0-9A-Za-z])\+[1-9]\d{0,2}(?:[-. ]?\(?\d{1,9}\)?){1,6}(?![0-9A-Za-z])")
NORTH_AMERICA = re.compile(rf"{BEFORE}\([2-9]\d\d\) ?[2-9]\d\d-\d{{4}}{AFTER}")
NAMED = re.compile(
    r"(?:(?<![a-z])(?:tel(?:ephone)?|(?:cell|mobile)? ?phone|mobile|cell|call|fax|whatsapp|contact)"
    r"|電話|携帯|でんわ|ファックス|ファクス|連絡先|℡|☎)"
    r"[ .]{0,2}(?:no\.?|number|番号|me on|me at|us on|us at|is|は)?[ .:：=/-]{0,3}"
    r"(\(?\d[\d() .-]{5,18}\d)(?![0-9A-Za-z])",
    re.IGNORECASE,
)
DATE = re.compile(
    r"(?:19|20)\d\d[-. ]?\d\d?[-. ]?\d\d?(?:[ .-]\d+)*|\d\d?[-. ]\d\d?[-. ](?:19|20)\d\d"
)


def phones(plain: str) -> Iterator[Span]:
    """Yield where phone numbers stand in a text of half-width digits and hyphens.

    A number must be valid and, without a plus, grouped as its region groups it, by the tables of
    `phonenumbers` (Google's libphonenumber): 012-345-6789 is none, because the area is 0123. Groups
    may be joined (090-12345678). The spans may overlap.
    """
    for match in NAMED.finditer(plain):
        if not DATE.fullmatch(match[1]) and any(_is_phone(match[1], to) for to in REGIONS):
            yield match.span(1)
    for pattern, region in ((PLUS, None), (JAPAN, "JP"), (NORTH_AMERICA, "US")):
        for match in pattern.finditer(plain):
            if length := _phone_length(match.group(), region):
                yield match.start(), match.start() + length


def _phone_length(written: str, region: str | None) -> int:
    """Return how many characters are a phone number; after a plus the last groups may be none."""
    while len(written) > 7:
        if _is_phone(written, region):
            return len(written)
        written = re.sub(r"\D*\d+\)?$", "", written) if region is None else ""
    return 0


@lru_cache(maxsize=4096)
def _is_phone(written: str, region: str | None) -> bool:
    number = _read(written, region)
    if number is None or not is_valid_number(number):
        return False
    if region is None:
        return True  # the plus says enough, and people group foreign numbers as they like
    # National forms may lack the trunk digit in front, so places are counted from the end.
    places = _places(written)
    return not places or places <= _places(format_number(number, PhoneNumberFormat.NATIONAL))


def _read(written: str, region: str | None) -> PhoneNumber | None:
    if region == "JP":  # the commonest by far, and `parse` takes most of the time
        digits = re.sub(r"\D", "", written)
        return PhoneNumber(81, int(digits)) if re.fullmatch(r"0[1-9]\d{8,9}", digits) else None
    try:
        return parse(written, region)
    except NumberParseException:
        return None


def _places(written: str) -> set[int]:
    """Return before how many last digits a new group begins."""
    groups = re.findall(r"\d+", written)
    return {len("".join(groups[at:])) for at in range(1, len(groups))}
