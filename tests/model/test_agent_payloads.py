"""Promise: payloads of devices read as agent.md 13.2, 13.3 say; what does not is refused, with its cause."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model.agent import payload, ultralight
from thingstead.model.errors import InvalidInput, MalformedBody, NotSupported, TooLarge


@pytest.mark.parametrize(
    ("text", "measures"),
    [
        ("t|15|k|abc", [{"t": 15, "k": "abc"}]),
        ("|t|15", [{"t": 15}]),
        (
            "t|15|k|abc#2024-05-01T10:00:00Z|t|16",
            [{"t": 15, "k": "abc"}, {"t": 16, "TimeInstant": "2024-05-01T10:00:00Z"}],
        ),
        (
            'a|1e3|b|true|c|null|d|[1]|e|"x"|f|{"g":1}',
            [{"a": 1000.0, "b": True, "c": None, "d": [1], "e": "x", "f": {"g": 1}}],
        ),
        ("a|007|b|12.|c|-1|d|1.5", [{"a": "007", "b": "12.", "c": -1, "d": 1.5}]),
        ("wind speed|3", [{"wind speed": 3}]),
        ("@x|1", [{"@x": 1}]),
        ("t|1\r\n", [{"t": 1}]),
    ],
)
def test_ultralight(text: str, measures: list[dict[str, Any]]) -> None:
    assert ultralight.measures(text) == measures
    assert ultralight.measures(text.encode()) == measures


@pytest.mark.parametrize("text", ["", "t", "t|", "|", "|t", "t|1|", "t||k|2", "#", "t|1#", "a|1|k||x|2", "\n", "||t|1"])
def test_ultralight_that_is_none(text: str) -> None:
    with pytest.raises(MalformedBody, match="Ultralight"):
        ultralight.measures(text)


def test_ultralight_bytes_and_results() -> None:
    with pytest.raises(MalformedBody):
        ultralight.measures(b"\xff|1")
    with pytest.raises(NotSupported):
        ultralight.measures("p7@start|done")


@given(st.text(max_size=40))
def test_ultralight_gives_measures_or_refuses(text: str) -> None:
    try:
        found = ultralight.measures(text)
    except (MalformedBody, NotSupported):
        return
    assert found
    assert all(measure for measure in found)


@pytest.mark.parametrize("text", ["1", '"x"', "true", "[1]", "[{},1]", "[[]]", "{", "", "{'a':1}", "NaN", '{"a":NaN}'])
def test_json_that_is_no_measure(text: str) -> None:
    with pytest.raises(MalformedBody):
        payload.measures(text)


def test_single_values() -> None:
    assert payload.single(b"5", content_type="application/json") == 5
    assert payload.single(b"5", content_type="text/plain") == "5"
    assert payload.single(b"\x01\xff", content_type="application/octet-stream") == "01ff"
    assert payload.single(b"\x01\xff", content_type="") == "01ff"
    assert payload.single(b'{"a":1}', content_type="") == {"a": 1}
    for kind, raw in (("application/json", b"{"), ("text/plain", b"\xff")):
        with pytest.raises(MalformedBody):
            payload.single(raw, content_type=kind)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_bounds() -> None:
    payload.check([{"a": nested(64)}])
    payload.check([{"k" * 256: 1}] * 1000)
    for bad in ([{"a": nested(65)}], [{"": 1}], [{"k" * 257: 1}]):
        with pytest.raises(InvalidInput):
            payload.check(bad)
    with pytest.raises(TooLarge):
        payload.check([{"a": 1}] * 1001)
    with pytest.raises(TooLarge):
        payload.measures(b" " * (payload.MAX_BYTES + 1))
