"""The utilities of text and numbers give what objects.md 12 and 21 say, for any input."""

import doctest
import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model import numbers, texts


def test_the_examples_in_the_documentation() -> None:
    for module in (texts, numbers):
        result = doctest.testmod(module)
        assert result.attempted > 5
        assert result.failed == 0


@pytest.mark.parametrize(
    ("text", "replacement", "expected"),
    [
        (" test  123\t\ttest ", "", "test123test"),
        ("some words", "-", "some-words"),
        ("", "-", ""),
        ("   ", "-", ""),
        ("A\u00a0\u2028B\u200bC", "_", "a_b_c"),
        ("a b", r"\1$0", r"a\1$0b"),
        ("a b", "  - ", "a-b"),
        ("ÄÖ Ü", "", "äöü"),
        ("a\x00\x1fb", "-", "a-b"),
    ],
)
def test_no_spaces(text: str, replacement: str, expected: str) -> None:
    assert texts.no_spaces(text, replacement) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" %^&*( cool )\t\t@!", "cool"),
        ("a\tb", "ab"),
        ("a  &  b", "a b"),
        ("", ""),
        ("$$$", ""),
        ("日本、語!", "日本語"),
        ("a\u00a0b", "a b"),
    ],
)
def test_no_symbols(text: str, expected: str) -> None:
    assert texts.no_symbols(text) == expected


@given(st.text())
def test_no_symbols_leaves_none(text: str) -> None:
    left = texts.no_symbols(text)
    assert all(unicodedata.category(c)[0] not in "SPC" for c in left)
    assert "  " not in left
    assert left == left.strip(" ")
    assert texts.no_symbols(left) == left


@pytest.mark.parametrize(
    ("message", "fields", "expected"),
    [
        ("hello {0}, {1}", ["a", "b"], "hello a, b"),
        ("it's {0} o'clock", ["5"], "it's 5 o'clock"),
        ("'{0}'", ["x"], "'x'"),
        ("{1}{0}{1}", ["a", "b"], "bab"),
        ("{0} {7}", ["a"], "a {7}"),
        ("{0}", [], "{0}"),
        ("", ["a"], ""),
        ("no places", ["a"], "no places"),
        ("a } b {0}", ["x"], "a } b x"),
        ("{0} {", ["a"], "{0} {"),
        ("{", ["a"], "{"),
        ("{}", ["a"], "{}"),
        ("{0} {a}", ["x"], "{0} {a}"),
        ("{-1}", ["x"], "{-1}"),
        ("{0,number}", ["1"], "{0,number}"),
        ("{0{1}}", ["x", "y"], "{0{1}}"),
        ("{ 0}", ["x"], "{ 0}"),
        ("{99999999999}", ["x"], "{99999999999}"),
        ("{0}", ["{1}"], "{1}"),
    ],
)
def test_format_message(message: str, fields: list[str], expected: str) -> None:
    assert texts.format_message(message, fields) == expected


@given(st.text(alphabet="{}0123,' ab"), st.lists(st.text(max_size=3), max_size=3))
def test_a_message_without_places_is_itself(message: str, fields: list[str]) -> None:
    result = texts.format_message(message, fields)
    if "{" not in message:
        assert result == message


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        (0, ""),
        (1, "1ms"),
        (999, "999ms"),
        (15_000, "15s"),
        (-15_000, "15s"),
        (59_999, "59s"),
        (60_000, "1m"),
        (3_599_999, "59m"),
        (56_700_000, "15h"),
        (86_400_000, "1d"),
        (29 * 86_400_000, "29d"),
        (30 * 86_400_000, "1n"),
        (364 * 86_400_000, "12n"),
        (365 * 86_400_000, "1y"),
        (-(2**63), "292471208y"),
    ],
)
def test_time_ago(delta: int, expected: str) -> None:
    assert numbers.time_ago(delta) == expected


def test_exact_time_adds_up() -> None:
    assert numbers.exact_time(56_700_000) == "15 h 45 m"
    assert numbers.exact_time(0) == ""
    assert numbers.exact_time(365 * 86_400_000 + 30 * 86_400_000 + 1) == "1 y 1 n 1 ms"


def test_numbers_and_prices() -> None:
    assert [numbers.round_half_up(n) for n in (0.5, 1.5, 2.5, -2.5, 2.4)] == [1, 2, 3, -3, 2]
    assert numbers.round_half_up(1.005, 2) == 1.01
    assert numbers.abbreviate_number(10_000) == "10K"
    assert numbers.abbreviate_number(1_500, 1) == "1.5K"
    assert numbers.abbreviate_number(-2_000_000) == "-2M"
    assert numbers.abbreviate_number(3 * 10**12) == "3T"
    assert numbers.abbreviate_number(100_000) == "100K"
    assert numbers.format_price(1234.5) == "1234.50"
    assert numbers.format_number(1234567) == "1,234,567"
    assert numbers.format_number(100) == "100"


@pytest.mark.parametrize(
    ("url", "valid", "host", "base"),
    [
        ("https://user:pw@A.org:8080/x?y#z", True, "a.org", "https://user:pw@A.org:8080"),
        ("http://[::1]:80/", True, "::1", "http://[::1]:80"),
        ("ftp://a.org", True, "a.org", "ftp://a.org"),
        ("mailto:a@b.org", True, "", "mailto://"),
        ("file:///etc/x", True, "", "file://"),
        ("//a.org/x", False, "", ""),
        ("a.org", False, "", ""),
        ("http://", False, "", ""),
        ("http://a b/", False, "", ""),
        ("http://a:99999/", False, "", ""),
        ("http://[", False, "", ""),
        ("javascript:alert(1)", False, "", ""),
        ("", False, "", ""),
    ],
)
def test_urls(url: str, valid: bool, host: str, base: str) -> None:
    assert (texts.is_url(url), texts.host_of(url), texts.base_of(url)) == (valid, host, base)


def test_strip_html_leaves_text_alone() -> None:
    assert texts.strip_html("a < b & c") == "a < b & c"
    assert texts.strip_html("<h1>T</h1><style>x{}</style>one<br>two &lt;b&gt;") == "T one two <b>"
    assert texts.strip_html("<script>never closed") == ""
    assert texts.strip_html("") == ""


@given(st.text(alphabet=string.printable))
def test_nothing_raises(text: str) -> None:
    assert isinstance(texts.strip_html(text), str)
    assert isinstance(texts.base_of(text), str)
    assert texts.md5(text) == "" or len(texts.md5(text)) == 32
    assert len(texts.abbreviate(text, 8)) <= 8
    with pytest.raises(ValueError):
        texts.abbreviate(text, 3)
