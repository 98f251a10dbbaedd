"""Users: who has an identifier, who is made or updated by a sign-in, and passwords (identity.md 7, 8.1, 8.8).

Promises: an account is joined to another by e-mail only if both proved it; wrong passwords are counted one at a time,
so that no more than the limit are ever checked; whatever fails looks and lasts the same to the caller, and the
reason stands in the error's details. Does not issue tokens: that is core/signin.
"""

import hmac
from collections.abc import AsyncIterator, Mapping
from typing import Final

from cachebox import LRUCache

from thingstead.core.audit import Audit
from thingstead.core.delegated import FIELD as DELEGATED
from thingstead.core.delegated import DelegatedTokens
from thingstead.core.kinds.user import identifier_object
from thingstead.core.objects import Draft, Objects
from thingstead.core.passwords import Passwords
from thingstead.core.search import Search
from thingstead.core.signin.provider import failed
from thingstead.core.tenants import App
from thingstead.core.token_secrets import TokenSecrets
from thingstead.core.turns import Turns
from thingstead.model import passwords as rules
from thingstead.model import pictures, users
from thingstead.model.coercion import flag_of
from thingstead.model.constraints import is_email
from thingstead.model.errors import Conflict, InvalidInput, NotFound, Unavailable
from thingstead.model.objects import Object
from thingstead.model.ownership import is_identifier
from thingstead.model.principals import Principal
from thingstead.model.query import ast
from thingstead.model.query.build import Find, Pager
from thingstead.model.query.sort import SortBy
from thingstead.model.settings import Settings
from thingstead.model.users import Delegated, Picture, Profile
from thingstead.model.values import JsonObject, dump, parse_object
from thingstead.ports.environment import Clock, Entropy, Ids
from thingstead.ports.files import Files

DELEGATING: Final = b'"identityProvider":"oauth2"'
"""In the public bytes of each user with whom a provider's tokens may stay: only generic ones delegate."""

_ALIKE = 20  # users of one address that are looked at
_MOST_KNOWN = 1_000


