"""Users: identifiers, groups, names, and what a provider says about a person (identity.md 7). Pure.

Passwords and the tokens that stand in for them are in model/passwords.
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import Final

import msgspec

from thingstead.model.constraints import is_email
from thingstead.model.values import Json

TYPE: Final = "user"
IDENTIFIER: Final = "identifier"
"""Name of the objects that identifiers are stored as, beside their user (identity.md 7.2)."""

UNVERIFIED: Final = "unverified"
"""Hidden member of a user: its address, while nobody has proven it; nobody is joined to the user by it then."""

GENERIC: Final = "generic"
UNKNOWN: Final = "unknown"

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
    "oa2second": "oauth2",
    "oa2third": "oauth2",
    "custom": "custom",
}
"""Prefix of an identifier -> name of its provider (identity.md 7.2)."""

ROLES: Final[Mapping[str, str]] = {"users": "user", "mods": "mod", "admins": "admin"}
"""Group -> role, the lowest first; each includes those before it (identity.md 7.1)."""

PICTURES: Final = frozenset({"png", "jpeg", "webp", "gif"})
"""Kinds of picture that are kept, as subtypes of `image/`."""

ADMINS: Final = "admins"
USERS: Final = "users"

DEFAULT_CURRENCY: Final = "EUR"
_CURRENCIES: Final = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF
    CHF CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD
    HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL
    LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR
    PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP
    TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES: Final = frozenset(_CURRENCIES.split())
"""Codes of ISO 4217 that are money of some country."""

_KEPT_IN_NAMES: Final = frozenset("'-,.")
_SPACES = re.compile(r"\s+")
_GRAVATAR: Final = "https://www.gravatar.com/avatar"


def provider_of(identifier: str) -> str:
    """The name of an identifier's provider (claim `idp`, member `identityProvider`).

    >>> provider_of("gh:42"), provider_of("jane@example.com"), provider_of("jane")
    ('github', 'generic', 'unknown')
    """
    prefix, colon, rest = identifier.partition(":")
    if colon and rest and prefix in PREFIXES:
        return PREFIXES[prefix]
    return GENERIC if is_email(identifier) else UNKNOWN


def normal_identifier(text: str) -> str:
    """An identifier as it is stored: an e-mail address in lower case, everything else as given, without outer space."""
    text = text.strip()
    return text.lower() if provider_of(text) == GENERIC else text


def roles(groups: Json) -> frozenset[str]:
    """The roles of a user's group: its own and all below it; every user has the lowest.

    >>> sorted(roles("mods")), sorted(roles("nobody-knows"))
    (['mod', 'user'], ['user'])
    """
    names = list(ROLES)
    highest = names.index(groups) if isinstance(groups, str) and groups in ROLES else 0
    return frozenset(ROLES[name] for name in names[: highest + 1])


def clean_name(text: str) -> str:
    """A name without symbols, punctuation and control characters except `' - , .`, spaces single; may be blank.

    >>> clean_name("  Jane <b>  O'Neil-Smith, Jr. \\u2603 ")
    "Jane b O'Neil-Smith, Jr."
    """
    spaced = _SPACES.sub(" ", text)
    kept = "".join(c for c in spaced if c in _KEPT_IN_NAMES or unicodedata.category(c)[0] not in "SPC")
    return _SPACES.sub(" ", kept).strip()


def default_picture(email: str) -> str:
    """The picture of a user who has none: what Gravatar shows for the address."""
    if not email.strip():
        return f"{_GRAVATAR}?d=mm&size=400"
    return f"{_GRAVATAR}/{_md5(email)}?size=400&d=mm&r=pg"


def id_picture(picture: str, email: str) -> str:
    """The picture that an ID token names (identity.md 6.5)."""
    if picture.startswith("http"):
        return picture
    return f"https://gravatar.com/avatar/{_md5(email)}?size=400&d=retro&r=pg"


def _md5(email: str) -> str:
    return hashlib.md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()


def currency(value: Json) -> str:
    """A currency's code in capitals if it is one of ISO 4217, else the default.

    >>> currency("usd"), currency("beads")
    ('USD', 'EUR')
    """
    code = value.strip().upper() if isinstance(value, str) else ""
    return code if code in CURRENCIES else DEFAULT_CURRENCY


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
    fallback: str = ""  # or this, where the provider's rules say so
    name: str = ""
    no_name: str = "No Name"
    picture: str = ""  # URL
    avatar: Picture | None = None
    groups: str | None = None  # `users`, `mods`, `admins`; None: as they are
    delegated: Delegated | None = None
    registers: bool = True  # False: an unknown person is refused
    token_secret: str = ""  # of the user, if that proved it: by the time of the sign-in it must be the same still
