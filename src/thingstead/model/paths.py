"""Paths of leaves (things.md 9): keys joined with `.`; in a key `.` is written `\\.` and a `\\` is `\\\\`. Pure.

>>> escape("wind.speed"), join("a", "b.c"), split("a.b\\\\.c")
('wind\\\\.speed', 'a.b\\\\.c', ['a', 'b.c'])
"""


def escape(key: str) -> str:
    """One key as a path."""
    if "." in key or "\\" in key:
        return key.replace("\\", "\\\\").replace(".", "\\.")
    return key


def join(path: str, key: str) -> str:
    """The path of `key` below `path` (`""`: at the top)."""
    return f"{path}.{escape(key)}" if path else escape(key)


def split(path: str) -> list[str]:
    """The keys of a path."""
    if "\\" not in path:
        return path.split(".")
    keys = [""]
    escaped = False
    for c in path:
        if escaped or c not in ".\\":
            keys[-1] += c
            escaped = False
        elif c == "\\":
            escaped = True
        else:
            keys.append("")
    return keys


def unescape(path: str) -> str:
    """The metric that ingest gives to a sensor it found: its path without escapes (doors.md 7)."""
    return ".".join(split(path)) if "\\" in path else path
