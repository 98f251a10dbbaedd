"""Whatever a device sends is either understood or refused with a reason; never anything else (things.md 7.2-7.4)."""

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.doors.things import read, render
from thingstead.doors.things.errors import shown
from thingstead.model import errors
from thingstead.model.errors import InvalidInput, ThingsteadError

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "state": st.one_of(
            JSON, st.fixed_dictionaries({}, optional={"desired": JSON, "reported": JSON, "other": JSON})
        ),
        "version": JSON,
        "clientToken": JSON,
        "timestamp": JSON,
        "ts": JSON,
    },
)
PAYLOADS = st.one_of(
    st.binary(max_size=40),
    st.one_of(JSON, REQUESTS).map(lambda value: json.dumps(value).encode(errors="surrogatepass")),
)
READERS: list[Callable[[bytes], Any]] = [read.update, read.token, read.data, read.value, read.readable_token]


def outcome(reader: Callable[[bytes], Any], payload: bytes) -> Any:
    """What the reader understood, or the error with which it refused."""
    try:
        return reader(payload)
    except InvalidInput as error:
        return error


@pytest.mark.parametrize("reader", READERS)
@given(payload=PAYLOADS)
def test_understood_or_refused(reader: Callable[[bytes], Any], payload: bytes) -> None:
    found = outcome(reader, payload)
    if isinstance(found, InvalidInput):
        assert reader is not read.readable_token
        code, message = shown(found)
        assert 400 <= code < 500
        assert message == found.message != ""
    elif isinstance(found, read.Update):
        answer = orjson.loads(render.accepted(found.sections, 7, 1_700_000_000_999_999, found.token))
        assert answer["timestamp"] == 1_700_000_000
        assert set(answer["state"]) == set(found.sections)
        assert answer.get("clientToken") == found.token
    elif reader is read.data and found[1] is not None:
        assert 0 <= found[1] < 2**63


CLASSES = [found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, ThingsteadError)]


@pytest.mark.parametrize("cause", CLASSES)
def test_every_error_has_a_code(cause: type[ThingsteadError]) -> None:
    """Only the root of the tree, which says nothing, is a 500."""
    code, message = shown(cause("why"))
    assert message
    assert (code == 500) == (cause is ThingsteadError)


def test_what_is_no_error_of_ours_is_a_500() -> None:
    assert shown(RuntimeError("secret")) == (500, "Internal service failure")
