"""People who are signed in to an app, for tests of what they may do."""

from typing import NamedTuple

from support.backend import owner
from support.client import Client, Reply
from support.listening import Listening
from thingstead.core.backend import Backend
from thingstead.core.signin.signing import SignedIn
from thingstead.model.principals import Principal
from thingstead.model.users import Profile


async def sign_in(backend: Backend, app: str, name: str, groups: str = "users") -> SignedIn:
    """A person of an app, signed in as a provider would have proven it."""
    tenant = await backend.tenants.get(app)
    profile = Profile(identifier=f"custom:{name}", email=f"{name}@example.com", name=name, groups=groups)
    return await backend.signin.with_profile(tenant, profile)


class Person(NamedTuple):
    """A user with a token, and requests made with it."""

    id: str
    token: str
    client: Client

    def send(self, method: str, path: str, body: object = None) -> Reply:
        """A request of this person."""
        return self.client.send(method, path, body, Authorization=f"Bearer {self.token}")


def person(door: Listening, app: str, name: str, groups: str = "users") -> Person:
    """A person of an app behind a door."""
    found = door.run(sign_in(door.backend, app, name, groups))
    return Person(found.user.id, found.token, Client(door.url))


def user(app: str, id: str, groups: str = "users") -> Principal:
    """A user as its token would prove it."""
    return Principal("user", app, id, groups=groups)


async def granted(backend: Backend, app: str, subject: str, **grants: list[str]) -> None:
    """Grants by resource; `__` in a name stands for a slash."""
    for resource, methods in grants.items():
        await backend.tenants.grant(app, subject, resource.replace("__", "/"), methods)


__all__ = ["Person", "granted", "owner", "person", "sign_in", "user"]
