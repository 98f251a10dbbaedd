"""The provider `passwordless`: a login server of the app's own says who somebody is, and so do our ID tokens
(identity.md 6.5, 8.7).
"""

from typing import Final

from thingstead.core.signin.provider import failed
from thingstead.core.tenants import App, Tenants
from thingstead.core.token_secrets import TokenSecrets
from thingstead.core.users import Users
from thingstead.model import tokens, users
from thingstead.model.errors import InvalidToken
from thingstead.model.tokens import Person
from thingstead.model.users import Profile
from thingstead.ports.environment import Clock

KEY: Final = "app_secret_key"


class Passwordless:
    """The token is a JWT."""

    def __init__(self, users: Users, tenants: Tenants, secrets: TokenSecrets, clock: Clock) -> None:
        self._users = users
        self._tenants = tenants
        self._secrets = secrets
        self._clock = clock

    async def prove(self, app: App, token: str) -> Profile:
        """Who the token speaks for. Raises SignInFailed."""
        try:
            unverified = tokens.peek_person(token)
        except InvalidToken:
            raise failed("no_token") from None
        identifier = (unverified.identifier or "").strip()
        if not identifier:
            raise failed("no_identifier")
        known = await self._users.find(app.identifier, identifier)
        key = self._tenants.option(app, KEY)
        own = key if isinstance(key, str) and len(key) >= tokens.MIN_KEY else ""
        person = _verified(token, own or app.secret) if own or not key else None
        trusted, proof = person is not None, ""
        if person is None and known is not None and (secret := self._secrets.of(known)):
            person, proof = _verified(token, app.secret + secret), secret
        if person is None:
            raise failed("bad_token")
        try:
            tokens.check_time(person, self._clock.now() / 1_000_000)
        except InvalidToken:
            raise failed("expired") from None
        groups = person.groups if trusted and known is None and person.groups in users.ROLES else None
        return Profile(
            identifier=identifier,
            email=person.email or "",
            email_proven=trusted,
            name=person.name or "",
            picture=person.picture or "",
            groups=groups,
            registers=trusted,
            token_secret=proof,
        )


def _verified(token: str, key: str) -> Person | None:
    try:
        return tokens.verify_person(token, key)
    except InvalidToken:
        return None
