"""Small conversions of text: spaces, symbols, messages, HTML, URLs, MD5 (objects.md 12, 21). Pure.

Promises: any text is taken, nothing raises but `abbreviate`. What looks for letters, symbols and spaces goes by the
categories of Unicode.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Final
from urllib.parse import SplitResult, urlsplit

ELLIPSIS: Final = "..."
SCHEMES: Final = frozenset({"http", "https", "ftp", "file", "jar", "mailto"})  # those that java.net.URL knows

_ARGUMENT: Final = re.compile(r"\+?[0-9]{1,9}")
_JAVA_BLANK: Final = "".join(map(chr, range(0x21)))  # what String.trim takes away
_SILENT: Final = frozenset({"script", "style", "template", "noscript", "title"})
_BLOCK_TAGS: Final = (
    "address article aside blockquote br dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr li main "
    "nav ol p pre section table td th tr ul"
)
_BLOCKS: Final = frozenset(_BLOCK_TAGS.split())


def no_spaces(text: str, replacement: str = "") -> str:
    """Trimmed, runs of control characters and separators replaced, in lower case.

    >>> no_spaces(" test  123\\t\\ttest "), no_spaces("some words", "-")
    ('test123test', 'some-words')
    """
    replacement = replacement.strip(_JAVA_BLANK)
    out: list[str] = []
    inside = False
    for c in text.strip(_JAVA_BLANK):
        space = unicodedata.category(c)[0] in "CZ"
        if not space:
            out.append(c)
        elif not inside:
            out.append(replacement)
        inside = space
    return "".join(out).lower()


def no_symbols(text: str) -> str:
    """Symbols, punctuation and control characters removed, separators collapsed, trimmed.

    >>> no_symbols(" %^&*( cool )\\t\\t@!")
    'cool'
    """
    out: list[str] = []
    for c in text:
        kind = unicodedata.category(c)[0]
        if kind == "Z":
            if out and out[-1] != " ":
                out.append(" ")
        elif kind not in "SPC":
            out.append(c)
    return "".join(out).strip(" ")


def format_message(message: str, fields: Sequence[str] = ()) -> str:
    """`{0}`, `{1}` replaced; a place without a field stays; quotes are literal; a broken pattern comes back as it is.

    >>> format_message("it's {0} and {1} and {2}", ["a", "b"]), format_message("{0} {", ["a"])
    ("it's a and b and {2}", '{0} {')
    """
    out: list[str] = []
    at = 0
    while (start := message.find("{", at)) >= 0:
        end = message.find("}", start)
        place = message[start + 1 : end] if end > 0 else ""
        if not _ARGUMENT.fullmatch(place):
            return message
        number = int(place)
        out += (message[at:start], fields[number] if number < len(fields) else f"{{{number}}}")
        at = end + 1
    return "".join(out) + message[at:]


def abbreviate(text: str, most: int) -> str:
    """At most `most` characters, three of them dots where text is left out. Raises ValueError below 4.

    >>> abbreviate("thingstead", 8)
    'thing...'
    """
    if most <= len(ELLIPSIS):
        raise ValueError("an abbreviation has at least 4 characters")
    return text if len(text) <= most else text[: most - len(ELLIPSIS)] + ELLIPSIS


def md5(text: str) -> str:
    """The MD5 of a text in hexadecimal; "" of "". A checksum, no protection."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() if text else ""


class _TextOf(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag in _BLOCKS:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag in _BLOCKS:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def strip_html(html: str) -> str:
    """The text of an HTML document or fragment, spaces collapsed. Not a sanitiser: `<` may be in what was escaped.

    >>> strip_html("<p>a <b>b</b>&amp;c</p><script>x()</script><p>d")
    'a b&c d'
    """
    parser = _TextOf()
    parser.feed(html)
    parser.close()
    return " ".join("".join(parser.parts).split())


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url.strip())
        parts.port  # noqa: B018  raises for what is none
    except ValueError:
        return None
    if parts.scheme not in SCHEMES or any(c.isspace() for c in parts.netloc):
        return None
    return parts if parts.netloc or parts.scheme in ("file", "mailto", "jar") else None


def is_url(text: str) -> bool:
    """True for an absolute URL with a known scheme.

    >>> is_url("https://a.org/x"), is_url("a.org"), is_url("http://"), is_url("gopher://a")
    (True, False, False, False)
    """
    return _split(text) is not None


def host_of(url: str) -> str:
    """The host of a URL; "" without one.

    >>> host_of("https://user@A.org:8080/x")
    'a.org'
    """
    parts = _split(url)
    return (parts.hostname or "") if parts else ""


def base_of(url: str) -> str:
    """Scheme and authority of a URL; "" for what is none.

    >>> base_of("https://a.org:8080/x?y")
    'https://a.org:8080'
    """
    parts = _split(url)
    return f"{parts.scheme}://{parts.netloc}" if parts else ""
