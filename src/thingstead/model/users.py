"""Users: identifiers, groups, and what a provider says about a person (identity.md 7). Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

PREFIXES: Final[Mapping[str, str]] = {
    "fb": "facebook",
    "gp": "google",
    "in": "linkedin",
    "tw": "twitter",
    "gh": "github",
    "ms": "microsoft",
    "sl": "slack",
    "mm": "mattermost",
    "az": "amazon",
    "ldap": "ldap",
    "saml": "saml",
    "oa2": "oauth2",
    "oa2second": "oauth2second",
    "oa2third": "oauth2third",
    "custom": "custom",
}
"""Prefix of an identifier -> name of its provider (identity.md 7.2)."""


class Delegated(msgspec.Struct, frozen=True):
    """Tokens of a provider that stay with the user (identity.md 8.4)."""

    access_token: str
    refresh_token: str = ""
    id_token: str = ""


class Picture(msgspec.Struct, frozen=True):
    """A picture that the provider handed over as bytes; `subtype` of `image/`, by its magic bytes."""

    subtype: str
    data: bytes


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider has proven about a person, at a sign-in."""

    identifier: str  # with its prefix, as it is stored
    also: tuple[str, ...] = ()  # other forms under which the person may be known already
    email: str = ""  # as the provider says it; blank: none
    email_proven: bool = False  # it may join an account of the same address (identity.md 7.2)
    domain: str = "paraio.com"  # without an address the user gets `{id}@{domain}`
    name: str = ""
    no_name: str = "No Name"
    picture: str = ""  # URL
    avatar: Picture | None = None
    groups: str | None = None  # `users`, `mods`, `admins`; None: as they are
    delegated: Delegated | None = None
    registers: bool = True  # False: an unknown person is refused
