"""Ant patterns of paths: `?` one character, `*` any within a segment, `**` any number of segments (identity.md 9, 11).
Pure."""

from collections.abc import Callable, Iterable

from thingstead.model.errors import InvalidInput


def matcher(patterns: Iterable[object], key: str) -> Callable[[str], bool]:
    """Whether a path, decoded and beginning with `/`, matches one of the patterns; `/p/**` matches `/p` too.

    Raises InvalidInput, naming the setting `key`, for what is no pattern.
    """
    from wcmatch import glob  # here, because few servers have patterns

    found: list[str] = []
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern.startswith("/") or len(pattern) > 1000:
            raise InvalidInput(f"{key}: a pattern is a text that begins with /, not {str(pattern)[:60]!r}", field=key)
        plain = pattern.replace("[", "[[]")
        found.append(plain)
        if plain.endswith("/**"):
            found.append(plain[:-3] or "/")
    if not found:
        return lambda path: False
    compiled = glob.compile(found, flags=glob.GLOBSTAR | glob.DOTGLOB | glob.FORCEUNIX)
    return compiled.match
