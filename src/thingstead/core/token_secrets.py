"""The token secret of a user (identity.md 6.1): half of the key of its tokens, sealed in the private bytes of its
object. Whoever replaces it ends all tokens of the user."""

import base64
from collections.abc import Callable
from typing import Final

from thingstead.core.sealing import Sealer
from thingstead.model.objects import Object
from thingstead.ports.environment import Entropy

FIELD: Final = "tokenSecret"
_BYTES: Final = 32


class TokenSecrets:
    """Makes, seals and opens token secrets."""

    def __init__(self, sealer: Sealer, entropy: Entropy) -> None:
        self._sealer = sealer
        self._entropy = entropy
        self._told: list[Callable[[str, str], None]] = []
        self._told_changed: list[Callable[[str, str], None]] = []

    def on_ended(self, told: Callable[[str, str], None]) -> None:
        """Have `told` called with the app and the id of each user whose tokens have ended; it must be quick."""
        self._told.append(told)

    def ended(self, app: str, user: str) -> None:
        """The tokens of a user hold no more: replaced, not active, or gone; that is durable."""
        for told in self._told:
            told(app, user)

    def on_changed(self, told: Callable[[str, str], None]) -> None:
        """Have `told` called with the app and the id of each user whose groups have changed; it must be quick."""
        self._told_changed.append(told)

    def changed(self, app: str, user: str) -> None:
        """The tokens of a user hold, but prove something else now: its groups are others; that is durable."""
        for told in self._told_changed:
            told(app, user)

    def replace(self, user: Object) -> str:
        """Give a user that is about to be written a new secret."""
        secret = base64.b64encode(self._entropy.token(_BYTES)).decode()
        user.hidden[FIELD] = self._sealer.seal(secret, _owner(user))
        return secret

    def of(self, user: Object) -> str:
        """A user's secret; "" if it has none yet. Raises Unavailable if it was sealed under another key."""
        sealed = user.hidden.get(FIELD)
        return self._sealer.open(sealed, _owner(user)) if isinstance(sealed, str) else ""


def _owner(user: Object) -> str:
    return f"{user.app}/{user.id}"
