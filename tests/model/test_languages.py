"""Promise: codes, names and shares of languages follow their rules, and `.properties` files survive a round trip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model import languages, properties
from thingstead.model.objects import NOT_CUSTOM

KNOWN = {"en", "de", "fil", "fi", "id", "zh_CN", "zh_TW"}
CODES = [
    ("de", "de"),
    (" DE ", "de"),
    ("de_AT", "de"),
    ("de-AT", "de"),
    ("fil", "fil"),
    ("fil_PH", "fil"),
    ("deu", "de"),
    ("zh", "zh_CN"),
    ("zh_SG", "zh_CN"),
    ("zh_Hans_TW", "zh_TW"),
    ("ZH-tw", "zh_TW"),
    ("zh_Hant", "zh_TW"),
    ("zh_HK", "zh_TW"),
    ("", None),
    (" ", None),
    ("_", None),
    ("xx", None),
    ("../../en", None),
]


@pytest.mark.parametrize(("text", "code"), CODES)
def test_codes(text: str, code: str | None) -> None:
    assert languages.code_of(text, KNOWN) == code


@given(st.text() | st.sampled_from(sorted(NOT_CUSTOM)).flatmap(lambda n: st.integers(0, 3).map(lambda k: "_" * k + n)))
def test_every_key_has_a_field_of_its_own(key: str) -> None:
    name = languages.kept_name(key)
    assert name not in NOT_CUSTOM
    assert languages.key_of(name) == key


def test_what_is_translated() -> None:
    few = {str(n): "x" for n in range(10)}
    assert languages.percent(few, few) == 0
    assert languages.percent(few, {"0": "y", "1": "y", "2": "y", "other": "z"}) == 30
    assert languages.percent(few, dict.fromkeys(few, "y")) == 100
    assert languages.percent(few, dict.fromkeys(list(few)[:9], "y")) == 90
    more = {str(n): "x" for n in range(11)}
    assert languages.percent(more, dict.fromkeys(list(more)[:6], "y")) == 100
    assert languages.percent(more, dict.fromkeys(list(more)[:5], "y")) == 45
    assert languages.percent({}, {"a": "y"}) == 0
    assert languages.approved({"a": "x", "b": "x"}, {"a": "y", "b": "x", "c": "z"}) == {"a"}


PARSED = [
    (b"a=b\nc: d\ne f\ng", {"a": "b", "c": "d", "e": "f", "g": ""}),
    (b"# no\n ! no\n\n  \n a = b  \r\nc=\rd==e", {"a": "b  ", "c": "", "d": "=e"}),
    (b"a=one \\\n   two\\\\\nb=x\\", {"a": "one two\\", "b": "x"}),
    (b"a\\ b\\=c\\:=\\tv\\n\\u00e9\\q", {"a b=c:": "\tv\n\u00e9q"}),
    ("\ufeffa=\u00e9\U0001f600".encode(), {"a": "\u00e9\U0001f600"}),
    (b"a=\xe9", {"a": "\u00e9"}),
    (b"a=\\ud83d\\ude00 \\ud83d \\u12", {"a": "\U0001f600 \ufffd u12"}),
    (b"a=1\na=2", {"a": "2"}),
    (b"#a=\\\nb=c", {"b": "c"}),
    (b"=x", {"": "x"}),
    (b"", {}),
]


@pytest.mark.parametrize(("data", "entries"), PARSED)
def test_properties_files_are_read_as_java_reads_them(data: bytes, entries: dict[str, str]) -> None:
    assert properties.parse(data) == entries


TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(" \\=:#!\n\r\t\fu"))


@given(st.dictionaries(TEXT, TEXT))
def test_properties_files_survive(entries: dict[str, str]) -> None:
    data = properties.dump(entries)
    assert properties.parse(data) == entries
    assert data.isascii()


@given(st.binary())
def test_any_bytes_are_read(data: bytes) -> None:
    assert isinstance(properties.parse(data), dict)
