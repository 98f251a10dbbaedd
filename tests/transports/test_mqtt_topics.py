"""Topics and filters: one meaning in every place (MQTT 5, 4.7): matching, containment, the subscription tree, the
retained index.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model.errors import InvalidInput, TooLarge
from thingstead.model.topics import TopicIndex, TopicTree, check_filter, check_topic, covers, matches

level = st.sampled_from(["", "a", "b", "$aws", "things"])
topics = st.lists(level, min_size=1, max_size=4).map("/".join).filter(bool)
filters = st.one_of(
    st.lists(level | st.just("+"), min_size=1, max_size=4).map("/".join).filter(bool),
    st.lists(level | st.just("+"), max_size=3).map(lambda levels: "/".join([*levels, "#"])),
)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "a/b", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/x", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/x", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
        ("a/+/#", "a", False),
        ("a/+/#", "a/b", True),
        ("A", "a", False),
    ],
)
def test_the_specifications_examples(pattern: str, topic: str, expected: bool) -> None:
    assert matches(pattern, topic) is expected


@pytest.mark.parametrize(
    ("allowed", "requested", "expected"),
    [
        ("things/C/#", "things/C/#", True),
        ("things/C/#", "things/C", True),
        ("things/C/#", "things/C/+/x", True),
        ("things/C/#", "things/+/x", False),
        ("things/C/#", "things/#", False),
        ("things/C/#", "#", False),
        ("$aws/things/C/shadow/#", "$aws/#", False),
        ("$aws/things/C/shadow/#", "$aws/things/+/shadow/get", False),
        ("$aws/things/C/shadow/#", "$aws/things/C/shadow/+/accepted", True),
        ("#", "$aws/x", False),
        ("+/x", "$aws/x", False),
        ("#", "+/x", True),
        ("a/+", "a/#", False),
        ("a/+", "a/+", True),
        ("a/b", "a/+", False),
        ("a/+/#", "a/#", False),
    ],
)
def test_containment(allowed: str, requested: str, expected: bool) -> None:
    assert covers(allowed, requested) is expected


@given(filters, filters, topics)
def test_what_is_covered_is_matched(allowed: str, requested: str, topic: str) -> None:
    """Nobody receives through a granted filter what the allowed one does not let through."""
    if covers(allowed, requested) and matches(requested, topic):
        assert matches(allowed, topic)


@given(filters, filters)
def test_what_is_not_covered_has_a_witness(allowed: str, requested: str) -> None:
    """A refusal is never needless: some topic matches the request and not the permission."""
    if not covers(allowed, requested):
        plain = requested.replace("+", "zz")
        candidates = [plain, requested.replace("+", "")]
        tails = ("zz", "zz/zz", "zz/zz/zz/zz/zz")
        if plain == "#":
            candidates = list(tails)
        elif plain.endswith("#"):
            candidates = [plain[:-2], *(plain[:-1] + tail for tail in tails)]
        witnesses = [topic for topic in candidates if topic and matches(requested, topic)]
        assert any(not matches(allowed, topic) for topic in witnesses)


@given(st.lists(filters, max_size=8), st.lists(topics, max_size=4), st.data())
def test_the_tree_finds_what_matches(patterns: list[str], names: list[str], data: st.DataObject) -> None:
    tree: TopicTree[str] = TopicTree()
    for pattern in patterns:
        tree.add(pattern, "session", pattern)
    kept = set(patterns)
    for pattern in data.draw(st.lists(st.sampled_from(patterns), max_size=4) if patterns else st.just([])):
        assert tree.remove(pattern, "session") is (pattern in kept)
        kept.discard(pattern)
    assert bool(tree) is bool(kept)
    for name in names * 2:
        assert sorted(tree.match(name)) == sorted(pattern for pattern in kept if matches(pattern, name))


def test_one_filter_many_sessions() -> None:
    tree: TopicTree[int] = TopicTree()
    for key in range(3):
        tree.add("a/+", key, key)
        tree.add("a/b", key, key + 10)
    tree.add("a/b", 1, 99)
    assert sorted(tree.match("a/b")) == [0, 1, 2, 10, 12, 99]
    assert tree.remove("a/+", 1)
    assert not tree.remove("a/+", 1)
    assert not tree.remove("x/+", 1)
    assert sorted(tree.match("a/b")) == [0, 2, 10, 12, 99]


@given(st.lists(topics, max_size=8), st.lists(topics, max_size=3), filters)
def test_the_index_finds_what_matches(names: list[str], gone: list[str], pattern: str) -> None:
    index: TopicIndex[str] = TopicIndex()
    for name in names:
        index.set(name, name)
    for name in gone:
        assert index.discard(name) is (name in names and name not in gone[: gone.index(name)]) or gone.count(name) > 1
    left = set(names) - set(gone)
    assert len(index) == len(left)
    assert sorted(index.select(pattern)) == sorted(name for name in left if matches(pattern, name))


@pytest.mark.parametrize("topic", ["", "a\x00", "a/+", "#", "a#", "\ud800"])
def test_no_topic_name(topic: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check_topic(topic)
    assert refusal.value.field == "topic"


@pytest.mark.parametrize("pattern", ["", "a\x00", "a#", "#/a", "a+/b", "a/#/b", "++", "\udfff"])
def test_no_filter(pattern: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check_filter(pattern)
    assert refusal.value.field == "filter"


def test_limits_count_bytes_and_levels() -> None:
    check_topic("é" * 5, max_bytes=10)
    check_topic("a/b", max_levels=2)
    with pytest.raises(TooLarge):
        check_topic("é" * 6, max_bytes=10)
    with pytest.raises(TooLarge):
        check_filter("a/b/#", max_levels=2)


@given(filters)
def test_generated_filters_are_valid(pattern: str) -> None:
    check_filter(pattern)
