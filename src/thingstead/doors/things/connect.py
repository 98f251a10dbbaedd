"""Who connects over MQTT, and what it may then do (things.md 6.3, 6.4; doors.md 26, 31).

Promises: a certificate counts alone, whatever user name and password say; a credential or an app that ends while its
CONNECT is being checked does not get in; nothing of a credential is logged. Users and apps show a token as the password
of the user name `Bearer`, or what HTTP Basic takes: `app:x` and the app's secret; app, e-mail address and password.
What they reach is `people`'s. Kit ids as user names and SAS tokens are not taken.
"""

import hashlib
from functools import partial
from typing import Final

from thingstead.core.backend import Backend
from thingstead.core.tenants import identifier_of
from thingstead.doors.things.people import KINDS, People, PeoplesRights, Prove, proven, refused
from thingstead.model.errors import Forbidden, NotFound, Unauthenticated
from thingstead.model.grants import (
    RESERVED_KEYS,
    Rights,
    agent_rights,
    cloud_id,
    device_rights,
    either,
    is_level,
)
from thingstead.model.ids import APP_PREFIX
from thingstead.model.principals import Principal
from thingstead.ports.store import Key
from thingstead.transports.mqtt.broker import Broker
from thingstead.transports.mqtt.contract import Authenticate, ConnectRequest, Grant
from thingstead.transports.mqtt.reasons import ConnectRefused, Reason

BEARER: Final = "bearer"  # the user name of who shows a token, in any case
_ATTEMPTS: Final = 5


def authenticate(backend: Backend) -> Authenticate:
    """The authenticator of a `Broker`."""
    people = People(backend)

    async def decide(request: ConnectRequest) -> Grant:
        if request.fingerprint is not None:
            return await _certificate(backend, request, request.fingerprint)
        username = request.username or ""
        if request.password:
            return await _secret(backend, people, request, username, request.password)
        if username:
            return _apikey(request, username)
        if request.loopback_bound:
            return _grant(request.client_id, None, "", agent_rights(None))
        raise ConnectRefused(Reason.NOT_AUTHORIZED, "credentials are needed")

    return decide


def follow(backend: Backend, broker: Broker) -> None:
    """Have rights of users and apps asked about again wherever they may have changed (doors.md 26), and refused
    CONNECTs told to the audit trail."""

    def of_app(app: str, _id: str = "") -> None:
        broker.review(lambda one: isinstance(one, Principal) and one.kind in KINDS and one.app == app)

    def of_user(app: str, user: str) -> None:
        broker.review(lambda one: isinstance(one, Principal) and (one.kind, one.app, one.id) == ("user", app, user))

    backend.tenants.watch(of_app)
    backend.things.on_moved(of_app)
    backend.token_secrets.on_changed(of_user)
    broker.on_refused(partial(_told, backend))


def _told(backend: Backend, request: ConnectRequest, refusal: ConnectRefused) -> None:
    """Ids only: a user name may be an apikey, which is a secret; what identity found to be a name is in `details`."""
    details = refusal.details
    actor = details.get("actor", "")
    app = details.get("app", "")
    if not app and actor.startswith(APP_PREFIX):
        app = identifier_of(actor)
    elif not app and "/" in actor and "@" in actor:
        app = identifier_of(actor.partition("/")[0])
    backend.audit.note(
        "limited" if refusal.reason is Reason.SERVER_BUSY else "refused",
        app,
        actor,
        outcome=refusal.reason.name.lower(),
        resource="CONNECT",
        right="connect",
        rule=details.get("rule", ""),
        address=request.peer,
        door="mqtt",
    )


def close_sessions(broker: Broker, app: str, thing: str | None = None) -> int:
    """Close the connections of a thing, or of everybody of an app, at once; their number (doors.md 26)."""

    def theirs(principal: object) -> bool:
        if not isinstance(principal, Principal) or principal.app != app:
            return False
        return thing is None or (principal.kind == "thing" and principal.id == thing)

    return broker.close_where(theirs, Reason.NOT_AUTHORIZED)


def end_user(broker: Broker, app: str, user: str) -> int:
    """Close the connections of a user whose tokens have ended, at once; their number."""

    def theirs(principal: object) -> bool:
        return isinstance(principal, Principal) and (principal.kind, principal.app, principal.id) == ("user", app, user)

    return broker.close_where(theirs, Reason.NOT_AUTHORIZED)