class Users:
    """See the module's docstring."""

    def __init__(
        self,
        objects: Objects,
        search: Search,
        passwords: Passwords,
        secrets: TokenSecrets,
        delegated: DelegatedTokens,
        files: Files,
        audit: Audit,
        settings: Settings,
        clock: Clock,
        ids: Ids,
        entropy: Entropy,
    ) -> None:
        self._objects = objects
        self._search = search
        self._passwords = passwords
        self._secrets = secrets
        self._delegated = delegated
        self._files = files
        self._audit = audit
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._entropy = entropy
        self._turns = Turns()
        self._pepper = entropy.token(32)
        self._known: LRUCache[bytes, str | None] = LRUCache(
            _MOST_KNOWN
        )  # keyed hash of a right password -> its bcrypt hash

    # --- who it is

    async def find(self, app: str, identifier: str) -> Object | None:
        """The user who has an identifier; None: nobody has."""
        found = await self._identified(app, identifier)
        return None if found is None else found[1]

    async def _identified(self, app: str, identifier: str) -> tuple[Object, Object] | None:
        """The identifier object and its user."""
        for held in await self._objects.get_many(app, [users.normal_identifier(identifier)]):
            if is_identifier(held) and held.creatorid:
                for user in await self._objects.get_many(app, [held.creatorid]):
                    if user.type == users.TYPE:
                        return held, user
        return None

    async def _of_address(self, app: str, email: str) -> list[Object]:
        """Users of an e-mail address, the oldest first."""
        find = Find(ast.Equals("email", (email,)), users.TYPE, Pager(limit=_ALIKE, sort=(SortBy("timestamp", False),)))
        return await self._objects.get_many(app, (await self._search.find(app, find)).ids)

    # --- from a profile

    async def signed_in(self, app: App, profile: Profile) -> Object:
        """The active user of a profile that a provider has proven: found, joined by a proven e-mail, or made.

        Raises SignInFailed.
        """
        user: Object | None = None
        for identifier in (profile.identifier, *profile.also):
            user = user or await self.find(app.identifier, identifier)
        email = _address(profile.email)
        if user is None and profile.email_proven and email:
            for other in await self._of_address(app.identifier, email):
                if other.hidden.get(users.UNVERIFIED) != email and other.own.get("active") is True:
                    user = other
                    break
        if user is None:
            return await self._made(app, profile, email)
        if user.own.get("active") is not True:
            raise failed("inactive")
        return await self._updated(app, user, profile, email)

    async def _made(self, app: App, profile: Profile, email: str) -> Object:
        if not profile.registers:
            raise failed("unknown_user")
        id = str(self._ids.next())
        picture = await self._picture(app, id, profile.avatar) or profile.picture.partition("?")[0]
        body: JsonObject = {
            "identifier": profile.identifier,
            "email": email or _address(profile.fallback) or f"{id}@{profile.domain}",
            "name": users.clean_name(profile.name) or profile.no_name,
            "active": True,
            "groups": profile.groups or users.USERS,
            "picture": picture,
        }
        hidden: JsonObject = {} if profile.email_proven or not email else {users.UNVERIFIED: email}
        if profile.delegated is not None:
            hidden[DELEGATED] = self._delegated.sealed(app.identifier, id, profile.delegated)
        return await self._create(app, id, body, {**hidden, rules.HASH: self._unknown_hash()})

    async def _create(self, app: App, id: str, body: JsonObject, hidden: JsonObject) -> Object:
        if app.read_only:
            raise failed("read_only")
        draft = Draft(type=users.TYPE, id=id, body=body, hidden=hidden)
        try:
            made = await self._objects.create(app.identifier, draft, _itself(app))
        except (InvalidInput, Conflict) as error:
            raise failed(f"refused_{error.code}") from error
        return made.object

    async def _updated(self, app: App, user: Object, profile: Profile, email: str) -> Object:
        identifier = users.normal_identifier(profile.identifier)
        picture = await self._picture(app, user.id, profile.avatar) or profile.picture
        changes: JsonObject = {"identifier": identifier, "identityProvider": users.provider_of(identifier)}
        if picture:
            changes["picture"] = picture
        if email:
            changes["email"] = email
        if profile.groups:
            changes["groups"] = profile.groups
        name = users.clean_name(profile.name)

        def edit(present: Mapping[str, Object]) -> list[Object]:
            there, held = present.get(user.id), present.get(identifier)
            if there is None or there.type != users.TYPE:
                raise failed("gone")
            written: list[Object] = []
            if held is None or not is_identifier(held):
                if held is not None:
                    raise failed("identifier_taken")
                written.append(self._identifier(app.identifier, identifier, user.id, self._unknown_hash()))
            elif held.creatorid != user.id:
                raise failed("identifier_taken")
            before = (dict(there.own), there.name, dict(there.hidden))
            there.own.update(changes)
            there.name = name or there.name
            if email and profile.email_proven:
                there.hidden.pop(users.UNVERIFIED, None)
            elif email and email != before[0].get("email"):
                there.hidden[users.UNVERIFIED] = email
            there.hidden.pop(DELEGATED, None)  # of the provider before
            if profile.delegated is not None:
                there.hidden[DELEGATED] = self._delegated.sealed(app.identifier, user.id, profile.delegated)
            if (there.own, there.name, there.hidden) != before:
                written.append(there)
            return written

        for obj in await self._objects.rewrite(app.identifier, [user.id, identifier], edit):
            if obj.id == user.id:
                return obj
        return await self._objects.get(app.identifier, user.id)

    def _identifier(self, app: str, identifier: str, user: str, hash: str) -> Object:
        now_ms = self._now_ms()
        properties: JsonObject = {rules.HASH: hash}
        return identifier_object(app, identifier, user, properties, now_ms=now_ms, docid=self._ids.next())

    def _unknown_hash(self) -> str:
        return rules.unknown_hash(self._entropy.token(rules.UNKNOWN_BYTES))

    async def _picture(self, app: App, user: str, avatar: Picture | None) -> str:
        """Where a picture that a provider handed over is kept; "" if it is none or could not be kept."""
        if avatar is None or avatar.subtype not in users.PICTURES or len(avatar.data) > pictures.MOST:
            return ""
        try:
            return await self._files.store(f"{app.identifier}/{user}.{avatar.subtype}", _once(avatar.data)) or ""
        except (Unavailable, InvalidInput):
            return ""

    # --- passwords

    async def with_password(self, app: App, given: rules.Given, *, register: bool) -> str:
        """The identifier of the user whose password that is; who is not known becomes a user, if `register`.

        Raises SignInFailed, which says nothing to the caller; LimitReached.
        """
        async with self._turns.of((app.identifier, given.email)):
            found = await self._identified(app.identifier, given.email)
            if found is not None:
                await self._check(app, *found, given.password)
            elif register:
                await self._register(app, given)
            else:
                await self._passwords.check(given.password, "")
                raise failed("unknown_user")
        return given.email

    async def user_of(self, app: App, identifier: str, password: str) -> Object:
        """The active user of an identifier and its password, for callers that show them at each request (HTTP Basic).

        A password that was right lately, and has not changed since, is known again without hashing it. Raises
        SignInFailed, LimitReached.
        """
        identifier = users.normal_identifier(identifier)
        shown = hmac.digest(self._pepper, "\0".join((app.identifier, identifier, password)).encode(), "sha256")
        found = await self._identified(app.identifier, identifier)
        if found is None or not self._is_known(found[0], shown):
            async with self._turns.of((app.identifier, identifier)):
                found = await self._identified(app.identifier, identifier)
                if found is None or not password.strip():
                    await self._passwords.check(password, "")
                    raise failed("unknown_user")
                await self._check(app, *found, password)
                self._known[shown] = str(found[0].custom.get(rules.HASH))
        if found[1].own.get("active") is not True:
            raise failed("inactive")
        return found[1]

    def _is_known(self, held: Object, shown: bytes) -> bool:
        """Whether a password was right lately for the hash that an identifier has, and may be tried now."""
        hash = self._known.get(shown)
        lock = held.custom.get(rules.LOCKED_UNTIL)
        return hash is not None and hash == held.custom.get(rules.HASH) and not rules.locked(lock, self._now_ms())

    async def _check(self, app: App, held: Object, user: Object, password: str) -> None:
        """Whether it is the password of an identifier, one try at a time. Raises SignInFailed."""
        hash = held.custom.get(rules.HASH)
        now_ms = self._now_ms()
        if rules.locked(held.custom.get(rules.LOCKED_UNTIL), now_ms):
            await self._passwords.check(password, "")
            raise failed("locked")
        known = hash if isinstance(hash, str) and len(password) <= rules.LONGEST else ""
        if not await self._passwords.check(password, known):
            if await self._count(held, failure=True):
                self._audit.note("locked", app.identifier, user.id)
            raise failed("wrong_password")
        if rules.FAILURES in held.hidden or rules.LOCKED_UNTIL in held.custom:
            await self._count(held, failure=False)
        if rules.cost_of(known) < rules.COST:
            await self._rehash(held, known, await self._passwords.hash(password))

    async def _count(self, held: Object, *, failure: bool) -> bool:
        """Count a wrong password, or forget those that were; True if there is a lock now."""
        most, hours = self._settings.max_pass_matching_attempts, self._settings.pass_matching_lock_hours
        locked = False

        def edit(present: Mapping[str, Object]) -> list[Object]:
            nonlocal locked
            there = present.get(held.id)
            if there is None or not is_identifier(there):
                return []
            failures, until = 0, None
            if failure:
                now_ms = self._now_ms()
                failures, until = rules.failed_once_more(
                    there.hidden.get(rules.FAILURES), now_ms, most=most, hours=hours
                )
            there.hidden.pop(rules.FAILURES, None)
            there.custom = {name: value for name, value in there.custom.items() if name != rules.LOCKED_UNTIL}
            if failures:
                there.hidden[rules.FAILURES] = failures
            if until is not None:
                there.custom[rules.LOCKED_UNTIL] = until
            locked = until is not None
            return [there]

        await self._objects.rewrite(held.app, [held.id], edit)
        return locked

    async def _rehash(self, held: Object, before: str, after: str) -> None:
        def edit(present: Mapping[str, Object]) -> list[Object]:
            there = present.get(held.id)
            if there is None or there.custom.get(rules.HASH) != before:
                return []
            there.custom[rules.HASH] = after
            return [there]

        await self._objects.rewrite(held.app, [held.id], edit)

    async def _register(self, app: App, given: rules.Given) -> None:
        """A new user with a password, active only where addresses need no proof (identity.md 8.8)."""
        reason = ""
        if not is_email(given.email):
            reason = "no_email"
        elif not rules.acceptable(given.password, self._settings.min_password_length):
            reason = "password_length"
        elif await self._of_address(app.identifier, given.email):
            reason = "email_taken"
        if reason:
            await self._passwords.check(given.password, "")
            raise failed(reason)
        active = flag_of(app.settings.get("security.allow_unverified_emails", self._settings.allow_unverified_emails))
        body: JsonObject = {
            "identifier": given.email,
            "email": given.email,
            "name": users.clean_name(given.name) or "No Name",
            "active": active,
        }
        hidden: JsonObject = {users.UNVERIFIED: given.email, rules.HASH: await self._passwords.hash(given.password)}
        user = await self._create(app, str(self._ids.next()), body, hidden)
        self._audit.note("user_created", app.identifier, user.id, provider="password")

    # --- tokens

    async def replace_token_secret(self, app: str, id: str, *, was: str | None = None) -> tuple[Object, str]:
        """A new token secret for a user, which ends all tokens so far; the user, and the secret.

        `was`: only if the present one is that. Raises NotFound if there is no such user, Conflict if it is another.
        """
        secret = ""

        def edit(present: Mapping[str, Object]) -> list[Object]:
            nonlocal secret
            user = present.get(id)
            if user is None or user.type != users.TYPE:
                raise NotFound("Not Found")
            if was is not None and self._secrets.of(user) != was:
                raise Conflict("the token secret was replaced meanwhile")
            secret = self._secrets.replace(user)
            return [user]

        user = (await self._objects.rewrite(app, [id], edit))[0]
        self._secrets.ended(app, id)
        return user, secret

    async def for_app(self, app: str, publics: list[bytes]) -> list[bytes]:
        """Public bytes as an app reads them: users with the provider's tokens that stay with them (identity.md 7.1)."""
        marked = [n for n, public in enumerate(publics) if DELEGATING in public]
        if not marked:
            return publics
        wires = {n: parse_object(publics[n]) for n in marked}
        found = await self._objects.get_many(app, [str(wire["id"]) for wire in wires.values()])
        tokens = {user.id: self._delegated.shown(user) for user in found if user.type == users.TYPE}
        shown = list(publics)
        for n, wire in wires.items():
            if wire.get("type") == users.TYPE and (held := tokens.get(str(wire["id"]))):
                shown[n] = dump({**wire, **held})
        return shown

    async def keep_delegated(self, app: str, id: str, given: Delegated) -> None:
        """Store what a provider gave in place of the tokens that stay with a user, if some do."""

        def edit(present: Mapping[str, Object]) -> list[Object]:
            user = present.get(id)
            if user is None or DELEGATED not in user.hidden:
                return []
            user.hidden[DELEGATED] = self._delegated.sealed(app, id, given)
            return [user]

        await self._objects.rewrite(app, [id], edit)

    def _now_ms(self) -> int:
        return self._clock.now() // 1000

    def token_secret(self, user: Object) -> str:
        """A user's token secret. Raises Unavailable if it was sealed under another key."""
        return self._secrets.of(user)


def _itself(app: App) -> Principal:
    return Principal("app", app.identifier, app.object.id, root=app.is_root)


def _address(email: str) -> str:
    """An e-mail address as users keep it; "" for what is none."""
    email = email.strip().lower()
    return email if is_email(email) else ""


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
