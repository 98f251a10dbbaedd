"""ID tokens of OpenID Connect, verified by the keys that their issuer publishes (identity.md 8.4, 17).

Promises: signature, issuer, audience, times and the access token that it came with all hold, or it is refused; keys are
asked for again when they are older than `KEYS_SECONDS`, or when a signature does not match those we have.
"""

from typing import Any, Final

import msgspec
from cachebox import LRUCache

from thingstead.core.signin.calls import Calls, object_of, origin
from thingstead.core.signin.provider import failed
from thingstead.model.oauth_generic import ALGORITHMS, claims_hold
from thingstead.model.profiles import text
from thingstead.model.values import Json, JsonObject, is_array, is_object
from thingstead.ports.environment import Clock

KEYS_SECONDS: Final = 600
_ISSUERS: Final = 256


class _Keys(msgspec.Struct, frozen=True):
    until: int  # microseconds
    document: JsonObject


class IdTokens:
    """See the module's docstring."""

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._keys: LRUCache[tuple[str, bool], _Keys | None] = LRUCache(_ISSUERS)

    async def verified(self, token: str, *, issuer: str, client: str, access: str, trusted: bool) -> JsonObject:
        """The claims of an ID token. Raises SignInFailed. `trusted`: the issuer's address is the operator's."""
        held = self._keys.get((issuer, trusted))
        now = self._clock.now()
        claims = None
        if held is not None and now < held.until:
            claims = _claims(token, held.document)
        if claims is None:
            document = await self._published(issuer, trusted)
            self._keys[issuer, trusted] = _Keys(now + KEYS_SECONDS * 1_000_000, document)
            claims = _claims(token, document)
        if claims is None or not claims_hold(
            claims, issuer=issuer, client=client, access=access, now=self._clock.now() / 1_000_000
        ):
            raise failed("id_token")
        return claims

    async def _published(self, issuer: str, trusted: bool) -> JsonObject:
        """The issuer's keys, from where it says they are."""
        where = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        known = object_of(await self._calls.get(where, {}, trusted=trusted))
        url = text(known.get("jwks_uri"))
        if known.get("issuer") != issuer or not url:
            raise failed("id_token")
        return object_of(await self._calls.get(url, {}, trusted=trusted and origin(url) == origin(issuer)))


def _claims(token: str, keys: JsonObject) -> JsonObject | None:
    """The claims of a token that one of the keys has signed, else None."""
    from joserfc import jwt  # here, because it takes a tenth of the start of a server
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    listed = keys.get("keys")
    usable: list[Any] = [key for key in listed if _signs(key)] if is_array(listed) else []
    try:
        claims = jwt.decode(token, KeySet.import_key_set({"keys": usable}), algorithms=list(ALGORITHMS)).claims
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return claims if is_object(claims) else None


def _signs(key: Json) -> bool:
    """Whether a published key may be one for signatures: of a public kind, and not meant for something else."""
    return is_object(key) and key.get("use", "sig") == "sig" and key.get("kty") in ("RSA", "EC", "OKP")
