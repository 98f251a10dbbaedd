"""What a provider of sign-ins is: it makes a proven profile of a token that clients send (identity.md 6.3, 8).

A provider never touches users: `core/users.py` finds, makes and updates them from the profile.
"""

from typing import Protocol

from thingstead.core.tenants import App
from thingstead.model.errors import SignInFailed
from thingstead.model.users import Profile


class Provider(Protocol):
    """One way to sign in, for all apps; configured by each app's options (`Tenants.option`)."""

    async def prove(self, app: App, token: str) -> Profile:
        """Who a token speaks for, now, as the provider says. Raises SignInFailed, also if it cannot be reached."""
        ...


def failed(reason: str) -> SignInFailed:
    """A refusal. `reason` is a short code in snake case, for logs and the audit trail; never a provider's text."""
    return SignInFailed("the sign-in failed", details={"reason": reason})
