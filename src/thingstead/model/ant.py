"""Ant patterns of paths: `?` one character, `*` any within a segment, `**` any number of segments (identity.md 9, 11).
Pure."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from thingstead.model.errors import InvalidInput


def checked(pattern: object, key: str) -> str:
    """A pattern that can be used. Raises InvalidInput, naming the setting `key`."""
    usable = isinstance(pattern, str) and pattern.startswith("/") and "\\" not in pattern and pattern.isprintable()
    if not usable or len(str(pattern)) > 1000:
        shown = str(pattern)[:60]
        raise InvalidInput(f"{key}: a pattern begins with / and holds no backslash, unlike {shown!r}", field=key)
    return str(pattern)


def matches(patterns: Iterable[str], path: str) -> bool:
    """Whether one of some Ant patterns is that of a path. A slash at the end changes nothing, but that `/p/*` is also
    the pattern of `/p/`; `/p/**` is that of `/p` too.
    """
    return any(_compiled(pattern)(path) is not None for pattern in patterns)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Callable[[str], Any]:
    from wcmatch import glob  # here, because few servers protect anything

    # `?`, `*` and `**` are all that an Ant pattern knows: brackets stand for themselves
    literal = pattern.replace("[", "\\[").rstrip("/") or "/"
    flags = glob.GLOBSTAR | glob.DOTGLOB | glob.FORCEUNIX | glob.CASE
    texts = [literal]
    while texts[-1].endswith("/**"):
        texts.append(texts[-1].removesuffix("/**") or "/")
    if texts[0].endswith("/*"):
        texts.append(texts[0].removesuffix("*"))
    found = [text for each in texts for text in glob.translate(each, flags=flags)[0]]
    return re.compile("|".join(f"(?:{text})" for text in found)).match
