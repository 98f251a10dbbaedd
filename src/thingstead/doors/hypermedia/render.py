"""From documents to bytes: JSON, and a plain page for people (hypermedia.md 1.5, 13.1).

A page is self-contained: no scripts, fonts or styles from elsewhere, and nothing of a document unescaped.
"""

from html import escape
from typing import Final

import msgspec

from thingstead.model.hypermedia.negotiation import HTML
from thingstead.model.values import Json, JsonObject, is_array, is_object, parse

PAGE_FIELDS: Final = (
    ("content-type", "text/html; charset=utf-8"),
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
)

_encoder: Final = msgspec.json.Encoder()


def encode(document: object) -> bytes:
    """Compact JSON; floats keep their fraction."""
    return _encoder.encode(document)


def body(document: object, content_type: str) -> bytes:
    """A document as `content_type`."""
    data = encode(document)
    return page(data).encode() if content_type == HTML else data


_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<style>body{{font-family:sans-serif;margin:2em;max-width:60em}}td,th{{text-align:left;padding:.2em 1em .2em 0;
vertical-align:top}}pre{{background:#eee;padding:1em;overflow:auto}}</style></head>
<body>
<p><a href="{root}">Start</a></p>
<h1>{title}</h1>
{links}{attributes}<h2>JSON</h2>
<pre>{json}</pre>
</body>
</html>"""


def page(data: bytes) -> str:
    """Any document as a page: links by relation, attributes, the JSON itself."""
    document = parse(data)
    links: JsonObject = {}
    rows = ""
    title, root = "thingstead", "/"
    if is_object(document):
        found = document.get("_links")
        links = found if is_object(found) else {}
        rows = "".join(_row(name, _text(value)) for name, value in document.items() if name != "_links")
        title = str(document.get("title", title))
        itself = links.get("self")
        if is_object(itself):
            title = str(itself.get("title", itself.get("href")))
        curies = links.get("curies")
        first = curies[0] if is_array(curies) and curies else None
        if is_object(first):
            root = str(first.get("href", "")).removesuffix("rels/{rel}")
    anchors = "".join(
        _row(rel, _anchor(one))
        for rel, link in links.items()
        if rel not in ("self", "curies")
        for one in (link if is_array(link) else [link])
    )
    pretty = msgspec.json.format(data, indent=2).decode()
    return _PAGE.format(
        title=escape(title),
        root=escape(root),
        links=f"<h2>Links</h2><table>{anchors}</table>" if anchors else "",
        attributes=f"<h2>Attributes</h2><table>{rows}</table>" if rows else "",
        json=escape(pretty),
    )


def _row(name: str, cell: str) -> str:
    return f"<tr><th>{escape(name)}</th><td>{cell}</td></tr>"


def _text(value: Json) -> str:
    return escape(value if isinstance(value, str) else encode(value).decode())


def _anchor(link: Json) -> str:
    if not is_object(link):
        return ""
    href, title = str(link.get("href", "")), str(link.get("title", link.get("href", "")))
    if not href.startswith(("http://", "https://")):  # a stream, or a text that somebody stored
        return f"{escape(title)}: {escape(href)}"
    return f'<a href="{escape(href)}">{escape(title)}</a>'
