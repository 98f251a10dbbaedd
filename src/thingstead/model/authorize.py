"""Where the sign-in page leads for each provider (identity.md 8.2, 8.4): authorization requests of OAuth 2. Pure.

Apps build these links themselves; this is for the page that thingstead ships.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

import msgspec


class Consent(msgspec.Struct, frozen=True):
    """A provider with a fixed authorization endpoint; `prefix` is that of its keys."""

    title: str
    prefix: str
    url: str
    scope: str
    parameter: str = "scope"


FIXED: Final[Mapping[str, Consent]] = {
    "google": Consent("Google", "gp", "https://accounts.google.com/o/oauth2/v2/auth", "openid profile email"),
    "microsoft": Consent(
        "Microsoft",
        "ms",
        "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
        "https://graph.microsoft.com/user.read",
    ),
    "github": Consent("GitHub", "gh", "https://github.com/login/oauth/authorize", "user:email"),
    "facebook": Consent("Facebook", "fb", "https://www.facebook.com/dialog/oauth", "email"),
    "linkedin": Consent("LinkedIn", "in", "https://www.linkedin.com/oauth/v2/authorization", "openid profile email"),
    "slack": Consent(
        "Slack",
        "sl",
        "https://slack.com/oauth/v2/authorize",
        "identity.basic,identity.email,identity.avatar",
        "user_scope",
    ),
    "amazon": Consent("Amazon", "az", "https://www.amazon.com/ap/oa", "profile"),
}
GENERIC: Final[Mapping[str, str]] = {"oauth2": "", "oauth2second": "second", "oauth2third": "third"}
"""Generic providers and the alias in their keys."""


def consent_url(
    url: str, client: str, redirect_uri: str, state: str, scope: str, *, parameter: str = "scope", tenant: str = ""
) -> str:
    """The URL at which a person allows the sign-in.

    >>> consent_url("https://id.example/auth?x=1", "me", "https://here/oauth2_auth", "app:a", "")
    'https://id.example/auth?x=1&response_type=code&client_id=me&redirect_uri=https%3A%2F%2Fhere%2Foauth2_auth&state=app%3Aa'
    """
    pairs = {"response_type": "code", "client_id": client, "redirect_uri": redirect_uri, "state": state}
    if scope:
        pairs[parameter] = scope
    url = url.replace("{tenant}", quote(tenant, safe=""))
    return f"{url}{'&' if '?' in url else '?'}{urlencode(pairs)}"
