"""Users of one app, as a program works with them: sign-ins, new passwords, confirmed addresses (identity.md 6-8).

Users themselves are objects of type `user` (`app.dao`); what needs their secrets is here.
"""

from typing import TYPE_CHECKING

from thingstead.embed.entities import Object
from thingstead.model.passwords import CONFIRM, RESET
from thingstead.model.values import parse_object

if TYPE_CHECKING:
    from thingstead.embed.app import App


class Users:
    """See the module's docstring. Identifiers are e-mail addresses, or texts with a provider's prefix: `gh:42`."""

    def __init__(self, app: "App") -> None:
        self._app = app

    async def find(self, identifier: str) -> Object | None:
        """The user who has an identifier."""
        found = await self._app.backend.users.find(self._app.identifier, identifier)
        return None if found is None else self._app.made(parse_object(found.public()))

    async def sign_in(self, provider: str, token: str) -> tuple[Object, str]:
        """The user whom a provider's token speaks for, and a new token of ours. Raises SignInFailed, LimitReached."""
        backend = self._app.backend
        tenant = await backend.tenants.get(self._app.identifier)
        signed_in = await backend.signin.with_token(tenant, provider, token)
        return self._app.made(parse_object(signed_in.public)), signed_in.token

    async def password_reset_token(self, identifier: str) -> str | None:
        """A token to send to the person, which sets a new password once; None: nobody has the identifier."""
        return await self._app.backend.one_time.issue(self._app.identifier, identifier, RESET)

    async def reset_password(self, identifier: str, token: str, password: str) -> bool:
        """Set a new password; False if the token does not hold. Raises InvalidInput for a bad password."""
        return await self._app.backend.one_time.reset_password(self._app.identifier, identifier, token, password)

    async def confirmation_token(self, identifier: str) -> str | None:
        """A token to send to an e-mail address, which confirms it once; None: nobody has the identifier."""
        return await self._app.backend.one_time.issue(self._app.identifier, identifier, CONFIRM)

    async def confirm(self, identifier: str, token: str) -> bool:
        """The address is the person's: the user is active from now on; False if the token does not hold."""
        return await self._app.backend.one_time.confirm(self._app.identifier, identifier, token)
