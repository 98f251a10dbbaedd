"""`/jwt_auth`: signing in, refreshing and revoking tokens of users (identity.md 6.3).

There are no users yet, so every provider refuses everybody; the refusals are those that clients know.
"""

from thingstead.core.tenants import Tenants, identifier_of
from thingstead.doors.objects.errors import plain
from thingstead.doors.objects.read import object_body
from thingstead.doors.objects.render import NO_STORE, Answer
from thingstead.model.errors import AppNotFound, Forbidden, InvalidInput, MethodNotAllowed, ThingsteadError
from thingstead.model.values import Json

PATH = "/jwt_auth"
_CHALLENGE = (b"www-authenticate", b'Bearer error="invalid_token"')


async def sign_in(tenants: Tenants, method: str, body: bytes) -> Answer:
    """Answer one request to `/jwt_auth`. Raises InvalidInput, Forbidden, MethodNotAllowed."""
    match method:
        case "POST":
            raise await _refusal(tenants, body)
        case "GET" | "HEAD":
            return _unproven("User must reauthenticate.")
        case "DELETE":
            return _unproven("Invalid or expired token.")
        case _:
            raise MethodNotAllowed("Method Not Allowed", details={"allow": "DELETE, GET, POST"})


def _unproven(message: str) -> Answer:
    answer = plain(400, message)
    answer.headers = (_CHALLENGE, *NO_STORE)
    return answer


async def _refusal(tenants: Tenants, body: bytes) -> ThingsteadError:
    given = object_body(body)
    appid, provider, token = (_text(given.get(name)) for name in ("appid", "provider", "token"))
    if not (appid and provider and token):
        return InvalidInput("Some of the required query parameters 'provider', 'appid', 'token', are missing.")
    identifier = identifier_of(appid)
    if identifier == tenants.root:
        return Forbidden(
            f"Can't authenticate user with app '{appid}' using provider '{provider}'. "
            "Reason: clients aren't allowed to access root app.",
            details={"rule": "no users in the root app", "actor": provider, "right": "sign in"},
        )
    try:
        await tenants.get(identifier)
    except AppNotFound:
        return InvalidInput(f"User belongs to app '{appid}' which does not exist.", field="appid")
    return InvalidInput(f"Failed to authenticate user with '{provider}'. Check if user is active.", field="token")


def _text(value: Json) -> str:
    return value.strip() if isinstance(value, str) else ""
