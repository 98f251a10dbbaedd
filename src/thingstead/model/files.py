"""Paths of stored files (objects.md 17): what is one, and its one spelling. Pure.

A path is refused rather than repaired, because two names for one file, or one name that two systems read differently,
are how paths leave their folder.
"""

import unicodedata
from typing import Final

from thingstead.model.errors import InvalidInput

MAX_PATH: Final = 1024  # bytes in UTF-8
MAX_NAME: Final = 255
INCOMING: Final = ".incoming"  # where engines may keep what is not whole yet

_FORBIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})  # no control, no odd blank
_SPECIAL: Final = frozenset('\\:*?"<>|')


def clean(path: str) -> str | None:
    """A path as it is kept: NFC, no leading `/`; None for a blank one. Raises InvalidInput naming `path`.

    >>> clean("/a/b.png"), clean("  ")
    ('a/b.png', None)
    """
    if not path.strip():
        return None
    found = unicodedata.normalize("NFC", path.removeprefix("/"))
    if any(char in _SPECIAL or (char != " " and unicodedata.category(char) in _FORBIDDEN) for char in found):
        raise InvalidInput("the path holds a character that no path may", field="path")
    if len(found.encode()) > MAX_PATH:
        raise InvalidInput(f"the path is longer than {MAX_PATH} bytes", field="path")
    for name in found.split("/"):
        if len(name.encode()) > MAX_NAME:
            raise InvalidInput(f"a name in the path is longer than {MAX_NAME} bytes", field="path")
        # Full-width dots and slashes and their kin become plain ones where names are compared loosely.
        loose = unicodedata.normalize("NFKC", name)
        if not loose.strip(" .") or "/" in loose or "\\" in loose or name != name.strip() or name.endswith("."):
            raise InvalidInput("a name in the path is empty, of dots, or begins or ends in blanks", field="path")
    if found.partition("/")[0].casefold() == INCOMING:
        raise InvalidInput(f"'{INCOMING}' is no folder for files", field="path")
    return found
