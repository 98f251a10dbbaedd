"""What users and apps reach of things over MQTT (things.md 6.4; doors.md 26): the topics of those they may read, and
`.../shadow/update` of those they may write.

Promises: the decision is that of `/v1/things/{id}/shadow`, `OWN` included; a topic names a thing by its cloud id, which
is looked up, never taken apart; a thing that is not there and one that may not be reached look the same. Nothing is
remembered from one question to the next: a change of rights holds from the next message on. A token, and an app's
secret, must still hold at each question; of a user who showed a password, the user must still be active.
"""

from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Final

import msgspec

from thingstead.core.backend import Backend
from thingstead.core.tenants import App
from thingstead.model.errors import Forbidden, LimitReached, NotFound, ThingsteadError, Unauthenticated
from thingstead.model.grants import Reach, people_rights, thing_named
from thingstead.model.principals import Principal
from thingstead.model.rights import Right
from thingstead.ports.store import Key
from thingstead.transports.mqtt.reasons import ConnectRefused, Reason

KINDS: Final = frozenset({"user", "app"})
_ATTEMPTS: Final = 5
_THINGS: Final = 1_000  # that one question may be about; further ones are refused

Prove = Callable[[], Awaitable[Principal]]
"""Proves who connects, and again later that it still is so."""


class Asker(msgspec.Struct, frozen=True):
    """A user or an app as it is now, and its tenant."""

    tenant: App
    principal: Principal


class Reached(msgspec.Struct, frozen=True):
    """A thing, and what may be done with it."""

    thing: str
    reach: Reach


class People:
    """See the module's docstring."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._changes = 0
        backend.tenants.watch(self._app_changed)
        backend.token_secrets.on_ended(self._user_changed)
        backend.token_secrets.on_changed(self._user_changed)

    @property
    def changes(self) -> int:
        """Grows whenever rights of somebody change: what was found while it grew must be looked at again."""
        return self._changes + self._backend.things.revocations

    def _app_changed(self, _app: str) -> None:
        self._changes += 1

    def _user_changed(self, _app: str, _user: str) -> None:
        self._changes += 1

    async def asker(self, principal: Principal) -> Asker:
        """A user or an app as it is now. Raises Unauthenticated, Forbidden, AppNotFound."""
        backend = self._backend
        principal = await backend.identity.still(principal)
        return Asker(await backend.tenants.get(principal.app), principal)

    async def reached(self, asker: Asker, name: str) -> Reached | None:
        """What somebody may do with the thing of a cloud id; None if that is nothing."""
        backend, tenant, principal = self._backend, asker.tenant, asker.principal
        thing = await backend.objects.find(Key("cloud", name))
        scope = tenant.scope(principal)
        if thing is None or thing.type != "thing" or thing.app != principal.app:
            return None
        if scope is not None and not scope.sees(thing):
            return None
        path = ("thing", thing.id, "shadow")
        read = (await backend.access.decide(principal, tenant, Right("GET", path))).allowed
        write = not tenant.read_only and (await backend.access.decide(principal, tenant, Right("POST", path))).allowed
        return Reached(thing.id, Reach(read, write)) if read or write else None


class PeoplesRights:
    """The rights of one connection; `publish` and `subscribe` answer about what was prepared last."""

    def __init__(self, people: People, principal: Principal, prove: Prove, since: int) -> None:
        self._people = people
        self._principal = principal
        self._prove = prove
        self._since: int | None = since  # `changes` before the proof, until the connection is open
        self._rights = people_rights({})

    def publish(self, topic: str) -> bool:
        """May it publish to this topic?"""
        return self._rights.publish(topic)

    def subscribe(self, requested: str) -> bool:
        """May it see every topic that this filter can match?"""
        return self._rights.subscribe(requested)

    async def prepare(self, names: Sequence[str]) -> None:
        """Look up what `publish` and `subscribe` will be asked about. Raises ConnectRefused."""
        people = self._people
        for _ in range(_ATTEMPTS):
            before = people.changes
            if self._since not in (None, before):
                break  # it was let in by what may not hold any more
            reached: dict[str, Reach] = {}
            try:
                asker = await people.asker(await self._prove())
                for thing in islice({name for name in map(thing_named, names) if name}, _THINGS):
                    found = await people.reached(asker, thing)
                    if found is not None:
                        reached[thing] = found.reach
            except (Unauthenticated, Forbidden, NotFound) as error:
                raise refused(Reason.NOT_AUTHORIZED, error) from None
            if people.changes == before and asker.principal.id == self._principal.id:
                self._since = None
                self._rights = people_rights(reached)
                return
        raise ConnectRefused(Reason.SERVER_BUSY, "credentials are being changed")


async def proven(prove: Prove) -> Principal:
    """Who somebody is. Raises ConnectRefused."""
    try:
        return await prove()
    except Unauthenticated as error:
        raise refused(Reason.BAD_CREDENTIALS, error) from None
    except LimitReached as error:
        raise refused(Reason.SERVER_BUSY, error) from None
    except (Forbidden, NotFound) as error:
        raise refused(Reason.NOT_AUTHORIZED, error) from None


def refused(reason: Reason, error: ThingsteadError, **details: str) -> ConnectRefused:
    """A refusal with the details of its cause, and others, for the audit trail."""
    refusal = ConnectRefused(reason, error.message)
    refusal.details = {**error.details, **details}
    return refusal
