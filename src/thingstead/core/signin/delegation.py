"""Users whose provider has the last word at every request (identity.md 8.4, 6.2): their access token stays with them
and is shown to the provider again each time.

Promises: nothing is cached; requests of one user that come while the provider is asked share that one answer. A token
that no longer opens the profile of this very user is replaced by its refresh token, if there is one; what cannot be
confirmed is refused, also while the provider does not answer. Costs nothing for users without such tokens.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from thingstead.core.delegated import DelegatedTokens
from thingstead.core.signin.oauth_generic import GenericOAuth
from thingstead.core.tenants import App
from thingstead.model.errors import SignInFailed
from thingstead.model.oauth_generic import Generic, profile
from thingstead.model.objects import Object
from thingstead.model.users import Delegated

Keep: TypeAlias = Callable[[str, str, Delegated], Awaitable[None]]
"""Stores the new tokens of a user of an app in place of those that stay with it."""


class Delegation:
    """See the module's docstring. `providers` are the generic ones, `keep` stores what a refresh brought."""

    def __init__(self, providers: Iterable[GenericOAuth], tokens: DelegatedTokens, keep: Keep) -> None:
        self._providers = {f"oa2{provider.alias}": provider for provider in providers}  # by prefix of identifiers
        self._tokens = tokens
        self._keep = keep
        self._asking: dict[tuple[str, str], asyncio.Task[bool]] = {}

    async def still_valid(self, app: App, user: Object) -> bool:
        """Whether the provider confirms a user now; if not, the request is to be refused.

        A user without tokens, or whose identifier is not of a provider that delegates now, needs nobody's word.
        """
        held = self._tokens.of(user)
        identifier = user.own.get("identifier")
        identifier = identifier if isinstance(identifier, str) else ""
        provider = self._providers.get(identifier.partition(":")[0])
        if held is None or provider is None or not (known := provider.of(app)).delegation:
            return True
        key = (app.identifier, user.id)
        task = self._asking.get(key)
        if task is None:
            asking = self._ask(app, provider, known, user, identifier, held)
            task = self._asking[key] = asyncio.get_running_loop().create_task(asking)
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)  # whose request is cut off leaves the others their answer

    async def _ask(
        self, app: App, provider: GenericOAuth, known: Generic, user: Object, identifier: str, held: Delegated
    ) -> bool:
        if await self._opens(app, provider, known, held.access_token, identifier):
            return True
        if not held.refresh_token:
            return False
        form = {"grant_type": "refresh_token", "refresh_token": held.refresh_token}
        try:
            given = await provider.granted(app, known, form)
        except SignInFailed:
            return False
        fresh = Delegated(given.access, given.refresh or held.refresh_token, given.id_token or held.id_token)
        await self._keep(app.identifier, user.id, fresh)  # first: the provider may have ended the old refresh token
        return await self._opens(app, provider, known, fresh.access_token, identifier)

    async def _opens(self, app: App, provider: GenericOAuth, known: Generic, access: str, identifier: str) -> bool:
        """Whether an access token opens the profile of this person."""
        try:
            found = profile(known, await provider.opened(app, known, access), {})
        except SignInFailed:
            return False
        return found is not None and found.identifier == identifier
