"""What a client of the MQTT endpoint may publish and subscribe to (things.md 6.4, doors.md 31). Pure; denies by
default.

Promises: a device reaches its own topics only; answers of the server (`.../accepted`, `/rejected`, `/delta`,
`/documents`) cannot be published; a filter is granted only if every topic it can match is. A name that is no plain
topic level (empty, with `/`, `+`, `#` or NUL) grants nothing, so that a kit id or an apikey of `+` opens no door. Named
shadows are not served yet: publishing to their topics is refused.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from thingstead.model.topics import covers, matches

RESERVED_KEYS: Final = frozenset({"things", "kit", "devices", "json", "ul"})
"""What no apikey may be: the first levels of other topics (doors.md 31)."""

_NO_LEVEL: Final = frozenset("/+#\x00")
_PROTOCOLS: Final = ("json", "ul")
_KIT_UP: Final = ("measurement/raw", "measurement/aggregate", "media", "server-rpc/request", "kit-rpc/response")
_KIT_DOWN: Final = ("server-rpc/response", "kit-rpc/request")


class Rights(msgspec.Struct, frozen=True):
    """Two questions about a valid topic name and a valid filter; pure, and quick enough to ask once per topic."""

    publish: Callable[[str], bool]
    subscribe: Callable[[str], bool]


def cloud_id(app: str, thing: str) -> str:
    """The name of a thing at the Local broker, as at AWS (things.md 1.1)."""
    return f"{app}-{thing}"


def is_level(name: str) -> bool:
    """True if a name can stand as one level of a topic."""
    return bool(name) and _NO_LEVEL.isdisjoint(name)


def device_rights(name: str, kit: str | None = None) -> Rights:
    """Rights of the thing whose cloud id is `name`, and whose kit id is `kit`."""
    publish: list[str] = []
    subscribe: list[str] = []
    if is_level(name):
        publish += [f"$aws/things/{name}/shadow/{verb}" for verb in ("get", "update", "delete")]
        publish.append(f"things/{name}/#")
        subscribe += [f"$aws/things/{name}/shadow/#", f"things/{name}/#"]
    if kit is not None and is_level(kit):
        publish += [f"kit/{kit}/{rest}" for rest in _KIT_UP]
        subscribe += [f"kit/{kit}/{rest}" for rest in _KIT_DOWN]
    return Rights(
        lambda topic: any(matches(pattern, topic) for pattern in publish),
        lambda requested: any(covers(pattern, requested) for pattern in subscribe),
    )


def agent_rights(apikey: str | None, device: str | None = None) -> Rights:
    """Rights on the agent's topics (agent.md 13.5) of whoever shows `apikey`; of the one device if `device` is given.

    With `apikey=None` the key stands in the topic itself (a client on loopback): a filter must then spell it out, too.
    """

    def may(levels: tuple[str, str] | None) -> bool:
        if levels is None:
            return False
        key, name = levels
        known = is_level(key) if apikey is None else key == apikey and is_level(key)
        return known and key not in RESERVED_KEYS and (device is None or (name == device and is_level(name)))

    return Rights(lambda topic: may(_agent_up(topic)), lambda requested: may(_agent_down(requested)))


def either(first: Rights, second: Rights) -> Rights:
    """What one of two grants. A filter must lie within one of them."""
    return Rights(
        lambda topic: first.publish(topic) or second.publish(topic),
        lambda requested: first.subscribe(requested) or second.subscribe(requested),
    )


class Reach(msgspec.Struct, frozen=True):
    """What a user or an app may do with one thing."""

    read: bool
    write: bool


def thing_named(topic: str) -> str:
    """The cloud id that a topic or filter below a thing spells out; "" if it spells out none.

    >>> thing_named("$aws/things/shop-t1/shadow/#"), thing_named("things/+/data")
    ('shop-t1', '')
    """
    levels = topic.split("/", 3)
    at = 2 if levels[0] == "$aws" else 1
    if len(levels) <= at or levels[at - 1] != "things" or not is_level(levels[at]):
        return ""
    return levels[at]


def people_rights(reached: Mapping[str, Reach]) -> Rights:
    """Rights of users and apps, who reach some things, by cloud id: they read a thing's topics and ask for its shadow
    where they may read, and update it where they may write (things.md 6.4)."""

    def publish(topic: str) -> bool:
        name = thing_named(topic)
        reach = reached.get(name)
        return reach is not None and (
            (reach.read and topic == f"$aws/things/{name}/shadow/get")
            or (reach.write and topic == f"$aws/things/{name}/shadow/update")
        )

    def subscribe(requested: str) -> bool:
        name = thing_named(requested)
        reach = reached.get(name)
        return reach is not None and reach.read and device_rights(name).subscribe(requested)

    return Rights(publish, subscribe)


def _agent_up(topic: str) -> tuple[str, str] | None:
    """(apikey, device) of a topic on which devices report to the agent."""
    if topic.startswith("$"):
        return None
    levels = topic.removeprefix("/").split("/")
    if levels[0] in _PROTOCOLS and len(levels) > 3:
        levels = levels[1:]
    if len(levels) < 3:
        return None
    rest = levels[2:]
    if rest in (["attrs"], ["cmdexe"], ["configuration", "commands"]) or (len(rest) == 2 and rest[0] == "attrs"):
        return levels[0], levels[1]
    return None


def _agent_down(requested: str) -> tuple[str, str] | None:
    """(apikey, device) of a filter of topics on which the agent speaks to devices; the device may be `+`."""
    if requested.startswith("$"):
        return None
    levels = requested.removeprefix("/").split("/")
    if levels[2:] in (["cmd"], ["configuration", "values"]):
        return levels[0], levels[1]
    return None
