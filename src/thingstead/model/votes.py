"""Votes: what a request to vote says, and what becomes of it (objects.md 8). Pure; times are ms, periods seconds."""

from typing import Final, Literal

import msgspec

from thingstead.model import ids, types
from thingstead.model.coercion import integer_of
from thingstead.model.errors import ConstraintViolation
from thingstead.model.objects import Object
from thingstead.model.values import Json, JsonObject

UP: Final = "_voteup"
DOWN: Final = "_votedown"
LOCKED: Final = "_vote_locked_after"
EXPIRES: Final = "_vote_expires_after"
_MOST_SECONDS: Final = 10**12

Decision = Literal["save", "undo", "refuse"]


class Ballot(msgspec.Struct, frozen=True):
    """A request to vote. `voter` may be blank: then it is refused."""

    voter: str
    up: bool
    locked_after: int
    expires_after: int

    @property
    def value(self) -> str:
        """`up` or `down`, as the vote object says it."""
        return "up" if self.up else "down"


def is_ballot(body: JsonObject) -> bool:
    """True if the body of a PATCH is a request to vote."""
    return UP in body or DOWN in body


def ballot(body: JsonObject, *, locked_after: int, expires_after: int) -> Ballot:
    """The request in a body; the periods are the defaults. Raises ConstraintViolation."""
    name = UP if body.get(UP) is not None else DOWN
    voter = body.get(name)
    if voter is None:
        voter = ""
    elif isinstance(voter, int) and not isinstance(voter, bool):
        voter = str(voter)
    if not isinstance(voter, str):
        raise ConstraintViolation(f"'{name}' must be the id of the voter", field=name)
    locked = _seconds(body.get(LOCKED), LOCKED, locked_after)
    return Ballot(voter, name == UP, locked, _seconds(body.get(EXPIRES), EXPIRES, expires_after))


def _seconds(value: Json, name: str, default: int) -> int:
    if value is None:
        return default
    text = value.strip() if isinstance(value, str) else ""
    if text.isascii() and text.isdecimal() and len(text) < 20:
        value = int(text)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_SECONDS:
        raise ConstraintViolation(f"'{name}' must be a whole number of seconds", field=name)
    return value


def vote_id(voter: str, votee: str) -> str:
    """`vote:<voter>:<votee>`. Ids with colons may give two votes one id: compare the object's members, too."""
    return ids.SEPARATOR.join((types.VOTE, voter, votee))


def may_vote(voter: str, votee: Object) -> bool:
    """Not nobody, not the object itself, not its creator. Votes count none, and apps are not their tenant's own."""
    known = bool(voter.strip()) and voter not in (votee.id, votee.creatorid)
    return known and votee.type not in (types.VOTE, "app")


def decide(saved: Object | None, up: bool, now_ms: int) -> Decision:
    """What a vote does, given the saved one of the same voter: save it, undo the saved one, or nothing at all."""
    if saved is None:
        return "save"
    expires_after = integer_of(saved.own.get("expiresAfter"))
    if expires_after and now_ms >= saved.timestamp + expires_after * 1000:
        return "save"
    locked_after = integer_of(saved.own.get("lockedAfter"))
    changed = (saved.own.get("value") == "up") is not up
    return "undo" if changed and now_ms < saved.timestamp + locked_after * 1000 else "refuse"


def body_of(cast: Ballot, votee: str) -> JsonObject:
    """The members of the vote object."""
    return {
        "creatorid": cast.voter,
        "parentid": votee,
        "value": cast.value,
        "lockedAfter": cast.locked_after,
        "expiresAfter": cast.expires_after,
    }
