"""Tokens of a provider that stay with a user (identity.md 8.4), sealed in the private bytes of the user's object: apps
may read them (7.1) and nobody else, no search finds them, no archive or webhook holds them."""

from typing import Final

import msgspec

from thingstead.core.sealing import Sealer
from thingstead.model.errors import Unavailable
from thingstead.model.objects import Object
from thingstead.model.users import Delegated
from thingstead.model.values import JsonObject

FIELD: Final = "delegatedTokens"


SHOWN: Final = ("idpAccessToken", "idpRefreshToken", "idpIdToken")
"""Members of a user that show them, as `Delegated` has them."""


class DelegatedTokens:
    """Seals and opens them."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def sealed(self, app: str, user: str, given: Delegated) -> str:
        """What stands in the hidden `FIELD` of a user."""
        return self._sealer.seal(msgspec.json.encode(given).decode(), _owner(app, user))

    def of(self, user: Object) -> Delegated | None:
        """A user's tokens; None: none stay. Raises Unavailable if they were sealed under another key."""
        sealed = user.hidden.get(FIELD)
        if not isinstance(sealed, str):
            return None
        return msgspec.json.decode(self._sealer.open(sealed, _owner(user.app, user.id)), type=Delegated)

    def shown(self, user: Object) -> JsonObject:
        """A user's tokens as an app reads them; nothing if none stay, or if they were sealed under another key."""
        try:
            held = self.of(user)
        except Unavailable:  # the rest of the user can be read all the same
            return {}
        return {} if held is None else {n: v for n, v in zip(SHOWN, msgspec.structs.astuple(held), strict=True) if v}


def _owner(app: str, user: str) -> str:
    return f"{app}/{user}/{FIELD}"
