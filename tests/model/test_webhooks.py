"""Promise: the rules of webhooks hold for every input: who wants an event, what is signed, where requests may go."""

import base64
import hashlib
import hmac
import json
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model import webhooks as rules
from thingstead.model.values import JsonObject, dump
from thingstead.model.webhooks import Delivery, Subscription

FILTERS: list[tuple[str, JsonObject, bool]] = [
    ("name:Tom", {"name": "Tom"}, True),
    ("name:Tom", {"name": "Tim"}, False),
    ("name:Tom|Tim", {"name": "Tim"}, True),
    ("name:Tom,Tim", {"name": "Tim"}, False),
    ("tags:a,b", {"tags": ["c", "b", "a"]}, True),
    ("tags:a,b", {"tags": ["a"]}, False),
    ("tags:a|b", {"tags": ["b"]}, True),
    ("tags:a,b|c", {"tags": ["c"]}, True),
    ("tags: a , b ", {"tags": ["a", "b"]}, True),
    ("tags:-", {"tags": []}, True),
    ("tags:-", {}, True),
    ("tags:-", {"tags": ["a"]}, False),
    ("room:-", {"room": ""}, True),
    ("room:-", {"room": {}}, True),
    ("floor:2", {"floor": 2}, True),
    ("on:true", {"on": True}, True),
    ("on:true", {"on": "true"}, True),
    ("properties.floor:2", {"floor": 2}, True),
    ("room.floor:2", {"room": {"floor": 2}}, True),
    ("room.floor.x:2", {"room": {"floor": 2}}, False),
    ("a.b:2", {"a.b": 2}, True),
    ("url:http://x", {"url": "http://x"}, True),
    ("name", {"name": "name"}, False),
    (":x", {"": "x"}, True),
    ("gone:x", {"name": "x"}, False),
]


@pytest.mark.parametrize(("expression", "wire", "expected"), FILTERS)
def test_property_filter(expression: str, wire: JsonObject, expected: bool) -> None:
    assert rules.property_matches(expression, wire) is expected


@pytest.mark.parametrize(
    ("stated", "kind", "expected"),
    [
        ("", "cat", True),
        ("*", "cat", True),
        ("Cat", "cat", True),
        ("cat", "CAT", True),
        ("dog", "cat", False),
        (None, "x", True),
    ],
)
def test_type_filter(stated: str | None, kind: str, expected: bool) -> None:
    found = rules.subscription("w", {"active": True, "typeFilter": stated})
    assert found is not None
    assert rules.passes(found, kind, {}) is expected


def test_only_active_webhooks_subscribe() -> None:
    assert rules.subscription("w", {"active": False, "create": True}) is None
    assert rules.subscription("w", {"create": True}) is None
    assert rules.subscription("w", {"active": True, "create": True, "customEvents": ["a", 1]}) == Subscription(
        "w", frozenset({"create"}), frozenset({"a"}), "", ""
    )


@given(st.text(max_size=50), st.text(min_size=1, max_size=50))
def test_the_signature_covers_the_text_before_it_is_encoded(name: str, secret: str) -> None:
    secret = secret.encode("utf-8", "ignore").decode() or "s"
    item = dump({"name": name.encode("utf-8", "ignore").decode()})
    [payload] = rules.payloads("app", "create", 5, [item])
    expected = base64.b64encode(hmac.new(secret.encode(), payload, hashlib.sha256).digest()).decode()
    assert rules.signature(payload, secret) == expected
    kind, body = rules.body_of(payload, url_encoded=True)
    assert kind == "application/x-www-form-urlencoded"
    assert parse_qs(body.decode(), strict_parsing=True) == {"payload": [payload.decode()]}
    assert rules.body_of(payload, url_encoded=False) == ("application/json", payload)
    assert json.loads(payload) == {"appid": "app", "event": "create", "timestamp": 5, "items": [json.loads(item)]}


def test_without_a_secret_there_is_no_signature() -> None:
    assert rules.signature(b"x", "") == ""


@given(st.lists(st.integers(0, 700_000), max_size=8))
def test_a_long_event_is_split_and_loses_nothing(sizes: list[int]) -> None:
    items = [b'"%b"' % (b"x" * size) for size in sizes]
    texts = rules.payloads("a", "createAll", 1, items)
    assert [item for text in texts for item in json.loads(text)["items"]] == [item.decode()[1:-1] for item in items]
    assert all(len(text) <= rules.MAX_PAYLOAD + 700_100 for text in texts)
    assert len(texts) == 1 or sum(sizes) > rules.MAX_PAYLOAD - 16 * len(sizes)


@pytest.mark.parametrize(("stated", "times"), [(1, 1), (0, 1), (-3, 3), (100, 100), (101, 100), (-(10**9), 100)])
def test_repeated_deliveries(stated: int, times: int) -> None:
    assert rules.repeats(stated) == times


def test_a_delivery_comes_back_as_it_was() -> None:
    delivery = Delivery("app", "create", b'{"x":1}', webhook="w", left=3)
    assert rules.decode(rules.encode(delivery)) == delivery


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waits_grow_and_are_bounded(failures: int, chance: float) -> None:
    assert 0 < rules.wait(failures, chance) <= 300 * 1.25
    assert rules.wait(failures + 1, 0) >= rules.wait(failures, 0)


TARGETS = [
    ("https://t.example/h", True),
    ("HTTP://t.example", True),
    ("http://t.example:8080/h?x=1", True),
    ("http://[2001:db8::1]/h", True),
    ("http://127.0.0.1/h", True),
    ("ftp://t.example/h", False),
    ("file:///etc/passwd", False),
    ("javascript:alert(1)", False),
    ("//t.example/h", False),
    ("t.example/h", False),
    ("http://", False),
    ("http:///h", False),
    ("http://user@t.example/h", False),
    ("http://user:pass@t.example/h", False),
    ("http://@t.example/h", False),
    ("http://t.example/h#part", False),
    ("http://t.example/h#", False),
    ("http://t.example:99999/h", False),
    ("http://t.example:0/h", False),
    ("http://t.example:x/h", False),
    ("http://t.example/a b", False),
    ("http://t.example/a\nb", False),
    ("http://[::1/h", False),
    ("http://t.example/" + "x" * 9_000, False),
    ("not a url", False),
]


@pytest.mark.parametrize(("url", "fine"), TARGETS)
def test_targets(url: str, fine: bool) -> None:
    assert (rules.target_problem(url) is None) is fine


@given(st.text())
def test_any_text_is_judged(url: str) -> None:
    rules.target_problem(url)
    rules.target_problem("http://" + url)
