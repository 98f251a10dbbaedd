"""The provider `password`, also called `generic`: an e-mail address and a password (identity.md 7.4, 8.8).

Unlike the others it makes users itself: who is not known is registered, with a password that no profile can carry.
"""

from thingstead.core.signin.provider import failed
from thingstead.core.tenants import App
from thingstead.core.users import Users
from thingstead.model.passwords import parse_token
from thingstead.model.users import Profile


class Password:
    """The token is `email:name:password`. `registers` False: who is not known is refused, as on the sign-in page."""

    def __init__(self, users: Users, *, registers: bool = True) -> None:
        self._users = users
        self._registers = registers

    async def prove(self, app: App, token: str) -> Profile:
        """Whose password it is. Raises SignInFailed, LimitReached."""
        given = parse_token(token)
        if given is None:
            raise failed("blank")
        identifier = await self._users.with_password(app, given, register=self._registers)
        return Profile(identifier=identifier, registers=False)
