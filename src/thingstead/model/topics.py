"""Rules of MQTT topics and filters (MQTT 5, 4.7): validity, matching, containment, and two look-up structures.

Promises: `matches`, `covers`, `TopicTree` and `TopicIndex` agree with each other on every valid filter and topic, the
rule of `$` topics (4.7.2) and "a filter `a/#` also means `a`" included. Pure; knows nothing of permissions, sessions
or bytes on a wire.
"""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from thingstead.model.errors import InvalidInput, TooLarge

V = TypeVar("V")

_CACHED_MATCHES = 16_384


def check_topic(topic: str, *, max_bytes: int = 65_535, max_levels: int = 1_000) -> None:
    """Check a topic name. Raises InvalidInput (empty, NUL, surrogate, wildcard) or TooLarge; `field` is `topic`."""
    _check_text(topic, max_bytes, max_levels, "topic")
    if "+" in topic or "#" in topic:
        raise InvalidInput("a topic name holds no wildcards", field="topic")


def check_filter(pattern: str, *, max_bytes: int = 65_535, max_levels: int = 1_000) -> None:
    """Check a topic filter. Raises InvalidInput (also for a misplaced wildcard) or TooLarge; `field` is `filter`."""
    _check_text(pattern, max_bytes, max_levels, "filter")
    levels = pattern.split("/")
    for level in levels:
        if len(level) > 1 and ("+" in level or "#" in level):
            raise InvalidInput("a wildcard fills its whole level", field="filter")
    if "#" in levels[:-1]:
        raise InvalidInput("# stands only at the end", field="filter")


def _check_text(text: str, max_bytes: int, max_levels: int, field: str) -> None:
    if not text:
        raise InvalidInput(f"an empty {field}", field=field)
    if "\x00" in text:
        raise InvalidInput(f"a NUL character in a {field}", field=field)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInput(f"a {field} that is not UTF-8", field=field) from None
    if size > max_bytes:
        raise TooLarge(f"a {field} of more than {max_bytes} bytes", field=field)
    if text.count("/") >= max_levels:
        raise TooLarge(f"a {field} of more than {max_levels} levels", field=field)


def matches(pattern: str, topic: str) -> bool:
    """True if a valid filter matches a valid topic name."""
    if topic[0] == "$" and pattern[0] in "#+":
        return False
    levels = topic.split("/")
    wanted = pattern.split("/")
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i == len(levels) or (level != "+" and level != levels[i]):
            return False
    return len(wanted) == len(levels)


def covers(allowed: str, requested: str) -> bool:
    """True if every topic that the filter `requested` can match is also matched by the filter `allowed`."""
    if requested[0] == "$" and allowed[0] in "#+":
        return False
    have = allowed.split("/")
    # a topic has at least one level: alone, # is +/#
    want = requested.split("/") if requested != "#" else ["+", "#"]
    for i, level in enumerate(have):
        if level == "#":
            return True
        if i == len(want) or want[i] == "#" or (level != "+" and level != want[i]):
            return False
    return len(have) == len(want)


class _Node(Generic[V]):
    """One level of a trie; `values` belong to the filter or topic that ends here."""

    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[V]] = {}
        self.values: dict[Hashable, V] = {}

    def reach(self, levels: list[str]) -> "_Node[V]":
        node = self
        for level in levels:
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        return node

    def prune(self, levels: list[str], key: Hashable) -> bool:
        """Take `key` from the node at `levels` and drop the branches that are left empty."""
        path: list[_Node[V]] = [self]
        for level in levels:
            child = path[-1].children.get(level)
            if child is None:
                return False
            path.append(child)
        if path[-1].values.pop(key, None) is None:
            return False
        for level in reversed(levels):
            node = path.pop()
            if node.values or node.children:
                break
            del path[-1].children[level]
        return True

    def below(self) -> Iterator[V]:
        """The values of this node and of all under it."""
        stack: list[_Node[V]] = [self]
        while stack:
            node = stack.pop()
            yield from node.values.values()
            stack.extend(node.children.values())


