"""Pictures that providers of sign-ins hand over: what is one is told by its first bytes (identity.md 17). Pure."""

import re
from typing import Final

from thingstead.model.users import Picture

MOST: Final = 2 << 20  # bytes

_KINDS: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "png"),
    (re.compile(rb"\xff\xd8\xff"), "jpeg"),
    (re.compile(rb"GIF8[79]a"), "gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "webp"),
)


def picture(data: bytes) -> Picture | None:
    """The picture that these bytes are, whatever anyone calls them; None for others, and for one that is too large."""
    if len(data) > MOST:
        return None
    return next((Picture(subtype, data) for start, subtype in _KINDS if start.match(data)), None)
