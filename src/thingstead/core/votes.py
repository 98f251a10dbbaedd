"""Votes: one voter raises or lowers an object's `votes` by one (objects.md 8; the rule is `model.votes`).

Promises: the object's count and the vote object change in one transaction, so that neither is ever without the other,
and voters who come at once all count. Deleting a vote object later does not change the count.
"""

import asyncio
from weakref import WeakValueDictionary

from thingstead.core.kinds.base import Draft
from thingstead.core.objects import Objects, Pair
from thingstead.model import types
from thingstead.model import votes as rules
from thingstead.model.errors import Conflict
from thingstead.model.objects import Object
from thingstead.model.principals import Principal
from thingstead.model.values import JsonObject
from thingstead.model.votes import Ballot
from thingstead.ports.environment import Clock


class Votes:
    """See the module's docstring."""

    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock
        # Voters for one object take turns; each would else be computed again for every one that comes before it.
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def vote(self, app: str, id: str, cast: Ballot, actor: Principal) -> bool:
        """True if it counted. Raises NotFound; Conflict if an id with colons makes two votes look alike."""
        vote = rules.vote_id(cast.voter, id)

        def decide(votee: Object, saved: Object | None) -> Pair | None:
            if not rules.may_vote(cast.voter, votee):
                return None
            if saved is not None and (saved.type, saved.parentid or id) != (types.VOTE, id):
                raise Conflict(f"the id '{vote}' belongs to something else", field="id")
            decision = rules.decide(saved, cast.up, self._clock.now() // 1000)
            if decision == "refuse":
                return None
            body: JsonObject = {"votes": votee.votes + (1 if cast.up else -1)}
            draft = Draft(type=types.VOTE, id=vote, body=rules.body_of(cast, id)) if decision == "save" else None
            return Pair(body, draft)

        turn = self._turns.setdefault((app, id), asyncio.Lock())
        async with turn:
            return await self._objects.patch_pair(app, id, vote, decide, actor)