class TopicTree(Generic[V]):
    """Filters with values, asked by topic: subscriptions. One value per (filter, key); a value is never None.

    Exact filters are a dict, the others a trie; answers are remembered until the tree changes.
    """

    def __init__(self) -> None:
        self._exact: dict[str, dict[Hashable, V]] = {}
        self._wild: _Node[V] = _Node()
        self._cache: dict[str, tuple[V, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._exact or self._wild.children)

    def add(self, pattern: str, key: Hashable, value: V) -> None:
        """Set the value of `key` at a valid filter."""
        self._cache.clear()
        if _is_wild(pattern):
            self._wild.reach(pattern.split("/")).values[key] = value
        else:
            self._exact.setdefault(pattern, {})[key] = value

    def remove(self, pattern: str, key: Hashable) -> bool:
        """Take the value away; False if there was none."""
        self._cache.clear()
        if _is_wild(pattern):
            return self._wild.prune(pattern.split("/"), key)
        values = self._exact.get(pattern)
        if values is None or values.pop(key, None) is None:
            return False
        if not values:
            del self._exact[pattern]
        return True

    def match(self, topic: str) -> tuple[V, ...]:
        """The values of all filters that match a valid topic name; a key with several such filters appears as often."""
        found = self._cache.get(topic)
        if found is None:
            if len(self._cache) >= _CACHED_MATCHES:
                self._cache.clear()
            exact = self._exact.get(topic)
            found = self._cache[topic] = (*(exact.values() if exact else ()), *self._walk(topic))
        return found

    def _walk(self, topic: str) -> list[V]:
        found: list[V] = []
        nodes = [self._wild]
        hidden = topic[0] == "$"  # 4.7.2: a leading wildcard does not see it
        for level in topic.split("/"):
            following: list[_Node[V]] = []
            for node in nodes:
                children = node.children
                if not hidden:
                    if (child := children.get("#")) is not None:
                        found.extend(child.values.values())
                    if (child := children.get("+")) is not None:
                        following.append(child)
                if (child := children.get(level)) is not None:
                    following.append(child)
            if not following:
                return found
            nodes = following
            hidden = False
        for node in nodes:
            found.extend(node.values.values())
            if (child := node.children.get("#")) is not None:
                found.extend(child.values.values())
        return found


class TopicIndex(Generic[V]):
    """Topics with values, asked by filter: retained messages."""

    def __init__(self) -> None:
        self._values: dict[str, V] = {}
        self._root: _Node[V] = _Node()

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, topic: str) -> bool:
        return topic in self._values

    def set(self, topic: str, value: V) -> None:
        """Set the value of a valid topic name."""
        self._values[topic] = value
        self._root.reach(topic.split("/")).values[topic] = value

    def discard(self, topic: str) -> bool:
        """Take the value away; False if there was none."""
        if self._values.pop(topic, None) is None:
            return False
        return self._root.prune(topic.split("/"), topic)

    def select(self, pattern: str) -> list[V]:
        """The values of all topics that a valid filter matches."""
        if not _is_wild(pattern):
            value = self._values.get(pattern)
            return [] if value is None else [value]
        nodes = [self._root]
        for i, level in enumerate(pattern.split("/")):
            if level == "#":
                if i == 0:
                    nodes = [child for name, child in self._root.children.items() if not name.startswith("$")]
                return [value for node in nodes for value in node.below()]
            if level == "+":
                nodes = [
                    child for node in nodes for name, child in node.children.items() if i or not name.startswith("$")
                ]
            else:
                nodes = [child for node in nodes if (child := node.children.get(level)) is not None]
        return [value for node in nodes for value in node.values.values()]


def _is_wild(pattern: str) -> bool:
    return "+" in pattern or "#" in pattern
