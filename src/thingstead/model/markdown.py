"""GitHub flavoured Markdown as safe HTML (objects.md 12): tables, strike-through, task lists, autolinks, emoji. Pure.

Promises: raw HTML is escaped; no link or image has a scheme but those listed; links do not lend their rank to
strangers; headings have no ids; a document of the most characters takes seconds at worst, so call it off the loop.
The libraries are loaded with the first document. One `Markdown` renders one document at a time.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from thingstead.model.errors import TooLarge

if TYPE_CHECKING:
    from linkify_it import LinkifyIt
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

MOST_CHARACTERS: Final = 65_536
SOFT_BREAK: Final = "<br>"

_SCHEMES: Final = frozenset({"http", "https", "mailto", "ftp", "tel"})
_REL: Final = "nofollow noreferrer"
_LONGEST_WORD: Final = 2_048  # no address is that long; the search for addresses in a word is quadratic
_LONG_WORD: Final = re.compile(rf"\S{{{_LONGEST_WORD}}}")
_WWW: Final = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_ALIAS: Final = re.compile(r":[A-Za-z0-9_+\-]{1,64}:")
_ALIGN: Final = "text-align:"
_ATTRIBUTES: Final = {
    "a": {"href", "title", "rel"},
    "img": {"src", "alt", "title"},
    "code": {"class"},
    "ul": {"class"},
    "ol": {"start", "class"},
    "li": {"class"},
    "input": {"class", "type", "checked", "disabled"},
    "th": {"align"},
    "td": {"align"},
}
_TAG_NAMES: Final = (
    "a blockquote br code em h1 h2 h3 h4 h5 h6 hr img input li ol p pre s strong table tbody td th thead tr ul"
)
_TAGS: Final = frozenset(_TAG_NAMES.split())


class Markdown:
    """A renderer with its settings."""

    def __init__(self, soft_break: str = SOFT_BREAK, follow_domains: Iterable[str] = ()) -> None:
        """`soft_break` stands for a line end in a paragraph; links to `follow_domains` keep their rank."""
        self._soft_break = soft_break
        self._follow = frozenset(domain.strip().lower() for domain in follow_domains)
        self._parser: MarkdownIt | None = None

    def html(self, text: str) -> str:
        """The HTML of a document. Raises TooLarge."""
        if len(text) > MOST_CHARACTERS:
            raise TooLarge(f"the Markdown has more than {MOST_CHARACTERS} characters", field="md")
        import nh3

        self._parser = self._parser or self._made()
        rendered = self._parser.render(text)
        # Nothing unsafe is rendered; cleaned all the same, so that it takes two mistakes to let something through.
        return nh3.clean(rendered, tags=set(_TAGS), attributes=_ATTRIBUTES, url_schemes=set(_SCHEMES), link_rel=None)

    def _made(self) -> "MarkdownIt":
        from markdown_it import MarkdownIt

        parser = MarkdownIt("gfm-like2", {"html": False, "alerts": False, "xhtmlOut": False})
        parser.linkify = _linkify()
        parser.validateLink = lambda url: True  # type: ignore[method-assign]  # `_refine` unlinks what is not safe
        parser.inline.ruler.at("linkify", _inline_linkify)
        parser.core.ruler.push("refine", self._refine)
        parser.add_render_rule("softbreak", lambda *_: self._soft_break)  # pyright: ignore[reportUnknownLambdaType]
        return parser

    def _refine(self, state: "StateCore") -> None:
        for token in state.tokens:
            style = str(token.attrs.get("style", ""))
            if style.startswith(_ALIGN):
                token.attrs = {"align": style.removeprefix(_ALIGN)}
            if token.children:
                token.children = self._inline(token.children)

    def _inline(self, tokens: list["Token"]) -> list["Token"]:
        out: list[Token] = []
        stays = [True]  # of each link that is open
        bare = False  # in a link whose text is its address
        for token in tokens:
            if token.type == "link_open":
                bare = token.info == "auto"
                stays.append(_is_safe(str(token.attrGet("href") or "")))
                if not stays[-1]:
                    continue
                self._rank(token)
            elif token.type == "link_close":
                bare = False
                if not stays.pop():
                    continue
            elif token.type == "image" and not _is_safe(str(token.attrGet("src") or "")):
                token.type = "text"  # its content is what stands for it
            elif token.type == "text" and not bare and ":" in token.content:
                token.content = _with_emoji(token.content)
            out.append(token)
        return out

    def _rank(self, link: "Token") -> None:
        try:
            host = urlsplit(str(link.attrGet("href") or "")).hostname
        except ValueError:
            host = None
        if host is None or host not in self._follow:
            link.attrSet("rel", _REL)


def _is_safe(url: str) -> bool:
    """True for a relative address, or one with a scheme that is listed."""
    scheme, colon, _ = re.sub(r"[\x00-\x20]|%(?:[01][0-9A-Fa-f]|20|7[fF])", "", url).partition(":")
    return not colon or "/" in scheme or "?" in scheme or "#" in scheme or scheme.lower() in _SCHEMES


def _with_emoji(text: str) -> str:
    if not _ALIAS.search(text):
        return text
    import emoji

    return _ALIAS.sub(lambda found: emoji.emojize(found[0], language="alias"), text)


def _inline_linkify(state: "StateInline", silent: bool) -> bool:
    """Addresses with `*` or `_` in them; the search for a scheme before `://` goes through all that is pending."""
    from markdown_it.rules_inline import linkify

    return len(state.pending) <= _LONGEST_WORD and linkify(state, silent)


def _linkify() -> "LinkifyIt":
    """What GitHub makes links of: `http://`, `https://`, `www.` (then with `https://`), and addresses of e-mail."""
    from linkify_it import LinkifyIt

    class Bounded(LinkifyIt):
        def pretest(self, text: str) -> bool:
            return not _LONG_WORD.search(text) and super().pretest(text)

        def match_at_start(self, text: str):  # pyright: ignore[reportMissingParameterType]
            return None if _LONG_WORD.match(text) else super().match_at_start(text)

    def www(self: LinkifyIt, text: str, pos: int) -> int:
        host = _WWW.match(text, pos)
        if host is None:
            return 0
        path = re.match(self.re["src_path"], text[host.end() : host.end() + _LONGEST_WORD])
        return len(host[0]) + (len(path[0]) if path else 0)

    def secure(self: LinkifyIt, match: object) -> None:
        match.url = "https://" + match.url  # pyright: ignore[reportAttributeAccessIssue]

    found = Bounded(options={"fuzzy_link": False, "fuzzy_email": True, "fuzzy_ip": False})
    for scheme in ("ftp:", "//"):
        found.add(scheme, None)
    return found.add("www.", {"validate": www, "normalize": secure})
