"""Tokens of a provider that stay with a user (identity.md 8.4), sealed in the private bytes of the user's object: no
door shows them, no search finds them, no archive holds them."""

from typing import Final

import msgspec

from thingstead.core.sealing import Sealer
from thingstead.model.objects import Object
from thingstead.model.users import Delegated

FIELD: Final = "delegatedTokens"


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


def _owner(app: str, user: str) -> str:
    return f"{app}/{user}/{FIELD}"
