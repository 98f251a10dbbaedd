"""What providers of sign-ins say about a person, in their documented JSON (identity.md 8.2), as a `Profile`. Pure.

Promises: any JSON gives a profile or None (nobody is named), never an exception; an e-mail address counts as proven
only where the provider vouches for it. One function a provider; what is asked for them stands in model/oauth.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec

from thingstead.model.constraints import is_email
from thingstead.model.errors import MalformedBody
from thingstead.model.users import Profile
from thingstead.model.values import Json, JsonObject, is_array, is_object, parse

MOST_ID: Final = 512  # characters
MOST_TOKEN: Final = 16_384
MOST_TEXT: Final = 1024

Answers: TypeAlias = Mapping[str, Json]
"""What was answered, by the name of the question; a question that was not asked, or failed and may, is absent."""


class Asked(msgspec.Struct, frozen=True):
    """What is known when a profile is read, beside the answers."""

    token: str
    tenant: str = ""
    exchanged: bool = False  # we had the token from the provider's token endpoint, just now


Reader: TypeAlias = Callable[[Answers, Asked], Profile | None]


# --- reading values that nobody promised anything about


def text(value: Json) -> str:
    """A text without control characters and outer space, or a whole number as text; "" for everything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 1 << 63 else ""
    if not isinstance(value, str):
        return ""
    kept = "".join(char for char in value[:MOST_TEXT] if unicodedata.category(char)[0] != "C")
    return kept.strip()


def id_text(value: Json) -> str:
    """What may be an id in an identifier: a short text without control characters and backslash; else ""."""
    found = text(value)
    if not found or found != str(value) or len(found) > MOST_ID or "\\" in found:
        return ""
    return found


def email(value: Json) -> str:
    """An e-mail address, else ""."""
    found = text(value)
    return found if is_email(found) else ""


def web_address(value: Json) -> str:
    """An http(s) URL that a page may show, else ""."""
    return found if _WEB.fullmatch(found := text(value)) else ""


def member(value: Json, *path: str | int) -> Json:
    """What lies at a path of names and places; None if nothing does."""
    for step in path:
        if is_object(value) and isinstance(step, str):
            value = value.get(step)
        elif is_array(value) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def usable_token(token: str) -> bool:
    """Whether a token can be sent in a header: visible ASCII, not too long."""
    return _TOKEN.fullmatch(token) is not None


def token_answer(body: bytes) -> JsonObject | None:
    """The members of a token endpoint's answer, JSON or (as Facebook once did) a form; None if it is neither."""
    try:
        value = parse(body)
    except MalformedBody:
        try:
            pairs = parse_qsl(body.decode(), strict_parsing=True, max_num_fields=100)
        except ValueError:
            return None
        return dict[str, Json](pairs)
    return value if is_object(value) else None


def claims_of(token: str) -> JsonObject:
    """What a JSON Web Token says, unverified: for what somebody else has verified; {} if it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = parse(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (MalformedBody, binascii.Error, ValueError):
        return {}
    return found if is_object(found) else {}


_WEB: Final = re.compile(r"https?://[^\s<>\"'`\\]+", re.IGNORECASE)
_TOKEN: Final = re.compile(rf"[!-~]{{1,{MOST_TOKEN}}}")

# --- the profiles


def facebook(answers: Answers, asked: Asked) -> Profile | None:
    """See the module's docstring."""
    me = answers.get("me")
    if not (id := id_text(member(me, "id"))) or not id.isalnum():
        return None
    return Profile(
        identifier=f"fb:{id}",
        email=email(member(me, "email")),
        domain="facebook.com",
        name=text(member(me, "name")),
        picture=f"https://graph.facebook.com/{id}/picture?width=700&height=700&type=square",
    )


def facebook_app(answer: Json, token: str) -> str:
    """The app that Facebook made a token for, as `debug_token` says; "" of a token that does not hold."""
    data = member(answer, "data")
    return text(member(data, "app_id")) if member(data, "is_valid") is True else ""


def google(answers: Answers, asked: Asked) -> Profile | None:
    """See the module's docstring."""
    me = answers.get("me")
    if not (id := id_text(member(me, "sub"))):
        return None
    return Profile(
        identifier=f"gp:{id}",
        email=email(member(me, "email")),
        email_proven=vouched(member(me, "email_verified")),
        domain="google.com",
        name=text(member(me, "name")),
        picture=web_address(member(me, "picture")),
    )


def vouched(value: Json) -> bool:
    """Whether `email_verified` says so; some providers send it as text."""
    return value is True or value == "true"


