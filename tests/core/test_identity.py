"""Who is asking is proven or refused (identity.md 3-6; doors.md 26-29, 33): apps and their secrets, signatures, super
tokens, Basic, devices, and who may pass the doors beside `/v1`."""

import asyncio
import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from support.aio import run
from support.backend import ROOT_SECRET, open_backend, open_built, owner
from support.environment import NOON, ManualClock
from support.sign import Signer
from thingstead.core.backend import Backend
from thingstead.core.identity import SignedRequest
from thingstead.core.objects import Draft
from thingstead.core.tenants import App
from thingstead.model.errors import (
    AppNotFound,
    BadSignature,
    Conflict,
    ExpiredSignature,
    Forbidden,
    InvalidInput,
    InvalidToken,
    Unauthenticated,
    Unavailable,
)
from thingstead.model.principals import NOBODY, Principal
from thingstead.model.settings import Settings
from thingstead.server.compose import build

URL = "http://localhost:8080/v1/_me"
NOON_S = NOON // 1_000_000


def request(
    signer: Signer, *, seconds: int = 0, method: str = "GET", url: str = URL, body: bytes = b""
) -> SignedRequest:
    """A request signed so many seconds after noon."""
    sent = signer.headers(method, url, body, at=datetime.fromtimestamp(NOON_S + seconds, UTC))
    headers = {"host": "localhost:8080"} | {name.lower(): value for name, value in sent.items()}
    parts = urlsplit(url)
    return SignedRequest(method, parts.path, parts.query, headers, body)


def token(secret: str, **claims: Any) -> str:
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(secret))


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def _files(directory: Path) -> list[Path]:
    return list(directory.rglob("*"))


async def change(backend: Backend, app: App, body: Mapping[str, Any]) -> None:
    await backend.objects.patch(backend.tenants.root, app.object.id, dict(body), owner("para"))


# --- apps


def test_root_is_made_once_and_its_keys_are_shown_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_built(tmp_path, root_secret_override="") as first:
            assert first.root_keys is not None
            assert first.root_keys.access_key == "app:para"
            assert len(base64.b64decode(first.root_keys.secret_key)) == 40
            tenants = first.backend.tenants
            shown = await asyncio.gather(*(tenants.show_root_keys() for _ in range(5)))
            assert [keys for keys in shown if keys is not None] == [first.root_keys]
        async with open_built(tmp_path, root_secret_override="") as second:
            assert second.root_keys is None
            assert await second.backend.tenants.show_root_keys() is None
            assert (await second.backend.tenants.get("para")).secret == first.root_keys.secret_key

    run(main())