async def _certificate(backend: Backend, request: ConnectRequest, fingerprint: str) -> Grant:
    grant = await _device(backend, request.client_id, fingerprint=fingerprint)
    principal = grant.principal
    assert isinstance(principal, Principal)
    if request.client_id not in ("", cloud_id(principal.app, principal.id)):
        raise ConnectRefused(Reason.CLIENT_ID_NOT_VALID, "the client id must be the thing's name, or empty")
    return grant


async def _secret(backend: Backend, people: People, request: ConnectRequest, username: str, password: bytes) -> Grant:
    try:
        text = password.decode()
    except UnicodeDecodeError:
        raise ConnectRefused(Reason.BAD_CREDENTIALS) from None
    identity = backend.identity
    if username.lower() == BEARER:
        return await _person(people, request, lambda: identity.bearer(text), again=True)
    if username.startswith(APP_PREFIX):
        return await _person(people, request, lambda: identity.with_secret(username, text), again=True)
    if "@" in username and await backend.objects.find(Key("cloud", username)) is None:
        return await _person(people, request, lambda: identity.with_secret(username, text), again=False)
    return await _device(backend, request.client_id, username=username, password=text)


async def _person(people: People, request: ConnectRequest, prove: Prove, *, again: bool) -> Grant:
    """The grant of a user or an app. `again`: the proof is asked for at each later question, else only the first time:
    a password is not kept."""
    since = people.changes
    principal = await proven(prove)
    if principal.kind not in KINDS:
        raise ConnectRefused(Reason.NOT_AUTHORIZED, "only users, apps and things connect")

    async def same() -> Principal:
        return principal

    rights = PeoplesRights(people, principal, prove if again else same, since)
    name = principal.id if principal.kind == "user" else ""
    return Grant(
        client_id=request.client_id,
        principal=principal,
        owner=f"{principal.kind}:{principal.app}/{name}",
        allow_publish=rights.publish,
        allow_subscribe=rights.subscribe,
        prepare=rights.prepare,
    )


def _apikey(request: ConnectRequest, apikey: str) -> Grant:
    """An apikey alone (doors.md 31). SDKs of AWS put `?SDK=...` here and mean a certificate, which is missing then; so
    is the token of `Bearer`."""
    if not is_level(apikey) or apikey in RESERVED_KEYS or apikey.startswith(("?", "$")) or apikey.lower() == BEARER:
        raise ConnectRefused(Reason.BAD_CREDENTIALS)
    owner = "apikey:" + hashlib.sha256(apikey.encode()).hexdigest()  # owners are stored with sessions
    return _grant(request.client_id, None, owner, agent_rights(apikey))


async def _device(
    backend: Backend,
    client_id: str,
    *,
    fingerprint: str | None = None,
    username: str | None = None,
    password: str | None = None,
) -> Grant:
    """The grant of a thing, decided on what holds when this returns: nothing is awaited after the last look."""
    for _ in range(_ATTEMPTS):
        before = backend.things.revocations
        try:
            principal = await backend.identity.device(fingerprint=fingerprint, username=username, password=password)
        except Unauthenticated as error:
            known = await backend.objects.find(Key("cloud", username)) if username else None
            if known is not None:
                raise refused(Reason.BAD_CREDENTIALS, error, app=known.app) from None
            if username:  # an apikey, a password: whatever it is, it is no name
                raise refused(Reason.BAD_CREDENTIALS, error, actor="") from None
            raise refused(Reason.BAD_CREDENTIALS, error) from None
        except (Forbidden, NotFound) as error:
            raise refused(Reason.NOT_AUTHORIZED, error) from None
        rights = await _rights(backend, principal)
        tenant = backend.tenants.cached(principal.app)
        if before == backend.things.revocations and tenant is not None and tenant.active:
            return _grant(client_id, principal, f"thing:{cloud_id(principal.app, principal.id)}", rights)
    raise ConnectRefused(Reason.SERVER_BUSY, "credentials are being changed")


async def _rights(backend: Backend, principal: Principal) -> Rights:
    """A thing reaches its own topics, and the agent's as the device that it is there."""
    rights = device_rights(cloud_id(principal.app, principal.id))
    device = await backend.agents.device_of(principal.app, principal.id)
    if device is None:
        return rights
    apikey = device.apikey
    if not apikey:
        group = await backend.agents.group_of(device.app, device.path, "", device.type)
        apikey = group.apikey if group is not None else ""
    return either(rights, agent_rights(apikey, device.device_id))


def _grant(client_id: str, principal: Principal | None, owner: str, rights: Rights) -> Grant:
    return Grant(
        client_id=client_id,
        principal=principal,
        owner=owner,
        allow_publish=rights.publish,
        allow_subscribe=rights.subscribe,
    )