def github(answers: Answers, asked: Asked) -> Profile | None:
    """See the module's docstring."""
    me = answers.get("me")
    if not (id := id_text(member(me, "id"))) or not id.isdecimal():
        return None
    address, proven = email(member(me, "email")), False
    if not address:
        entries = answers.get("emails")
        held = [entry for entry in entries if is_object(entry)] if is_array(entries) else []
        chosen = next((entry for entry in held if entry.get("primary") is True), held[-1] if held else None)
        address = email(member(chosen, "email"))
        proven = bool(address) and member(chosen, "verified") is True
    return Profile(
        identifier=f"gh:{id}",
        email=address,
        email_proven=proven,
        fallback=f"{id}@github.com",
        domain="github.com",
        name=text(member(me, "name")),
        picture=web_address(member(me, "avatar_url")),
    )


def linkedin(answers: Answers, asked: Asked) -> Profile | None:
    """See the module's docstring."""
    if (now := answers.get("userinfo")) is not None:
        return _linkedin_now(now)
    me = answers.get("me")
    if not (id := id_text(member(me, "id"))):
        return None
    names = [text(_first(member(me, each, "localized"))) for each in ("firstName", "lastName")]
    address = email(member(answers.get("email"), "elements", 0, "handle~", "emailAddress"))
    return Profile(
        identifier=f"in:{id}",
        email=address,
        email_proven=bool(address),
        domain="linkedin.com",
        name=" ".join(filter(None, names)),
        picture=_largest(member(me, "profilePicture", "displayImage~", "elements")),
    )


def _linkedin_now(me: Json) -> Profile | None:
    if not (id := id_text(member(me, "sub"))):
        return None
    address = email(member(me, "email"))
    said = member(me, "email_verified")
    return Profile(
        identifier=f"in:{id}",
        email=address,
        email_proven=bool(address) and (said is None or vouched(said)),
        domain="linkedin.com",
        name=text(member(me, "name")),
        picture=web_address(member(me, "picture")),
    )


def _first(value: Json) -> Json:
    return next(iter(value.values()), None) if is_object(value) else None


def _largest(elements: Json) -> str:
    """The first picture of 400 pixels, else the last."""
    urls: list[str] = []
    for element in elements if is_array(elements) else []:
        held = member(element, "identifiers")
        urls += [web_address(member(each, "identifier")) for each in (held if is_array(held) else [])]
    urls = [url for url in urls if url]
    return next((url for url in urls if "400_400" in url), urls[-1] if urls else "")


def microsoft(answers: Answers, asked: Asked) -> Profile | None:
    """See the module's docstring."""
    me = answers.get("me")
    if not (id := id_text(member(me, "id"))):
        return None
    address = email(member(me, "mail")) or email(member(me, "userPrincipalName"))
    return Profile(
        identifier=f"ms:{id}",
        email=address,
        email_proven=bool(address) and _of_tenant(asked),
        domain="windowslive.com",
        name=text(member(me, "displayName")),
    )


def _of_tenant(asked: Asked) -> bool:
    """Whether a token comes from the one tenant that the app trusts.

    Every tenant's administrators choose the addresses of its people, so those of others prove nothing.
    """
    if asked.tenant.lower() in MANY_TENANTS:
        return False
    return asked.exchanged or text(claims_of(asked.token).get("tid")).lower() == asked.tenant.lower()


MANY_TENANTS: Final = frozenset({"", "common", "organizations", "consumers"})


def slack(answers: Answers, asked: Asked) -> Profile | None:
    """See the module's docstring."""
    me = answers.get("me")
    user, team = text(member(me, "user", "id")), text(member(me, "team", "id"))
    if member(me, "ok") is False or not _SLACK_ID.fullmatch(user) or not _SLACK_ID.fullmatch(team):
        return None
    also = [f"sl:{user}"]
    if name := text(member(me, "team", "name")):
        also.append(f"sl:{user}:{team}:{base64.b64encode(name.encode()).decode()}")
    address = email(member(me, "user", "email"))
    return Profile(
        identifier=f"sl:{user}:{team}",
        also=tuple(also),
        email=address,
        email_proven=bool(address),
        domain="slack.com",
        name=text(member(me, "user", "name")),
        picture=web_address(member(me, "user", "image_512")),
    )


_SLACK_ID: Final = re.compile(r"[A-Za-z0-9]{1,64}")


def amazon(answers: Answers, asked: Asked) -> Profile | None:
    """See the module's docstring."""
    me = answers.get("me")
    if not (id := id_text(member(me, "user_id"))):
        return None
    address = email(member(me, "email"))
    return Profile(
        identifier=f"az:{id}",
        email=address,
        email_proven=bool(address),
        domain="amazon.com",
        name=text(member(me, "name")),
    )


def twitter(me: Json) -> Profile | None:
    """Of `verify_credentials`; see the module's docstring."""
    if not (id := id_text(member(me, "id_str"))) or not id.isdecimal():
        return None
    picture = web_address(member(me, "profile_image_url_https")).partition("?")[0]
    return Profile(
        identifier=f"tw:{id}",
        email=email(member(me, "email")),
        domain="twitter.com",
        name=text(member(me, "name")) or text(member(me, "screen_name")),
        picture=picture.replace("_normal", ""),
    )