def test_keys_not_shown_yet_survive_a_restart_but_not_their_replacement(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_built(tmp_path, root_secret_override="") as first:
            made = first.root_keys
        async with open_backend(tmp_path, root_secret_override="") as second:
            await second.tenants.new_keys("para")
            assert await second.tenants.show_root_keys() is None
            assert (await second.tenants.get("para")).secret != (made and made.secret_key)

    run(main())


def test_an_override_replaces_roots_secret_and_closes_the_window(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_built(tmp_path, root_secret_override="") as first:
            assert first.root_keys is not None
        async with open_built(tmp_path) as second:
            assert second.root_keys is None
            assert (await second.backend.tenants.get("para")).secret == ROOT_SECRET
            assert await second.backend.tenants.show_root_keys() is None

    run(main())


def test_secrets_lie_sealed_and_open_under_their_key_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_backend(tmp_path) as backend:
            _, secret = await backend.tenants.create("myapp")
            row = await backend.store.objects.get("para", "app:myapp")
            assert row is not None
            assert row.private is not None
            for held in (row.public, row.private):
                assert secret.encode() not in held
        files = [file for file in _files(tmp_path) if file.is_file()]
        assert files
        assert not [file for file in files if secret.encode() in file.read_bytes()]
        with pytest.raises(Unavailable, match="another key"):
            await build(tmp_path, Settings(), b"x" * 32)

    run(main())


def test_apps_are_made_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_backend(tmp_path) as backend:
            tenants = backend.tenants
            outcomes = await asyncio.gather(*(tenants.create("one") for _ in range(8)), return_exceptions=True)
            assert [type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)] == [Conflict] * 7
            ensured = await asyncio.gather(*(tenants.ensure("two") for _ in range(8)))
            assert {app.secret for app in ensured} == {(await tenants.get("two")).secret}
            assert ensured[0].autocreated
            assert not (await tenants.get("one")).autocreated
            for wrong in ("", "App", "a b", "app:x", "é"):
                with pytest.raises(InvalidInput):
                    await tenants.create(wrong)
            with pytest.raises(AppNotFound):
                await tenants.get("three")

    run(main())


def test_types_are_registered_up_to_the_limit(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_backend(tmp_path, max_datatypes_per_app=5) as backend:
            tenants = backend.tenants
            await tenants.create("typed")
            await tenants.register_types("typed", ["dog", "my_type", "dogs", "user", "thing", "sensor", "", "_#"])
            assert (await tenants.get("typed")).datatypes == {"dogs": "dog", "my-types": "my-type", "dogses": "dogs"}
            await asyncio.gather(*(tenants.register_types("typed", [f"t{n}"]) for n in range(8)))
            assert len((await tenants.get("typed")).datatypes) == 5
            before = await backend.store.journal.last()
            await tenants.register_types("typed", ["dog", "another"])
            assert await backend.store.journal.last() == before

    run(main())


# --- signatures


def test_a_signature_holds_within_its_window_only(tmp_path: Path) -> None:
    clock = ManualClock()

    async def main() -> None:
        async with open_backend(tmp_path, clock=clock) as backend:
            _, secret = await backend.tenants.create("myapp")
            signer = Signer("app:myapp", secret)
            identity = backend.identity
            expected = Principal("app", "myapp", "app:myapp")
            for seconds in (0, -900, 900):
                assert await identity.signed(request(signer, seconds=seconds)) == expected
            assert (await identity.signed(request(Signer("app:para", ROOT_SECRET)))).root
            assert await identity.signed(request(Signer(base64.b64encode(b"app:myapp").decode(), secret))) == expected
            for seconds in (-901, 901, -86400):
                with pytest.raises(ExpiredSignature, match="Request has expired"):
                    await identity.signed(request(signer, seconds=seconds))
            with pytest.raises(AppNotFound, match="App not found"):
                await identity.signed(request(Signer("app:nobody", secret)))
            with pytest.raises(BadSignature, match=r"GET /v1/_me coming from app myapp"):
                await identity.signed(request(Signer("app:myapp", ROOT_SECRET)))
            with pytest.raises(BadSignature):
                await identity.signed(request(Signer("app:myapp", "")))

    run(main())


def test_new_keys_end_the_old_ones_at_once(tmp_path: Path) -> None:
    clock = ManualClock()

    async def main() -> None:
        async with open_backend(tmp_path, clock=clock) as backend:
            _, old = await backend.tenants.create("myapp")
            old_token = token(old, appid="app:myapp", exp=NOON_S + 60)
            assert (await backend.identity.bearer(old_token)).app == "myapp"
            keys = await backend.tenants.new_keys("myapp")
            assert (await backend.identity.signed(request(Signer("app:myapp", keys.secret_key)))).app == "myapp"
            with pytest.raises(BadSignature):
                await backend.identity.signed(request(Signer("app:myapp", old)))
            with pytest.raises(InvalidToken):
                await backend.identity.bearer(old_token)
            with pytest.raises(Unauthenticated):
                await backend.identity.basic(basic("app:myapp", old))

    run(main())


def test_an_inactive_app_is_refused_everywhere_and_a_read_only_one_where_it_writes(tmp_path: Path) -> None:
    clock = ManualClock()

    async def main() -> None:
        async with open_backend(tmp_path, clock=clock) as backend:
            app, secret = await backend.tenants.create("myapp")
            await change(backend, app, {"active": False})
            for attempt in (
                backend.identity.signed(request(Signer("app:myapp", secret))),
                backend.identity.bearer(token(secret, appid="myapp", exp=NOON_S + 60)),
                backend.identity.basic(basic("app:myapp", secret)),
            ):
                with pytest.raises(Forbidden, match=r"App not active. \[app:myapp\]") as refused:
                    await attempt
                assert refused.value.details["rule"] == "active"
            with pytest.raises(Forbidden, match="App not active"):
                await backend.access.check(owner("myapp"), "myapp", "hypermedia", "read", loopback=True)
            await change(backend, app, {"active": True})
            assert (await backend.identity.signed(request(Signer("app:myapp", secret)))).app == "myapp"

    run(main())


# --- tokens


def test_super_tokens(tmp_path: Path) -> None:
    clock = ManualClock()

    async def main() -> None:
        async with open_backend(tmp_path, clock=clock) as backend:
            _, secret = await backend.tenants.create("myapp")
            good = token(secret, appid="app:myapp", iat=NOON_S, exp=NOON_S + 600, nbf=NOON_S - 5)
            for _ in range(2):  # the second time from the cache
                assert await backend.identity.bearer(good) == Principal("app", "myapp", "app:myapp")
            wrong = {
                "another app's key": token(ROOT_SECRET, appid="app:myapp", exp=NOON_S + 60),
                "no expiry": token(secret, appid="app:myapp"),
                "expired": token(secret, appid="app:myapp", exp=NOON_S),
                "not yet": token(secret, appid="app:myapp", exp=NOON_S + 60, nbf=NOON_S + 6),
                "unknown app": token(secret, appid="app:nobody", exp=NOON_S + 60),
                "no app": token(secret, exp=NOON_S + 60),
                "no token": "x.y.z",
            }
            for why, given in wrong.items():
                with pytest.raises(InvalidToken) as refused:
                    await backend.identity.bearer(given)
                assert refused.value.message, why
            clock.advance(600)
            with pytest.raises(InvalidToken, match="expired"):
                await backend.identity.bearer(good)

    run(main())


def test_a_token_that_names_a_user_is_no_super_token(tmp_path: Path) -> None:
    clock = ManualClock()

    async def main() -> None:
        async with open_backend(tmp_path, clock=clock) as backend:
            _, secret = await backend.tenants.create("myapp")
            user = Draft(type="user", id="u1", body={"identifier": "a@b.co", "email": "a@b.co", "groups": "users"})
            await backend.objects.create("myapp", user, owner("myapp"))
            given = token(secret, appid="app:myapp", sub="u1", exp=NOON_S + 60)
            with pytest.raises(InvalidToken):
                await backend.identity.bearer(given)
            assert await backend.identity.bearer(token(secret, appid="app:myapp", sub="u2", exp=NOON_S + 60))

    run(main())


def test_credentials_of_a_child_are_for_root_and_for_short_tokens(tmp_path: Path) -> None:
    clock = ManualClock()

    async def main() -> None:
        async with open_backend(tmp_path, clock=clock) as backend:
            _, secret = await backend.tenants.create("child")
            asks: dict[str, Any] = {"appid": "app:para", "iat": NOON_S, "getCredentials": "app:child"}
            asked = await backend.identity.credentials_asked(token(ROOT_SECRET, **asks, exp=NOON_S + 60))
            assert asked is not None
            assert asked.secret == secret
            for claims in ({**asks, "exp": NOON_S + 61}, {**asks, "iat": None, "exp": NOON_S + 10}):
                with pytest.raises(InvalidToken):
                    await backend.identity.credentials_asked(token(ROOT_SECRET, **claims))
            unknown = token(ROOT_SECRET, **{**asks, "getCredentials": "app:x"}, exp=NOON_S + 10)
            assert await backend.identity.credentials_asked(unknown) is None
            own = token(secret, **{**asks, "appid": "app:child", "getCredentials": "app:para"}, exp=NOON_S + 10)
            assert await backend.identity.credentials_asked(own) is None

    run(main())


# --- Basic and devices


def test_basic_takes_an_app_and_its_secret(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_backend(tmp_path) as backend:
            _, secret = await backend.tenants.create("myapp")
            assert await backend.identity.basic(basic("app:myapp", secret)) == Principal("app", "myapp", "app:myapp")
            for wrong in (
                basic("app:myapp", secret + "x"),
                basic("app:myapp", ""),
                basic("app:nobody", secret),
                basic("myapp", secret),
                basic("app:", secret),
                "Basic",
                "Basic %%%",
                "Basic " + base64.b64encode(b"\xff\xfe").decode(),
                "Basic " + base64.b64encode(b"no colon").decode(),
            ):
                with pytest.raises(Unauthenticated):
                    await backend.identity.basic(wrong)

    run(main())


def test_a_thing_proves_itself_by_certificate_or_by_secret(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_backend(tmp_path) as backend:
            app, _ = await backend.tenants.create("myapp")
            draft = Draft(type="thing", body={"name": "pi"}, credentials=True)
            made = await backend.objects.create("myapp", draft, owner("myapp"))
            details: Any = made.once["deviceDetails"]
            thing = Principal("thing", "myapp", made.object.id)
            device = backend.identity.device
            fingerprint = details["clientCertId"]
            assert await device(fingerprint=fingerprint, username=None, password=None) == thing
            assert await device(fingerprint=fingerprint.upper(), username="x", password="y") == thing
            name, secret = details["clientId"], details["secret"]
            assert await device(fingerprint=None, username=name, password=secret) == thing
            assert await backend.identity.basic(basic(name, secret)) == thing
            for fields in (
                {"fingerprint": "00" * 32, "username": name, "password": secret},
                {"fingerprint": None, "username": name, "password": secret + "x"},
                {"fingerprint": None, "username": name, "password": None},
                {"fingerprint": None, "username": "other", "password": secret},
                {"fingerprint": None, "username": None, "password": None},
            ):
                with pytest.raises(Unauthenticated):
                    await device(**fields)
            await change(backend, app, {"active": False})
            with pytest.raises(Forbidden):
                await device(fingerprint=fingerprint, username=None, password=None)

    run(main())


# --- the other doors


CASES = [
    pytest.param(NOBODY, "para", "hypermedia", "read", True, None, id="hypermedia reads are open on loopback"),
    pytest.param(NOBODY, "para", "hypermedia", "read", False, Unauthenticated, id="and closed elsewhere"),
    pytest.param(NOBODY, "para", "hypermedia", "write", True, Unauthenticated, id="hypermedia writes are not"),
    pytest.param(NOBODY, "para", "agent", "write", True, None, id="the agent is open on loopback"),
    pytest.param(NOBODY, "para", "agent", "write", False, Unauthenticated, id="and closed elsewhere"),
    pytest.param(NOBODY, "para", "context", "write", True, None, id="so is the context broker"),
    pytest.param(NOBODY, "para", "kits", "read", True, Unauthenticated, id="kits are closed"),
    pytest.param(NOBODY, "auto", "agent", "read", True, None, id="an autocreated app is as open as the default one"),
    pytest.param(NOBODY, "fresh", "agent", "write", True, None, id="one that would be created too"),
    pytest.param(NOBODY, "made", "agent", "read", True, Unauthenticated, id="an app that somebody made is closed"),
    pytest.param(owner("made"), "made", "agent", "write", False, None, id="to its owner it is open"),
    pytest.param(owner("auto"), "made", "agent", "read", True, Forbidden, id="to another app it is not"),
    pytest.param(owner("para"), "made", "hypermedia", "read", False, Forbidden, id="nor to root"),
    pytest.param(owner("para"), "auto", "hypermedia", "write", False, None, id="autocreated apps are root's"),
    pytest.param(owner("para"), "fresh", "agent", "write", False, None, id="their making too"),
    pytest.param(owner("made"), "auto", "hypermedia", "write", False, Forbidden, id="but no other app's"),
    pytest.param(Principal("user", "made", "u1"), "made", "kits", "read", False, Forbidden, id="a user needs a grant"),
    pytest.param(NOBODY, "public", "hypermedia", "read", False, None, id="an app opens its own door"),
    pytest.param(NOBODY, "public", "hypermedia", "write", False, Unauthenticated, id="that one only"),
    pytest.param(NOBODY, "closed", "agent", "read", True, Unauthenticated, id="or closes it"),
]


@pytest.mark.parametrize(("principal", "app", "door", "action", "loopback", "error"), CASES)
def test_who_passes(
    tmp_path: Path, principal: Principal, app: str, door: Any, action: Any, loopback: bool, error: Any
) -> None:
    async def main() -> None:
        async with open_backend(tmp_path) as backend:
            tenants = backend.tenants
            await tenants.create("made")
            await tenants.ensure("auto")
            public, _ = await tenants.create("public")
            await change(backend, public, {"settings": {"hypermedia.read": "open"}})
            await change(backend, await tenants.ensure("closed"), {"settings": {"agent.access": "auth"}})
            for name in ("para", "made", "auto", "public", "closed"):
                await tenants.get(name)
            if error is None:
                await backend.access.check(principal, app, door, action, loopback=loopback)
                return
            with pytest.raises(error) as refused:
                await backend.access.check(principal, app, door, action, loopback=loopback)
            assert type(refused.value) is error
            assert set(refused.value.details) == {"rule", "actor", "right"}

    run(main())


def test_settings_of_the_server_govern_the_default_app_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_backend(tmp_path, hypermedia_read="open", agent_access="auth", default_app="site") as backend:
            for name in ("site", "other"):
                await backend.tenants.create(name)
            access = backend.access
            await access.check(NOBODY, "site", "hypermedia", "read", loopback=False)
            for app, door in (("other", "hypermedia"), ("para", "hypermedia"), ("site", "agent"), ("site", "context")):
                with pytest.raises(Unauthenticated):
                    await access.check(NOBODY, app, door, "read", loopback=False)  # pyright: ignore[reportArgumentType]

    run(main())


def test_a_thing_passes_for_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_backend(tmp_path) as backend:
            await backend.tenants.create("made")
            me = Principal("thing", "made", "t1")
            await backend.access.check(me, "made", "kits", "write", loopback=False, thing="t1")
            for app, thing in (("made", "t2"), ("made", None), ("para", "t1")):
                with pytest.raises(Forbidden):
                    await backend.access.check(me, app, "kits", "read", loopback=False, thing=thing)

    run(main())


def test_the_header_decides_how_a_principal_is_proven(tmp_path: Path) -> None:
    clock = ManualClock()

    async def main() -> None:
        async with open_backend(tmp_path, clock=clock) as backend:
            _, secret = await backend.tenants.create("myapp")
            myapp = Principal("app", "myapp", "app:myapp")
            signed = request(Signer("app:myapp", secret), method="POST", url="http://localhost:8080/x?a=1", body=b"{}")
            access = backend.access
            assert await access.principal({}) == NOBODY
            assert await access.principal({"authorization": "  "}) == NOBODY
            assert await access.principal({"authorization": basic("app:myapp", secret)}) == myapp
            bearer = "bearer " + token(secret, appid="myapp", exp=NOON_S + 60)
            assert await access.principal({"authorization": bearer}) == myapp
            found = await access.principal(signed.headers, method="POST", raw_path="/x", raw_query="a=1", body=b"{}")
            assert found == myapp
            with pytest.raises(BadSignature):
                await access.principal(signed.headers, method="POST", raw_path="/x", raw_query="a=1", body=b"{ }")
            assert await access.principal({"authorization": "Anonymous app:myapp"}) == Principal("guest", "myapp")
            for wrong in ("Digest x", "Bearer", "Anonymous", "Anonymous app:"):
                with pytest.raises(Unauthenticated):
                    await access.principal({"authorization": wrong})

    run(main())
