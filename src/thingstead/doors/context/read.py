"""Entities as views over shadows (doors.md 14-16): finding them, joining those that share an identity, paging."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from thingstead.core.agents import Agents
from thingstead.core.things import Things
from thingstead.model.agent.mapping import Static
from thingstead.model.ngsi import Scope, Shown, shown_name
from thingstead.model.paths import escape, join
from thingstead.model.shadow import Shadow, walk
from thingstead.model.values import is_object

_PAGE: Final = 1000


class Identity(NamedTuple):
    """What names an entity within a tenant."""

    path: str
    type: str
    id: str


class Part(NamedTuple):
    """One thing (or object of type `entity`) that shows an entity."""

    position: int
    thing: str
    shadow: Shadow


class Entity(msgspec.Struct, frozen=True):
    """An entity: one part as a rule, several where things share an identity."""

    identity: Identity
    parts: tuple[Part, ...]


class Wanted(msgspec.Struct, frozen=True):
    """Which entities a request means; empty lists mean all."""

    scope: Scope
    ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


class Entities:
    """Reads of one backend."""

    def __init__(self, things: Things, agents: Agents) -> None:
        self._things = things
        self._agents = agents

    async def find(self, app: str, wanted: Wanted) -> list[Entity]:
        """All entities of the wanted ids, in order of creation."""
        found: dict[Identity, list[Part]] = {}
        async for part in self._parts(app, wanted):
            found.setdefault(identity_of(part.shadow), []).append(part)
        return [Entity(identity, tuple(parts)) for identity, parts in found.items()]

    async def page(self, app: str, wanted: Wanted, *, limit: int, offset: int, count: bool) -> tuple[list[Entity], int]:
        """A page of entities in order of creation and, if asked for, how many there are in all."""
        if wanted.ids:
            found = await self.find(app, wanted)
            return found[offset : offset + limit], len(found)
        seen: set[Identity] = set()
        chosen: list[Identity] = []
        async for part in self._parts(app, wanted):
            identity = identity_of(part.shadow)
            if identity in seen:
                continue
            if len(seen) >= offset and len(chosen) < limit:
                chosen.append(identity)
            seen.add(identity)
            if len(chosen) == limit and not count:
                break
        entities: list[Entity] = []
        for identity in chosen:  # a part may have been made much later than the entity's first
            parts = await self._things.entities(app, id=identity.id, type=identity.type, path=identity.path)
            entities.append(Entity(identity, tuple(Part(*part) for part in parts)))
        return [entity for entity in entities if entity.parts], len(seen)

    async def shown(self, app: str, entities: Sequence[Entity]) -> list[dict[str, Shown]]:
        """The attributes of each entity: of things that share it the newest, and static ones besides."""
        shadows = {part.thing: part.shadow for entity in entities for part in entity.parts}
        statics = await self._agents.statics(app, shadows)
        return [_joined(entity.parts, statics) for entity in entities]

    async def _parts(self, app: str, wanted: Wanted) -> AsyncIterator[Part]:
        queries: Iterable[tuple[str | None, str | None]]
        if wanted.ids:
            queries = [(id, None) for id in dict.fromkeys(wanted.ids)]
        else:
            queries = [(None, wanted.types[0] if len(wanted.types) == 1 else None)]
        if len(wanted.ids) > 1:
            found = [part for id, type_name in queries async for part in self._scan(app, wanted, id, type_name)]
            for part in sorted(found, key=lambda part: part.position):
                yield part
            return
        for id, type_name in queries:
            async for part in self._scan(app, wanted, id, type_name):
                yield part

    async def _scan(self, app: str, wanted: Wanted, id: str | None, type_name: str | None) -> AsyncIterator[Part]:
        after = 0
        while True:
            rows = await self._things.entities(app, id=id, type=type_name, after=after, limit=_PAGE)
            for row in rows:
                shadow = row[2]
                if wanted.scope.covers(shadow.entity_path) and (not wanted.types or shadow.entity_type in wanted.types):
                    yield Part(*row)
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]


def identity_of(shadow: Shadow) -> Identity:
    """The identity that a shadow's entity has."""
    return Identity(shadow.entity_path, shadow.entity_type, shadow.entity_id)


def _joined(parts: Sequence[Part], statics: Mapping[str, Mapping[str, Static]]) -> dict[str, Shown]:
    out: dict[str, Shown] = {}
    for part in parts:
        shadow = part.shadow
        for name, value in shadow.reported.items():
            shown = Shown(value, shadow.attributes.get(name), _state_at(shadow, name))
            label = shown_name(name)
            known = out.get(label)
            if known is None or shown.at >= known.at:
                out[label] = shown
    for part in parts:
        for name, static in statics.get(part.thing, {}).items():
            out[shown_name(name)] = Shown(static.value, static.attribute)
    return out


def _state_at(shadow: Shadow, name: str) -> int:
    """When a top-level value was set: the newest of its leaves."""
    leaf = shadow.leaves.get(escape(name))
    if leaf is not None:
        return leaf.state_at
    value = shadow.reported[name]
    if not is_object(value):
        return shadow.updated
    times = [shadow.leaves[path].state_at for path, _ in walk(value, join("", name)) if path in shadow.leaves]
    return max(times, default=shadow.updated)
