"""Providers of sign-ins that an app configures itself: three of OAuth 2 or OpenID Connect (identity.md 8.4). Pure.

Promises: any JSON gives a profile or None; an ID token says something only to who has verified it.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from thingstead.model.constraints import is_email
from thingstead.model.profiles import email, id_text, member, text, vouched, web_address
from thingstead.model.users import Profile
from thingstead.model.values import Json, JsonObject

ALIASES: Final = ("", "second", "third")
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Of ID tokens: signatures only, whose keys the issuer publishes; never `none`, never a shared secret."""

_PLACE: Final = re.compile(r"[0-9]{1,9}")
SKEW: Final = 60  # seconds by which the clocks of issuers may differ from ours


class Generic(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as an app has configured it, by `security.oauth{alias}.*`. Names are of members of the profile."""

    alias: str
    token_url: str
    profile_url: str
    scope: str
    send_scope: bool
    accept: str
    issuer: str
    domain: str
    avatars: bool
    delegation: bool
    id: str
    picture: str
    email: str
    name: str
    given_name: str
    family_name: str

    @property
    def prefix(self) -> str:
        """Of its identifiers, and of its keys `{prefix}_app_id` and `{prefix}_secret`."""
        return f"oa2{self.alias}"

    def form(self, form: Mapping[str, str]) -> dict[str, str]:
        """A form for the token endpoint, with the scope where it is wanted."""
        scope = {"scope": self.scope} if self.scope and self.send_scope else {}
        return {**form, **scope}

    def headers(self, token: str = "") -> dict[str, str]:
        """Headers of a call, with an access token or without."""
        headers = {"Accept": self.accept} if self.accept else {}
        return {**headers, "Authorization": f"Bearer {token}"} if token else headers


def key(alias: str, name: str) -> str:
    """The name of an option."""
    return f"security.oauth{alias}.{name}"


def generic(alias: str, option: Callable[[str], Json]) -> Generic:
    """The provider that an app's options describe."""

    def said(name: str) -> str:
        value = option(key(alias, name))
        return value.strip() if isinstance(value, str) else ""

    def flag(name: str) -> bool:
        return option(key(alias, name)) is True

    return Generic(
        alias=alias,
        token_url=said("token_url"),
        profile_url=said("profile_url"),
        scope=said("scope"),
        send_scope=flag("send_scope_to_token_endpoint"),
        accept=said("accept_header"),
        issuer=said("issuer"),
        domain=said("domain") or "paraio.com",
        avatars=flag("download_avatars"),
        delegation=flag("token_delegation_enabled"),
        id=said("parameters.id") or "sub",
        picture=said("parameters.picture") or "picture",
        email=said("parameters.email") or "email",
        name=said("parameters.name") or "name",
        given_name=said("parameters.given_name") or "given_name",
        family_name=said("parameters.family_name") or "family_name",
    )


def profile(known: Generic, answer: JsonObject, claims: Mapping[str, Json]) -> Profile | None:
    """The profile of a person; `claims` are a verified ID token's, which fill in what the answer lacks.

    None if the answer names nobody, or somebody else than the token.
    """
    id = id_text(answer.get(known.id))
    if not id or (claims and claims.get("sub") != answer.get("sub", claims.get("sub"))):
        return None

    def value(name: str) -> Json:
        found = pointed(answer, name)
        return pointed(claims, name) if found is None else found

    address = email(value(known.email))
    vouching = answer if email(pointed(answer, known.email)) else claims
    both = " ".join(filter(None, (text(value(known.given_name)), text(value(known.family_name)))))
    made_up = id if is_email(id) else f"{id}@{known.domain}"
    return Profile(
        identifier=f"{known.prefix}:{id}",
        email=address,
        email_proven=bool(address) and vouched(vouching.get("email_verified")),
        domain=known.domain,
        fallback=made_up if is_email(made_up) else "",
        name=text(value(known.name)) or both,
        picture=web_address(value(known.picture)),
    )


def pointed(value: Mapping[str, Json], name: str) -> Json:
    """The member of this name, or, if it begins with `/`, what a JSON pointer (RFC 6901) points at; None: nothing.

    >>> pointed({"a": {"b/c": [1, 2]}}, "/a/b~1c/1")
    2
    """
    if not name.startswith("/"):
        return value.get(name)
    steps = [step.replace("~1", "/").replace("~0", "~") for step in name[1:].split("/")]
    found: Json = dict(value)
    for step in steps:
        place = int(step) if isinstance(found, list) and _PLACE.fullmatch(step) else step
        found = member(found, place)
    return found


def parts(token: str) -> tuple[str, str]:
    """Access and refresh token of the text that clients send: `access[:refresh[:id_token]]`.

    The third is not taken from clients: an ID token counts only if it comes from the token endpoint.
    """
    access, _, rest = token.partition(":")
    return access, rest.partition(":")[0]


def claims_hold(claims: Mapping[str, Json], *, issuer: str, client: str, access: str, now: float) -> bool:
    """Whether the claims of an ID token whose signature holds are meant for us, now (OpenID Connect Core 3.1.3.7)."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    authorised = claims.get("azp", client if len(audiences) == 1 else None)
    bound = claims.get("at_hash")
    expires, issued = claims.get("exp"), claims.get("iat", 0)
    return (
        claims.get("iss") == issuer
        and client in audiences
        and authorised == client
        and (bound is None or bound in _halves(access))
        and isinstance(expires, (int, float))
        and isinstance(issued, (int, float))
        and issued - SKEW <= now < expires + SKEW
        and bool(text(claims.get("sub")))
    )


def _halves(access: str) -> set[str]:
    """The left half of an access token's hash, Base64url, by each algorithm that may have made it."""
    hashes = (hashlib.new(name, access.encode()).digest() for name in ("sha256", "sha384", "sha512"))
    return {base64.urlsafe_b64encode(each[: len(each) // 2]).decode().rstrip("=") for each in hashes}
