"""Promise: a river message is read as the table of objects.md 15 says, or refused with the member that is wrong."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model import river
from thingstead.model.errors import InvalidInput
from thingstead.model.river import Delete, Deliver, IndexWork, Write
from thingstead.model.values import dump

BASE: dict[str, Any] = {"id": "1", "appid": "app", "type": "cat"}


def read(**members: Any) -> river.Order:
    return river.read(dump({**BASE, **members}))


def test_a_write_merges_unless_it_is_to_create() -> None:
    assert read(properties={"a": 1}, b=2) == Write("app", "1", "cat", {**BASE, "properties": {"a": 1}, "b": 2}, False)
    for flag in (True, "true"):
        assert read(_create=flag) == Write("app", "1", "cat", BASE, True)
        assert read(_delete=flag) == Delete("app", "1")
    for flag in (False, "false", None, 1.5, "yes"):
        assert read(_create=flag, _delete=flag) == Write("app", "1", "cat", BASE, False)
    order = read(id=None)
    assert isinstance(order, Write)
    assert order.id is None
    assert read(id=5).id == "5"  # pyright: ignore[reportAttributeAccessIssue]
    assert read(appid="app:app").app == "app"


def test_a_delivery_and_index_work() -> None:
    made = read(
        type="webhookpayload",
        targetUrl="http://t.example/h",
        urlEncoded=True,
        repeatedDeliveryAttempts=2,
        event="create",
        payload='{"x":1}',
        signature="c2ln",
    )
    assert isinstance(made, Deliver)
    delivery = made.delivery
    assert (delivery.webhook, delivery.target, delivery.payload) == ("1", "http://t.example/h", b'{"x":1}')
    assert (delivery.event, delivery.signature, delivery.url_encoded, delivery.left) == ("create", "c2ln", True, 2)
    assert read(type="indexpayload", id="index_all_op", payload=["a", "b", 5, ""]) == IndexWork(
        "app", "index_all_op", ("a", "b")
    )
    assert read(type="indexpayload", id="rebuild_index_op", payload="app") == IndexWork("app", "rebuild_index_op", ())


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"appid": None}, "appid"),
    ({"appid": 5}, "appid"),
    ({"appid": "?"}, "appid"),
    ({"type": " "}, "type"),
    ({"type": None}, "type"),
    *(({"type": name}, "type") for name in ("user", "app", "webhook", "tag", "vote", "linker", "address", "thing")),
    ({"id": "app:app"}, "id"),
    ({"id": ["x"]}, "id"),
    ({"id": ".."}, "id"),
    ({"id": "a\u0000"}, "id"),
    ({"id": "x" * 1025}, "id"),
    ({"id": None, "_delete": True}, "id"),
    ({"type": "webhookpayload", "targetUrl": "http://t.example"}, "event"),
    ({"type": "webhookpayload", "event": "e", "payload": "{}"}, "targetUrl"),
    ({"type": "webhookpayload", "event": "e", "payload": "{}", "targetUrl": "ftp://x"}, "targetUrl"),
    ({"type": "webhookpayload", "event": "e\r\nX: y", "payload": "{}", "targetUrl": "http://x"}, "event"),
    ({"type": "webhookpayload", "event": "e", "payload": {}, "targetUrl": "http://x"}, "payload"),
    (
        {"type": "webhookpayload", "event": "e", "payload": "{}", "targetUrl": "http://x", "signature": "a\nb"},
        "signature",
    ),
    ({"type": "indexpayload", "id": "other_op"}, "id"),
]


@pytest.mark.parametrize(("members", "field"), REFUSED)
def test_refused(members: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(**members)
    assert caught.value.field == field


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda j: st.lists(j, max_size=3),
    max_leaves=4,
)
NAMES = [
    "id",
    "appid",
    "type",
    "_create",
    "_delete",
    "properties",
    "payload",
    "targetUrl",
    "event",
    "signature",
    "urlEncoded",
]


@given(st.binary(max_size=200) | st.dictionaries(st.sampled_from(NAMES), JSON).map(lambda d: repr(d).encode()))
def test_nonsense_is_refused(body: bytes) -> None:
    try:
        river.read(body)
    except InvalidInput:
        pass


@given(st.dictionaries(st.sampled_from(NAMES), JSON | st.sampled_from(["webhookpayload", "indexpayload", "cat"])))
def test_any_object_is_an_order_or_refused(message: dict[str, Any]) -> None:
    try:
        river.read(dump(message))
    except InvalidInput:
        pass
