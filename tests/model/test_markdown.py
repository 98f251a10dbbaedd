"""Markdown becomes the HTML that objects.md 12 describes, nothing in it runs, and hostile documents end soon."""

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thingstead.model.errors import TooLarge
from thingstead.model.markdown import MOST_CHARACTERS, Markdown

REL = 'rel="nofollow noreferrer"'
MARKDOWN = Markdown("<br>", ["ok.org", " Also.org "])


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# hello **test**", "<h1>hello <strong>test</strong></h1>\n"),
        ("", ""),
        ("a\nb", "<p>a<br>b</p>\n"),
        ("~~gone~~", "<p><s>gone</s></p>\n"),
        (
            "|a|b|\n|-|-:|\n|1|2|",
            '<table>\n<thead>\n<tr>\n<th>a</th>\n<th align="right">b</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n'
            '<td>1</td>\n<td align="right">2</td>\n</tr>\n</tbody>\n</table>\n',
        ),
        ("```py\nx<1\n```", '<pre><code class="language-py">x&lt;1\n</code></pre>\n'),
        ("www.a.org/x.", f'<p><a href="https://www.a.org/x" {REL}>www.a.org/x</a>.</p>\n'),
        ("(http://a.org/*x*/y)", f'<p>(<a href="http://a.org/*x*/y" {REL}>http://a.org/*x*/y</a>)</p>\n'),
        ("me@a.org", f'<p><a href="mailto:me@a.org" {REL}>me@a.org</a></p>\n'),
        ("a.org README.md", "<p>a.org README.md</p>\n"),
        (":smile: :+1: :nothing: `:smile:`", "<p>😄 👍 :nothing: <code>:smile:</code></p>\n"),
        ("[:tada:](/x)", f'<p><a href="/x" {REL}>🎉</a></p>\n'),
        ("http://a.org/:smile:", f'<p><a href="http://a.org/:smile:" {REL}>http://a.org/:smile:</a></p>\n'),
        ("[a](https://ok.org/x) [b](http://ALSO.org)", '<p><a href="https://ok.org/x">a</a> <a href="http://ALSO.org">b</a></p>\n'),
        ("[a](https://sub.ok.org)", f'<p><a href="https://sub.ok.org" {REL}>a</a></p>\n'),
        ("[a](https://evil.org/@ok.org)", f'<p><a href="https://evil.org/@ok.org" {REL}>a</a></p>\n'),
        ("[a](https://ok.org@evil.org)", f'<p><a href="https://ok.org@evil.org" {REL}>a</a></p>\n'),
        ("[x](javascript:alert(1))", "<p>x</p>\n"),
        ("[x](JaVa&#115;cript:alert(1)) [y](<\tjavascript:1>)", "<p>x y</p>\n"),
        ("[x][j]\n\n[j]: javascript:alert(1)", "<p>x</p>\n"),
        ("![alt](javascript:alert(1)) ![b](data:image/png;base64,x)", "<p>alt b</p>\n"),
        ("[x](data:text/html,x) [y](vbscript:x) [z](file:///x)", "<p>x y z</p>\n"),
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"),
        ("a <b onclick=x>b</b>", "<p>a &lt;b onclick=x&gt;b&lt;/b&gt;</p>\n"),
        ("![i](/i.png \"t\")", '<p><img src="/i.png" alt="i" title="t"></p>\n'),
        ("> [!NOTE]\n> x", "<blockquote>\n<p>[!NOTE]<br>x</p>\n</blockquote>\n"),
    ],
)  # fmt: skip
def test_documents(text: str, html: str) -> None:
    assert MARKDOWN.html(text) == html


def test_task_lists() -> None:
    html = MARKDOWN.html("- [x] done\n- [ ] open")
    boxes = re.findall(r"<input [^>]*>", html)
    assert [" checked" in box for box in boxes] == [True, False]
    assert all("disabled" in box and 'type="checkbox"' in box for box in boxes)


def test_the_soft_break_is_a_setting() -> None:
    assert Markdown(" ").html("a\nb") == "<p>a b</p>\n"
    assert Markdown("<script>x</script>").html("a\nb") == "<p>ab</p>\n"


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "iframe", "object", "form", "svg", "math", "base", "meta", "link"):
            self.bad.append(tag)
        for name, value in attrs:
            address = re.sub(r"[\x00-\x20]", "", value or "").lower()
            if name.startswith("on") or (
                name in ("href", "src") and address.startswith(("javascript:", "data:", "vbscript:"))
            ):
                self.bad.append(f"{tag} {name}={value}")
            if tag.startswith("h") and name == "id":
                self.bad.append("anchor")


PIECES = st.sampled_from(
    [
        *("<script>", "<img src=x onerror=y>", "javascript:a", "[x](", ")", "]", "![", "\n", "\n\n", "`", "**", "_"),
        *("~~", ">", "- ", "# h", "|a|b|\n|-|-|\n", "&#106;avascript:", "\x00", "\t", "<a href='javascript:x'>", "<"),
        *("http://a.b/", '"', "[x]: javascript:y", "%6a", ":smile:", "www.a.b", "data:text/html,x", "\\"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES | st.text(max_size=4), max_size=25).map("".join))
def test_nothing_runs(text: str) -> None:
    seen = Seen()
    seen.feed(MARKDOWN.html(text))
    assert seen.bad == []


def test_more_characters_than_the_most_are_refused() -> None:
    with pytest.raises(TooLarge):
        MARKDOWN.html("a" * (MOST_CHARACTERS + 1))


HOSTILE = (
    "http://a.b",
    "http://",
    "//a.bc/",
    "![",
    "[",
    "> ",
    "- ",
    "*a**b",
    "<a:",
    "a@b.",
    "www.a",
    "`",
    "|\n",
    "[a](<",
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_documents_end_soon(piece: str) -> None:
    """The longest that a request can carry, a tenth of a second each as a rule; the quadratic ones took minutes."""
    began = time.monotonic()
    MARKDOWN.html((piece * 32_768)[:32_768])
    assert time.monotonic() - began < 5
