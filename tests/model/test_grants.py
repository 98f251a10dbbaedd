"""A device reaches its own topics and no others; a filter is granted only if all it can match is (things.md 6.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model.grants import Reach, agent_rights, cloud_id, device_rights, either, people_rights, thing_named
from thingstead.model.topics import check_filter, matches

C = "myapp-42"

PUBLISH = {
    **dict.fromkeys([f"$aws/things/{C}/shadow/{verb}" for verb in ("get", "update", "delete")], True),
    **dict.fromkeys([f"things/{C}/data", f"things/{C}/data/temp", f"things/{C}/a/b/c"], True),
    **dict.fromkeys([f"kit/k1/measurement/{kind}" for kind in ("raw", "aggregate")], True),
    **dict.fromkeys(["kit/k1/media", "kit/k1/server-rpc/request", "kit/k1/kit-rpc/response"], True),
    # answers are the server's
    **dict.fromkeys([f"$aws/things/{C}/shadow/update/{word}" for word in ("accepted", "rejected", "delta")], False),
    f"$aws/things/{C}/shadow/update/documents": False,
    f"$aws/things/{C}/shadow/get/accepted": False,
    f"$aws/things/{C}/shadow/delete/rejected": False,
    # others' topics
    "$aws/things/myapp-43/shadow/update": False,
    "$aws/things/myapp-4/shadow/update": False,
    "$aws/things/myapp-42x/shadow/update": False,
    "things/myapp-43/data": False,
    "kit/k2/measurement/raw": False,
    "kit/k1/server-rpc/response": False,
    "kit/k1/kit-rpc/request": False,
    # named shadows are not served yet
    f"$aws/things/{C}/shadow/name/n/update": False,
    # elsewhere
    "things": False,
    "/things/myapp-42/data": False,
    "$SYS/x": False,
    "$share/g/things/myapp-42/data": False,
    "json/k/d/attrs": False,
    "/json/k/d/attrs": False,
    "anything": False,
}


@pytest.mark.parametrize(("topic", "allowed"), PUBLISH.items())
def test_publish(topic: str, allowed: bool) -> None:
    assert device_rights(C, "k1").publish(topic) is allowed


SUBSCRIBE = {
    f"$aws/things/{C}/shadow/#": True,
    f"$aws/things/{C}/shadow/+/accepted": True,
    f"$aws/things/{C}/shadow/update/delta": True,
    f"$aws/things/{C}/shadow/update/#": True,
    f"things/{C}/#": True,
    f"things/{C}/+/x": True,
    "kit/k1/server-rpc/response": True,
    "kit/k1/kit-rpc/request": True,
    "#": False,
    "+": False,
    "+/#": False,
    "$aws/#": False,
    "$aws/things/#": False,
    "$aws/things/+/#": False,
    "$aws/things/+/shadow/update/delta": False,
    "$aws/+/myapp-42/shadow/#": False,
    f"$aws/things/{C}/#": False,
    f"$aws/things/{C}/+/#": False,
    "$aws/things/myapp-43/shadow/#": False,
    "things/#": False,
    "things/+/data": False,
    "things/myapp-43/data": False,
    f"+/{C}/data": False,
    "kit/+/kit-rpc/request": False,
    "kit/k1/#": False,
    "kit/k2/kit-rpc/request": False,
    "$SYS/#": False,
    f"$share/g/things/{C}/#": False,
    "/json/#": False,
    "/+/+/cmd": False,
}


@pytest.mark.parametrize(("pattern", "allowed"), SUBSCRIBE.items())
def test_subscribe(pattern: str, allowed: bool) -> None:
    assert device_rights(C, "k1").subscribe(pattern) is allowed


@pytest.mark.parametrize("name", ["", "+", "#", "a/b", "+/x", "a\x00"])
def test_a_name_that_is_no_level_grants_nothing(name: str) -> None:
    for rights in (device_rights(name), device_rights(C, name), agent_rights(name)):
        for topic in (f"kit/{name}/media", "kit/k1/media", "things/x/data", "/x/d/attrs", f"/{name}/d/attrs"):
            assert not rights.publish(topic)
        for pattern in ("things/+/data", "kit/+/kit-rpc/request", "kit/k1/kit-rpc/request", "/+/d/cmd", "/k/d/cmd"):
            assert not rights.subscribe(pattern)


UP = [
    (f"{slash}{protocol}{{k}}/{{d}}/{rest}")
    for slash in ("", "/")
    for protocol in ("", "json/", "ul/")
    for rest in ("attrs", "attrs/temp", "cmdexe", "configuration/commands")
]


@pytest.mark.parametrize("form", UP)
def test_agent_publish(form: str) -> None:
    topic = form.format(k="key", d="dev")
    assert agent_rights("key").publish(topic)
    assert agent_rights(None).publish(topic)
    assert agent_rights("key", "dev").publish(topic)
    assert not agent_rights("other").publish(topic)
    assert not agent_rights("key", "other").publish(topic)
    for reserved in ("things", "kit", "devices", "json", "ul"):
        assert not agent_rights(None).publish(form.format(k=reserved, d="dev")), reserved
        assert not agent_rights(reserved).publish(form.format(k=reserved, d="dev")), reserved


AGENT_SUBSCRIBE = [
    ("/key/dev/cmd", True, True),
    ("key/dev/cmd", True, True),
    ("/key/+/cmd", True, True),
    ("/key/dev/configuration/values", True, True),
    ("/other/dev/cmd", False, True),
    ("/+/dev/cmd", False, False),
    ("/+/+/cmd", False, False),
    ("+/key/dev/cmd", False, False),
    ("/key/#", False, False),
    ("/#", False, False),
    ("#", False, False),
    ("/json/key/dev/attrs", False, False),
    ("/key/dev/attrs", False, False),
    ("things/dev/cmd", False, False),
    ("$aws/dev/cmd", False, False),
    ("kit/+/cmd", False, False),
    ("/key/dev/+", False, False),
]


@pytest.mark.parametrize(("pattern", "with_key", "on_loopback"), AGENT_SUBSCRIBE)
def test_agent_subscribe(pattern: str, with_key: bool, on_loopback: bool) -> None:
    assert agent_rights("key").subscribe(pattern) is with_key
    assert agent_rights(None).subscribe(pattern) is on_loopback
    assert not people_rights({}).subscribe(pattern)


def test_one_device_of_the_agent() -> None:
    rights = agent_rights("key", "dev")
    assert rights.subscribe("/key/dev/cmd")
    assert not rights.subscribe("/key/+/cmd")
    assert not rights.subscribe("/key/other/cmd")


def test_either() -> None:
    both = either(device_rights(C), agent_rights("key"))
    assert both.publish(f"things/{C}/data")
    assert both.publish("/json/key/dev/attrs")
    assert both.subscribe("/key/dev/cmd")
    assert not both.publish("anything")
    assert not both.subscribe("#")


LEVEL = st.one_of(
    st.sampled_from(["$aws", "things", "shadow", "update", "delta", "accepted", "data", "kit", "measurement", "raw"]),
    st.sampled_from(["myapp-42", "myapp-43", "k1", "key", "dev", "json", "ul", "cmd", "attrs", "values", ""]),
)
TOPICS = st.lists(LEVEL, min_size=1, max_size=6).map("/".join).filter(bool)
FILTERS = (
    st.tuples(st.lists(st.one_of(LEVEL, st.just("+")), min_size=1, max_size=6), st.booleans())
    .map(lambda parts: "/".join([*parts[0], "#"] if parts[1] else parts[0]))
    .filter(bool)
)


@given(FILTERS, TOPICS)
def test_a_granted_filter_reaches_nothing_of_others(pattern: str, topic: str) -> None:
    """Whatever a granted filter matches would be granted by itself, and names the device or its kit."""
    check_filter(pattern)
    for rights in (device_rights(C, "k1"), agent_rights("key"), agent_rights(None)):
        if rights.subscribe(pattern) and matches(pattern, topic):
            assert rights.subscribe(topic)
    if device_rights(C, "k1").subscribe(pattern) and matches(pattern, topic):
        assert topic.split("/")[1] == "k1" or C in topic.split("/")[1:3]


def test_cloud_id() -> None:
    assert cloud_id("myapp", "42") == C


PEOPLE = people_rights({"a-r": Reach(True, False), "a-w": Reach(False, True), "a-b": Reach(True, True)})


@pytest.mark.parametrize(
    ("thing", "read", "write"), [("a-r", True, False), ("a-w", False, True), ("a-b", True, True), ("a-n", False, False)]
)
def test_people(thing: str, read: bool, write: bool) -> None:
    """Asking for a shadow takes the right to read, updating it that to write; nothing else is published."""
    shadow = f"$aws/things/{thing}/shadow"
    assert PEOPLE.publish(f"{shadow}/get") is read
    assert PEOPLE.publish(f"{shadow}/update") is write
    for topic in (f"{shadow}/delete", f"{shadow}/update/accepted", f"{shadow}/name/n/get", f"things/{thing}/data"):
        assert not PEOPLE.publish(topic)
    for pattern in (f"{shadow}/#", f"{shadow}/+/accepted", f"things/{thing}/#", f"things/{thing}/data/+"):
        assert PEOPLE.subscribe(pattern) is read
    for pattern in ("#", "$aws/things/+/shadow/#", f"$aws/things/{thing}/#", f"$aws/+/{thing}/shadow/#", "things/#"):
        assert not PEOPLE.subscribe(pattern)


@given(st.lists(st.sampled_from(["$aws", "things", "a-b", "+", "#", "shadow", "get", "x", ""]), max_size=7))
def test_a_thing_is_named_or_nothing_is(levels: list[str]) -> None:
    """Whatever is granted lies below the one thing that the topic or filter spells out."""
    text = "/".join(levels)
    if PEOPLE.subscribe(text) or PEOPLE.publish(text):
        assert thing_named(text) == "a-b"
