"""A backend with one app, the local server of all providers, and our side of them, for tests of sign-ins over OAuth."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support.backend import open_backend
from support.environment import SystemEntropy
from support.providers import CLIENT, SECRET, TOKEN, TOKENS, Providers, playing
from thingstead.core.backend import Backend
from thingstead.core.outbound import Outbound
from thingstead.core.signin.social import SocialProviders
from thingstead.core.tenants import App
from thingstead.model.errors import SignInFailed
from thingstead.model.oauth import SOCIAL
from thingstead.model.outbound import allowed
from thingstead.model.users import Profile
from thingstead.ports.environment import Clock

APP = "shop"
PREFIX = {**{known.name: known.prefix for known in SOCIAL}, "twitter": "tw"}


class Here:
    """A backend with one app, the server of all providers, and our side of them."""

    def __init__(self, backend: Backend, server: Providers, social: SocialProviders) -> None:
        self.backend = backend
        self.server = server
        self.social = social

    async def app(self, identifier: str = APP) -> App:
        """An app as it is now."""
        return await self.backend.tenants.get(identifier)

    async def configure(self, **settings: Any) -> App:
        """Replace the app's settings; `__` stands for a dot."""
        named = {name.replace("__", "."): value for name, value in settings.items()}
        await self.backend.tenants.put_settings(APP, named)
        return await self.app()

    async def keys(self, name: str, **more: Any) -> App:
        """The app with a provider's keys."""
        return await self.configure(**{f"{PREFIX[name]}_app_id": CLIENT, f"{PREFIX[name]}_secret": SECRET}, **more)

    async def prove(self, name: str, token: str | None = None) -> Profile:
        """The profile of that provider's token, the good one unless another is given."""
        return await self.social.by_name[name].prove(
            await self.app(), TOKENS.get(name, TOKEN) if token is None else token
        )

    async def refusal(self, work: Awaitable[Any]) -> str:
        """The reason for which that is refused; nobody is told more than that it failed."""
        with pytest.raises(SignInFailed) as caught:
            await work
        assert caught.value.message == "the sign-in failed"
        assert set(caught.value.details) == {"reason"}
        return caught.value.details["reason"]


@asynccontextmanager
async def here(
    directory: Path,
    *,
    allow: str = "",
    clock: Clock | None = None,
    connect_seconds: float = 5.0,
    seconds: float = 5.0,
    **settings: Any,
) -> AsyncIterator[Here]:
    """All of it; `allow` is `para.outbound_allow`, the seconds bound a call."""
    async with open_backend(directory, clock=clock, outbound_allow=allow, **settings) as backend, playing() as server:
        await backend.tenants.ensure(APP)
        outbound = Outbound(allowed(allow), connect_seconds=connect_seconds, seconds=seconds)
        try:
            social = SocialProviders(backend.tenants, outbound, backend.clock, SystemEntropy(), at=server.url)
            backend.signin.providers.update(social.by_name)
            yield Here(backend, server, social)
        finally:
            await outbound.close()
