"""Promise: a pattern means what Java means by it or is refused, and nothing that is put or sent makes a match slow."""

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model import java_pattern
from thingstead.model.java_pattern import UnusablePattern, check, matches

SECONDS = 2.0  # a backtracking engine would take years; the slowest here takes 0.2 s

MATCHES = [
    (r"\d{3}-\d{4}", [("555-1234", True), ("555-12345", False), ("a555-1234", False)]),
    (r"[a-z]+", [("abc", True), ("abc1", False), ("", False), ("Abc", False)]),
    (r"(?i)abc", [("ABC", True), ("abd", False)]),
    (r"", [("", True), ("a", False)]),
    (r"a|ab", [("ab", True), ("a", True), ("b", False)]),
    (r"\u00e9+", [("éé", True), ("e", False)]),
    (r"\ud83d\ude00", [("😀", True), ("a", False)]),
    (r"\x41\x{1F600}\0101", [("A😀A", True)]),
    (r"\Qa.b\E+", [("a.bbb", True), ("axb", False)]),
    (r"\Qa[b", [("a[b", True)]),
    (r"[\Qa-c\E]+", [("a-c", True), ("b", False)]),
    (r"\p{Alpha}+", [("abC", True), ("é", False)]),
    (r"[\p{Upper}\p{Digit}]+", [("A1", True), ("a", False)]),
    (r"\P{Punct}+", [("ab", True), ("a.", False)]),
    (r"\p{L}+", [("éß", True), ("1", False)]),
    (r"\p{IsL}+\p{IsGreek}", [("éα", True), ("ab", False)]),
    (r"[^\p{L}]", [("1", True), ("é", False)]),
    (r"a.b", [("axb", True), ("a\nb", False), ("a\rb", False), ("a\u2028b", False), ("a😀b", True)]),
    (r"(?s)a.b", [("a\nb", True)]),
    (r"\s\S", [("\x0bx", True), ("xx", False)]),
    (r"[\s,]+", [(" ,\t", True)]),
    (r"\h\H\v\V\R", [("\u00a0x\u2028x\r\n", True)]),
    (r"(?<year>\d{4})", [("2026", True)]),
    (r"\cA\e\a\f", [("\x01\x1b\x07\x0c", True)]),
    (r"[]a]+", [("]a", True)]),
    (r"[^]a]", [("b", True), ("]", False)]),
    (r"[a&b]", [("&", True), ("c", False)]),
    (r"\.\-\/\_\ ", [(".-/_ ", True)]),
    (r"x{2,3}?y*?", [("xxxy", True), ("x", False)]),
    (r"[\p{L} '-]{1,50}", [("Ann Smith", True), ("é" * 51, False)]),
    (r"\bab\b", [("ab", True)]),
    (r"\Aab\z", [("ab", True)]),
]


@pytest.mark.parametrize(("pattern", "cases"), MATCHES)
def test_a_pattern_matches_whole_texts_as_in_java(pattern: str, cases: list[tuple[str, bool]]) -> None:
    check(pattern)
    for text, expected in cases:
        assert matches(pattern, text) is expected, text


REFUSED = [
    ("(?=a)b", "invalid perl operator"),
    ("(?<=a)b", "invalid perl operator"),
    ("(?<!a)b", "invalid perl operator"),
    ("(?>a)", "invalid perl operator"),
    (r"(a)\1", r"\1 is not supported"),
    (r"(?<n>a)\k<n>", r"\k is not supported"),
    (r"\12", r"\1 is not supported"),
    ("a++", "repetition"),
    ("a*+", "repetition"),
    ("a?+", "repetition"),
    ("*a", "repetition"),
    ("x{2}{3}", "repetition"),
    ("a{1001}", "repetition size"),
    ("(((a{99}){99}){99})", "repetition size"),
    (r"\p{L}{1,999}", "too large"),
    ("[a-z&&[^b]]", "nested and intersected"),
    ("[a[b]]", "nested and intersected"),
    ("[a&&b]", "nested and intersected"),
    ("[", "not closed"),
    ("[]", "not closed"),
    ("[a", "not closed"),
    ("(a", "missing"),
    ("a)", "unexpected"),
    ("[b-a]", "range"),
    ("a\\", "ends with a backslash"),
    (r"\X", "not supported"),
    (r"\G", "not supported"),
    (r"\C", "not supported"),
    (r"\Z", "not supported"),
    (r"\u12", "not supported"),
    (r"\xg", "not supported"),
    (r"\p", "no name"),
    (r"\p{}", "no name"),
    (r"\p{javaLowerCase}", "range"),
    ("(?x)a b", "flag x"),
    ("(?U)\\w", "flag U"),
    ("(?u:a)", "flag u"),
    (r"\ud83d", "half a pair"),
    ("x" * 513, "longer than 512"),
    ("\ud800", "Unicode"),
]


@pytest.mark.parametrize(("pattern", "reason"), REFUSED)
def test_what_is_not_understood_is_refused_and_never_matches(pattern: str, reason: str) -> None:
    with pytest.raises(UnusablePattern, match=re.escape(reason)):
        check(pattern)
    assert not matches(pattern, "a")


MEGABYTE = 1_000_000
AB = "".join(random.Random(7).choices("ab", k=MEGABYTE))
HOSTILE = [
    ("(a+)+$", "a" * MEGABYTE + "!"),
    ("(x+x+)+y", "x" * MEGABYTE),
    ("(a|aa)+b", "a" * MEGABYTE),
    (r"(\w+\s?)*\.", "a " * (MEGABYTE // 2)),
    ("(.*a){20}", AB),
    ("(.*a){20}(.{0,500}b)", AB),
    ("[ab]*a[ab]{900}", AB),
    ("(a?){500}a{500}", "a" * 400),
    (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * MEGABYTE),
    (r"[\p{L}\p{N}]{1,60}", "é" * MEGABYTE),
]


@pytest.mark.parametrize(("pattern", "text"), HOSTILE)
def test_hostile_pairs_end_soon(pattern: str, text: str) -> None:
    begun = time.perf_counter()
    matches(pattern, text)
    matches(pattern, text[: java_pattern.MAX_WORK // 20_000])
    assert time.perf_counter() - begun < SECONDS


def test_a_text_too_long_for_its_pattern_does_not_match() -> None:
    pattern = r"\p{L}{0,50}|[a-z]*"
    assert matches(pattern, "a" * 500)
    assert not matches(pattern, "a" * MEGABYTE)


def test_text_that_is_not_unicode_does_not_match() -> None:
    assert not matches(".*", "\ud800")


@given(st.text(st.sampled_from("ab.*+?()[]{}|^$\\-&QE:pPuUxdsw09,<>=!~é😀 \n"), max_size=30), st.text(max_size=20))
def test_any_pattern_is_used_or_refused(pattern: str, text: str) -> None:
    try:
        check(pattern)
    except UnusablePattern:
        assert not matches(pattern, text)
    else:
        assert matches(pattern, text) in (True, False)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_quoted_text_matches_itself_alone(text: str) -> None:
    quoted = "\\Q" + text.replace("\\E", "") + "\\E"
    assert matches(quoted, text.replace("\\E", ""))
    assert not matches(quoted, text.replace("\\E", "") + "x")
