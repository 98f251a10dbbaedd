"""Query strings as pairs: what `urllib.parse.parse_qsl` gives, without its cost on the hot path. Pure."""

from urllib.parse import unquote


def query_pairs(raw: str, errors: str = "replace") -> list[tuple[str, str]]:
    """Names and values in order, decoded; `+` is a space, a name without `=` has the value "", empty parts are left
    out. Raises UnicodeDecodeError for what is not UTF-8 with `errors="strict"`.

    >>> query_pairs("a=1&b=x+y%2B&&c")
    [('a', '1'), ('b', 'x y+'), ('c', '')]
    """
    pairs: list[tuple[str, str]] = []
    encoded = "%" in raw or "+" in raw
    for part in raw.split("&"):
        if part:
            name, _, value = part.partition("=")
            if encoded:
                name = unquote(name.replace("+", " "), errors=errors)
                value = unquote(value.replace("+", " "), errors=errors)
            pairs.append((name, value))
    return pairs
