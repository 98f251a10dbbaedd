"""Promise: NGSIv2 types, names, times and paths follow agent.md 17.1, and entities render in both forms."""

from typing import Any
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model import ngsi
from thingstead.model.errors import InvalidInput
from thingstead.model.ngsi import Shown
from thingstead.model.shadow import Attribute
from thingstead.model.values import dump, parse


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        (1, "Number"),
        (1.5, "Number"),
        (True, "Boolean"),
        ("x", "Text"),
        (None, "None"),
        ({}, "StructuredValue"),
        ([], "StructuredValue"),
    ],
)
def test_types_by_value(value: Any, type_name: str) -> None:
    assert ngsi.type_of(value) == type_name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00.000Z"),
        ("2024-05-01T10:00:00.1239999Z", "2024-05-01T10:00:00.123Z"),
        ("2024-05-01T10:00:00+02:00", "2024-05-01T08:00:00.000Z"),
        ("2024-05-01T10:00", "2024-05-01T10:00:00.000Z"),
        ("2024-05-01", "2024-05-01T00:00:00.000Z"),
        ("20240501T100000Z", "2024-05-01T10:00:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_instants(text: str, shown: str) -> None:
    micros = ngsi.instant(text)
    assert micros is not None
    assert ngsi.iso(micros) == shown


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "2024",
        "2024-13-01",
        "2024-05-01x10:00",
        "0001-01-01T00:00:00+05:00",
        5,
        None,
        True,
        "2024-05-01T10:00:00Zé",
    ],
)
def test_no_instants(value: Any) -> None:
    assert ngsi.instant(value) is None


@given(st.text())
def test_any_text_is_an_instant_or_none(text: str) -> None:
    found = ngsi.instant(text)
    assert found is None or isinstance(ngsi.iso(found), str)


@given(st.text(min_size=1, max_size=30))
def test_shown_names_are_allowed_and_found_again(name: str) -> None:
    shown = ngsi.shown_name(name)
    if len(shown) <= ngsi.MAX_NAME:
        assert ngsi.check_name(shown, "name") == shown
    assert ngsi.shown_name(shown) == shown
    if shown != name and "%" not in name:
        assert ngsi.stored_name(shown, {name: 1}) == name


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b", "a?b", "a#b", "a&b", "a<b", "a;b", "é", "a\nb", "x" * 257, 5, None, {}]
)
def test_forbidden_names(name: Any) -> None:
    with pytest.raises(InvalidInput):
        ngsi.check_name(name, "name")


def test_tenants_and_paths() -> None:
    assert ngsi.tenant("SmartGondor") == "smartgondor"
    assert ngsi.tenant("my_app") == "my-app"
    for bad in ("", "a b", "a-b", "x" * 51, "é"):
        with pytest.raises(InvalidInput):
            ngsi.tenant(bad)
    assert ngsi.write_path(None) == "/"
    assert ngsi.write_path("/a/b_1") == "/a/b_1"
    for bad in ("", "a", "/a/", "//", "/a-b", "/#", "/a,/b", "/" + "x" * 51, "/a" * 11):
        with pytest.raises(InvalidInput):
            ngsi.write_path(bad)


@pytest.mark.parametrize(
    ("header", "covered", "others"),
    [
        (None, ["/", "/a", "/a/b"], []),
        ("/#", ["/", "/a"], []),
        ("/", ["/"], ["/a"]),
        ("/a", ["/a"], ["/", "/a/b", "/ab"]),
        ("/a/#", ["/a", "/a/b", "/a/b/c"], ["/", "/ab"]),
        ("/a, /b/#", ["/a", "/b/c"], ["/a/x"]),
    ],
)
def test_read_scope(header: str | None, covered: list[str], others: list[str]) -> None:
    scope = ngsi.read_scope(header)
    assert all(scope.covers(path) for path in covered)
    assert not any(scope.covers(path) for path in others)


@pytest.mark.parametrize("header", ["", "x", "#", ",".join(["/a"] * 11), "/a/#/b", "/é"])
def test_bad_read_scope(header: str) -> None:
    with pytest.raises(InvalidInput):
        ngsi.read_scope(header)


