"""`/jwt_auth`: signing in, refreshing and revoking tokens of users (identity.md 6.3).

Promises: whatever makes a sign-in fail, the answer is the same text; signatures of these calls are not looked at, since
clients sign them only when they have no token.
"""

from collections.abc import Mapping

from thingstead.core.backend import Backend
from thingstead.core.signin.signing import SignedIn
from thingstead.core.tenants import identifier_of
from thingstead.doors.objects.errors import plain
from thingstead.doors.objects.read import grouped, object_body, parse_query
from thingstead.doors.objects.render import NO_STORE, Answer, json
from thingstead.model.errors import (
    AppNotFound,
    Forbidden,
    InvalidInput,
    InvalidToken,
    MethodNotAllowed,
    SignInFailed,
)
from thingstead.model.values import Json, dump

PATH = "/jwt_auth"
_CHALLENGE = (b"www-authenticate", b'Bearer error="invalid_token"')


async def sign_in(
    backend: Backend, method: str, headers: Mapping[str, str], raw_query: str, body: bytes, address: str
) -> Answer:
    """Answer one request to `/jwt_auth` from a client's address.

    Raises InvalidInput, Forbidden, MethodNotAllowed, LimitReached.
    """
    match method:
        case "POST":
            return await _sign_in(backend, body, address)
        case "GET":
            try:
                return _shown(await backend.signin.refresh(_token(headers, raw_query)))
            except InvalidToken:
                return _unproven("User must reauthenticate.")
        case "DELETE":
            try:
                user = await backend.signin.revoke(_token(headers, raw_query))
            except InvalidToken:
                return _unproven("Invalid or expired token.")
            return json({"code": 200, "message": f"All tokens revoked for user {user}!"}, headers=NO_STORE)
        case _:
            raise MethodNotAllowed("Method Not Allowed", details={"allow": "DELETE, GET, POST"})


async def _sign_in(backend: Backend, body: bytes, address: str) -> Answer:
    given = object_body(body)
    appid, provider, token = (_text(given.get(name)) for name in ("appid", "provider", "token"))
    if not (appid and provider and token):
        raise InvalidInput("Some of the required query parameters 'provider', 'appid', 'token', are missing.")
    identifier = identifier_of(appid)
    if identifier == backend.tenants.root:
        raise Forbidden(
            f"Can't authenticate user with app '{appid}' using provider '{provider}'. "
            "Reason: clients aren't allowed to access root app.",
            details={"rule": "no users in the root app", "actor": provider, "right": "sign in"},
        )
    try:
        app = await backend.tenants.get(identifier)
    except AppNotFound:
        raise InvalidInput(f"User belongs to app '{appid}' which does not exist.", field="appid") from None
    backend.identity.check_active(app)
    try:
        return _shown(await backend.signin.with_token(app, provider, token, address=address))
    except SignInFailed:
        message = f"Failed to authenticate user with '{provider}'. Check if user is active."
        raise InvalidInput(message, field="token") from None


def _shown(signed_in: SignedIn) -> Answer:
    jwt = dump({"access_token": signed_in.token, "refresh": signed_in.refresh, "expires": signed_in.expires})
    return Answer(200, b'{"jwt":%b,"user":%b}' % (jwt, signed_in.public), headers=NO_STORE)


def _token(headers: Mapping[str, str], raw_query: str) -> str:
    """The token of the header, else of the query parameter of that name (identity.md 6.2). Raises InvalidToken."""
    for given in (headers.get("authorization", ""), *grouped(parse_query(raw_query)).get("Authorization", ())):
        scheme, _, rest = given.strip().partition(" ")
        if scheme.lower() == "bearer" and rest.strip():
            return rest.strip()
    raise InvalidToken("no token")


def _unproven(message: str) -> Answer:
    answer = plain(400, message)
    answer.headers = (_CHALLENGE, *NO_STORE)
    return answer


def _text(value: Json) -> str:
    return value.strip() if isinstance(value, str) else ""
