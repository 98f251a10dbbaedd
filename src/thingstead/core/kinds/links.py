"""Kinds `linker` and `vote`: objects between two others, whose ids follow from these (objects.md 2.2, 7, 8)."""

from thingstead.core.kinds.base import Draft, Kind, Op, Prepared
from thingstead.core.shapes import object_of
from thingstead.model import links, votes
from thingstead.model.errors import Conflict
from thingstead.model.objects import Object
from thingstead.model.principals import Principal
from thingstead.model.values import JsonObject
from thingstead.ports.store import Remove, Store


class LinkerKind(Kind):
    """Kind `linker`: two objects have one link at most, however often and from whichever end they are linked."""

    reads_old = True

    def __init__(self, store: Store) -> None:
        self._store = store

    def new_id(self, body: JsonObject) -> str | None:
        """`type1:id1:type2:id2`."""
        link = links.link_of(body)
        return None if link is None else links.linker_id(links.ordered(*link))

    async def prepare(
        self, op: Op, obj: Object, draft: Draft | None, old: Object | None, body: JsonObject, actor: Principal
    ) -> Prepared:
        """Put the ends in order; the mirror of a link goes. Raises Conflict if the id is that of another link."""
        link = links.link_of(obj.own)
        if op == "patch" or link is None:
            return Prepared()
        link = links.ordered(*link)
        obj.own.update(links.fields(link))
        if not body.get("name"):
            obj.name = links.linker_name(link)
        if obj.id != links.linker_id(link):
            return Prepared()
        if op == "create" and old is not None and not is_link(old, link):
            raise Conflict(f"the id '{obj.id}' belongs to something else", field="id")
        mirrored = links.mirror(link)
        if mirrored is None:
            return Prepared()
        id = links.linker_id(mirrored)
        row = await self._store.objects.get(obj.app, id)
        if row is not None and not is_link(object_of(row), mirrored):
            return Prepared()
        return Prepared(changes=[Remove(obj.app, id, expect=0 if row is None else row.rev)])


class VoteKind(Kind):
    """Kind `vote`."""

    alone = False

    def new_id(self, body: JsonObject) -> str | None:
        """`vote:<voter>:<votee>`."""
        voter, votee = body.get("creatorid"), body.get("parentid")
        named = isinstance(voter, str) and isinstance(votee, str) and voter.strip() and votee.strip()
        return votes.vote_id(str(voter), str(votee)) if named else None


def is_link(obj: Object, link: links.Link) -> bool:
    """True if the object is the linker of these ends."""
    return obj.type == links.LINKER and links.link_of(obj.own) == link