def test_entity_write_and_what_stays() -> None:
    body = parse(
        b'{"id":"R1","t":{"value":21,"type":"Celsius","metadata":{"a":{"value":1}}},"u":{"value":"x"},"v":{"type":"Text"}}'
    )
    entity = ngsi.entity_write(body, key_values=False)
    assert (entity.id, entity.type) == ("R1", "Thing")
    stored = Attribute("Old", {"m": {"type": "Text", "value": "x"}})
    assert entity.attributes["t"].over(stored) == Attribute("Celsius", {"a": {"type": "Number", "value": 1}})
    assert entity.attributes["u"].over(stored) == stored
    assert entity.attributes["u"].over(None) == Attribute("Text")
    assert entity.attributes["v"].value is None
    plain = ngsi.entity_write({"id": "R1", "type": "T", "t": {"x": 1}}, key_values=True)
    assert plain.attributes["t"].over(None) == Attribute("StructuredValue")


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"type": "T"},
        {"id": 5},
        {"id": "a b"},
        {"id": "R", "type": ""},
        {"id": "R", "a b": {"value": 1}},
        {"id": "R", "a": 5},
        {"id": "R", "a": {"value": 1, "x": 2}},
        {"id": "R", "a": {"value": "<x>"}},
        {"id": "R", "a": {"value": {"k": ["=", 1]}}},
        {"id": "R", "a": {"value": {"k;": 1}}},
        {"id": "R", "a": {"type": 5}},
        {"id": "R", "a": {"metadata": []}},
        {"id": "R", "a": {"metadata": {"m": 5}}},
        {"id": "R", "a": {"metadata": {"m": {"x": 5}}}},
        {"id": "R", "a": {"metadata": {"m m": {"value": 5}}}},
    ],
    ids=str,
)
def test_entities_that_are_refused(body: Any) -> None:
    with pytest.raises(InvalidInput):
        ngsi.entity_write(body, key_values=False)


def test_unrestricted_text() -> None:
    body: Any = {"id": "R", "a": {"value": "<x>", "type": "TextUnrestricted"}}
    assert ngsi.entity_write(body, key_values=False).attributes["a"].value == "<x>"


def test_render() -> None:
    attributes = {
        "temp": Shown(24.5),
        "wind speed": Shown(3, Attribute("Number", {"at": {"type": "DateTime", "value": "2024-05-01T10:00:00Z"}})),
        "when": Shown("2024-05-01T10:00:00Z", Attribute("DateTime")),
        "later": Shown("soon", Attribute("DateTime")),
        "id": Shown(1),
    }
    assert ngsi.render("Thing:1", "Thing", attributes) == {
        "id": "Thing:1",
        "type": "Thing",
        "temp": {"type": "Number", "value": 24.5, "metadata": {}},
        "wind%20speed": {
            "type": "Number",
            "value": 3,
            "metadata": {"at": {"type": "DateTime", "value": "2024-05-01T10:00:00.000Z"}},
        },
        "when": {"type": "DateTime", "value": "2024-05-01T10:00:00.000Z", "metadata": {}},
        "later": {"type": "DateTime", "value": "soon", "metadata": {}},
    }
    assert ngsi.render("a b", "T", attributes, only=("temp",), key_values=True) == {
        "id": "a%20b",
        "type": "T",
        "temp": 24.5,
    }


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.integers() | st.text(max_size=8), max_size=5))
def test_render_never_fails(values: dict[str, Any]) -> None:
    shown = ngsi.render("E", "T", {name: Shown(value) for name, value in values.items()})
    assert parse(dump(shown)) == shown if all(abs(v) < 2**63 for v in values.values() if isinstance(v, int)) else True


def test_correlators() -> None:
    assert ngsi.correlator(b"") is None
    assert ngsi.correlator(b"x" * 257) is None
    assert ngsi.correlator(b"abc") == b"abc"
    made = UUID(ngsi.new_correlator(bytes(range(16))).decode())
    assert (made.version, made.variant) == (4, RFC_4122)
