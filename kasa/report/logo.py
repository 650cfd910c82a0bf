"""A company's logo, checked before a document carries it."""

from __future__ import annotations

import base64
import io

from PIL import Image

from kasa.errors import StudyError

MAX_BYTES = 5_000_000
MAX_PIXELS = 25_000_000


def logo_size(content: bytes) -> tuple[int, int]:
    """Return the width and height of a PNG or JPEG in pixels; anything else: `StudyError`.

    The size is read from the header, so that a picture that unpacks to gigabytes is refused first.
    """
    if len(content) > MAX_BYTES:
        raise StudyError("not_a_picture", detail=f"{len(content) / 1e6:,.1f} MB")
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise StudyError("not_a_picture", detail=f"{width:,} × {height:,}")
            picture.load()
    # Pillow's readers raise what the damage happens to cause; a bomb of pixels has its own error.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise StudyError("not_a_picture", detail=type(error).__name__) from error
    return width, height


def logo_uri(content: bytes) -> str:
    """Return a logo as a data URI; errors as in `logo_size`."""
    logo_size(content)
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
