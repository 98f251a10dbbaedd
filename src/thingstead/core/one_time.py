"""One-time tokens: to set a new password without the old one, and to confirm an e-mail address (identity.md 7.5).

Promises: a token works once, for as long as `para.pass_reset_timeout`; the store holds its SHA-256 only; a new one ends
the one before. Sends no mail: the program that asks for a token says how it reaches the person.
"""

from collections.abc import Callable, Mapping

from thingstead.core.audit import Audit
from thingstead.core.objects import Objects
from thingstead.core.passwords import Passwords
from thingstead.core.token_secrets import TokenSecrets
from thingstead.model import passwords as rules
from thingstead.model import users
from thingstead.model.errors import InvalidInput
from thingstead.model.objects import Object
from thingstead.model.ownership import is_identifier
from thingstead.model.settings import Settings
from thingstead.ports.environment import Clock, Entropy


class OneTimeTokens:
    """See the module's docstring. `app` is a bare identifier; identifiers are those of 7.2, e-mail in any case."""

    def __init__(
        self,
        objects: Objects,
        passwords: Passwords,
        secrets: TokenSecrets,
        audit: Audit,
        settings: Settings,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._objects = objects
        self._passwords = passwords
        self._secrets = secrets
        self._audit = audit
        self._settings = settings
        self._clock = clock
        self._entropy = entropy

    async def issue(self, app: str, identifier: str, purpose: rules.Purpose) -> str | None:
        """A new token, `token` to reset a password, `etoken` to confirm an address; None: nobody has the identifier."""
        id = users.normal_identifier(identifier)
        token = rules.one_time(self._entropy.token(rules.ONE_TIME_BYTES))
        kept = rules.kept(token, self._now_ms() + self._settings.pass_reset_timeout * 1000)

        def edit(present: Mapping[str, Object]) -> list[Object]:
            held = present.get(id)
            if held is None or not is_identifier(held):
                return []
            held.custom = {**held.custom, purpose: kept}
            return [held]

        return token if await self._objects.rewrite(app, [id], edit) else None

    async def reset_password(self, app: str, identifier: str, token: str, password: str) -> bool:
        """Set a new password, which ends all tokens and a lock; False if the one-time token does not hold.

        Raises InvalidInput for a password that is too short or too long, which spends nothing; LimitReached.
        """
        if not rules.acceptable(password, self._settings.min_password_length):
            shortest = self._settings.min_password_length
            raise InvalidInput(f"a password has {shortest} to {rules.LONGEST} characters", field="password")
        found = await self._holder(app, identifier, token, rules.RESET)
        if found is None:
            return False
        hash = await self._passwords.hash(password)

        def change(held: Object, user: Object) -> None:
            held.custom = {n: v for n, v in held.custom.items() if n not in (rules.RESET, rules.LOCKED_UNTIL)}
            held.custom[rules.HASH] = hash
            held.hidden.pop(rules.FAILURES, None)
            self._secrets.replace(user)

        done = await self._spend(app, found, token, rules.RESET, change)
        if done:
            self._secrets.ended(app, found[1])
            self._audit.note("password_reset", app, found[1])
        return done

    async def confirm(self, app: str, identifier: str, token: str) -> bool:
        """The address is the person's: the user is active from now on. False if the one-time token does not hold."""
        found = await self._holder(app, identifier, token, rules.CONFIRM)
        if found is None:
            return False

        def change(held: Object, user: Object) -> None:
            held.custom = {n: v for n, v in held.custom.items() if n != rules.CONFIRM}
            user.own["active"] = True
            if user.hidden.get(users.UNVERIFIED) == held.id:
                del user.hidden[users.UNVERIFIED]

        done = await self._spend(app, found, token, rules.CONFIRM, change)
        if done:
            self._audit.note("address_confirmed", app, found[1])
        return done

    async def _holder(self, app: str, identifier: str, token: str, purpose: str) -> tuple[str, str] | None:
        """Ids of the identifier object that a token was made for, and of its user."""
        for held in await self._objects.get_many(app, [users.normal_identifier(identifier)]):
            if is_identifier(held) and held.creatorid and rules.holds(held.custom.get(purpose), token, self._now_ms()):
                return held.id, held.creatorid
        return None

    async def _spend(
        self, app: str, ids: tuple[str, str], token: str, purpose: str, change: Callable[[Object, Object], None]
    ) -> bool:
        """Change an identifier object and its user, if the token still holds when they are written."""

        def edit(present: Mapping[str, Object]) -> list[Object]:
            held, user = present.get(ids[0]), present.get(ids[1])
            if held is None or user is None or user.type != users.TYPE or held.creatorid != user.id:
                return []
            if not rules.holds(held.custom.get(purpose), token, self._now_ms()):
                return []
            change(held, user)
            return [held, user]

        return bool(await self._objects.rewrite(app, ids, edit))

    def _now_ms(self) -> int:
        return self._clock.now() // 1000
