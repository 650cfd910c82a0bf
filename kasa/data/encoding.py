"""Bytes to text, strictly: what the encoding is, and what the text would be under each other one.

No encoding here ever puts a replacement character in. The order: a byte order mark settles it;
then UTF-16 without a mark (its zero bytes), ISO-2022-JP (its escapes) and UTF-8, which other
encodings hardly ever imitate; then CP932, EUC-JP and CP1252, judged by how plausible the text is.
"""

from __future__ import annotations

import codecs
import re

from kasa.data.plausible import plausibility
from kasa.dataspec import ENCODINGS
from kasa.errors import DataError

MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
LABELS = {
    "cp932": "CP932 (Shift_JIS)",
    "euc-jp": "EUC-JP",
    "iso-2022-jp": "ISO-2022-JP (JIS)",
    "utf-16-le": "UTF-16 LE",
    "utf-16-be": "UTF-16 BE",
    "utf-32": "UTF-32",
    "cp1252": "CP1252 (Western European)",
    "iso-8859-1": "ISO-8859-1 (Latin-1)",
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8",
}
JUDGED = ("cp932", "euc-jp", "cp1252")
PLAUSIBLE = 0.25
ESCAPES = re.compile(rb"\x1b(?:\$[@B]|\$\(D|\([IJB])")
# Controls that no text holds; a form feed, an escape and the end mark of DOS may occur.
CONTROLS = re.compile("[\x00-\x08\x0e-\x19\x1c-\x1f\x7f-\x9f]")
SAMPLE = 200_000
SHOWN_CHARACTERS = 120


def decode(content: bytes, encoding: str | None = None) -> tuple[str, str]:
    """Return (text, encoding) by strict decoding, under `encoding` or the one that is found.

    Raises `DataError` naming the line where the bytes do not fit the encoding asked for, fit their
    own byte order mark badly, or make plausible text under no encoding.
    """
    if encoding is not None:
        try:
            return strict(content, encoding), encoding
        except UnicodeDecodeError as error:
            line = _line(error, encoding)
            raise DataError("data_encoding_given", encoding=LABELS[encoding], line=line) from error
    certain = _marked(content) or _utf16(content)
    if certain is None and ESCAPES.search(content) and content.isascii():
        certain = "iso-2022-jp"
    try:
        return strict(content, certain or "utf-8"), certain or "utf-8"
    except UnicodeDecodeError as error:
        found = None if certain else _most_plausible(content)
        if found is None:
            line = _line(error, certain or "utf-8")
            raise DataError("data_encoding", line=line) from error
        return found


def is_wide(content: bytes) -> bool:
    """Say whether the bytes are UTF-16 or UTF-32, where control bytes are halves of characters."""
    return (_marked(content) or _utf16(content) or "").startswith(("utf-16", "utf-32"))


def previews(content: bytes, limit: int = 3) -> dict[str, list[str]]:
    """Return up to `limit` telling lines (cut short) under each encoding that fits the bytes.

    Lines with other than ASCII characters come first, since only they differ. An encoding that
    yields control characters, or the same text as one before it, is left out.
    """
    shown: dict[str, list[str]] = {}
    texts: set[str] = set()
    certain = (_marked(content), _utf16(content))
    for name in sorted(ENCODINGS, key=lambda name: name not in certain):
        wide = name.startswith(("utf-16", "utf-32"))
        if wide and name not in certain:
            continue  # almost any bytes are valid there, as a row of random characters
        try:
            text = strict(content, name)
        except UnicodeDecodeError:
            continue
        if CONTROLS.search(text, 0, SAMPLE) or "\x1b" in text or text in texts:
            continue
        texts.add(text)
        lines = [line[:SHOWN_CHARACTERS] for line in text[:SAMPLE].splitlines() if line.strip()]
        shown[name] = sorted(lines, key=str.isascii)[:limit]
    return shown


def strict(content: bytes, encoding: str) -> str:
    """Return the text without its byte order mark; UnicodeDecodeError where a byte does not fit."""
    for mark, name in MARKS:
        if name == encoding != "utf-32" and content.startswith(mark):
            content = content[len(mark) :]
    if encoding in ("utf-8", "utf-8-sig"):
        return content.decode("utf-8-sig")
    codec = {"iso-2022-jp": "iso2022_jp_ext", "euc-jp": "euc_jp"}.get(encoding)
    # Windows adds characters such as ① and ㈱ to both, which Python's codecs do not know.
    text = content.decode(codec, "kasa-windows-jis") if codec else content.decode(encoding)
    if encoding == "cp932" and "\x80" in text:
        # Python lets these bytes pass as control characters; CP932 does not define them.
        raise UnicodeDecodeError("cp932", content, content.index(0x80), len(content), "undefined")
    return text


def _marked(content: bytes) -> str | None:
    for mark, name in MARKS:
        if content.startswith(mark) and (name != "utf-32" or len(content) % 4 == 0):
            return name
    return None


def _utf16(content: bytes) -> str | None:
    """Return the byte order of UTF-16 without a mark: ASCII characters leave zeros on one side."""
    sample = content[:SAMPLE]
    if len(content) % 2 or b"\0" not in sample:
        return None
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    name, zeros, others = ("utf-16-le", odd, even) if odd > even else ("utf-16-be", even, odd)
    line_end = b"\n\0" if name == "utf-16-le" else b"\0\n"
    ends = 2 * sample.count(line_end) >= sample.count(b"\n") > 0
    if not ends or zeros < 0.005 * len(sample) / 2 or others > zeros / 4:
        return None
    try:
        text = strict(content, name)
    except UnicodeDecodeError:
        return None
    return None if CONTROLS.search(text) else name


def _most_plausible(content: bytes) -> tuple[str, str] | None:
    found: dict[str, tuple[float, str]] = {}
    for name in JUDGED:
        try:
            text = strict(content, name)
        except UnicodeDecodeError:
            continue
        if not CONTROLS.search(text):
            found[name] = (plausibility(text, name), text)
    best = max(found, key=lambda name: found[name][0], default=None)
    if best is None or found[best][0] < PLAUSIBLE:
        return None
    return found[best][1], best


def _line(error: UnicodeDecodeError, encoding: str) -> int:
    before = bytes(error.object[: error.start])
    if encoding.startswith(("utf-16", "utf-32")):
        width = 4 if encoding == "utf-32" else 2
        return before[: len(before) // width * width].decode(encoding, "ignore").count("\n") + 1
    return before.count(b"\n") + 1


def _windows_jis(error: UnicodeError) -> tuple[str, int]:
    """Decode one double-byte character that only Windows has; raises the error for any other."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    pair = error.object[error.start : error.start + 2]
    row, cell = (byte & 0x7F for byte in pair) if len(pair) == 2 else (0, 0)
    if row not in (0x2D, *range(0x79, 0x7D)) or not 0x21 <= cell <= 0x7E:
        raise error
    lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
    trail = cell + (0x7E if row % 2 == 0 else 0x1F if cell < 0x60 else 0x20)
    try:
        return bytes((lead, trail)).decode("cp932"), error.start + 2
    except UnicodeDecodeError:
        raise error from None


codecs.register_error("kasa-windows-jis", _windows_jis)
