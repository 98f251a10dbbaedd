"""Users are found, made, joined and locked out as identity.md 7 says, whoever writes them: CRUD, batches, imports,
sign-ins; and their tokens end when they should (6.2)."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bcrypt
import msgspec
import pytest

from support.aio import run
from support.backend import open_backend, owner
from support.environment import NOON, ManualClock
from thingstead.core.backend import Backend
from thingstead.core.objects import Draft
from thingstead.core.passwords import Passwords
from thingstead.core.signin.signing import SignedIn
from thingstead.core.tenants import App
from thingstead.model import passwords as rules
from thingstead.model import tokens
from thingstead.model.errors import Forbidden, InvalidInput, InvalidToken, LimitReached, SignInFailed, Unauthenticated
from thingstead.model.objects import Object
from thingstead.model.users import Delegated, Picture, Profile

APP = "people"
CHEAP = bcrypt.hashpw(b"a good password", bcrypt.gensalt(4)).decode()
ACTOR = owner(APP)


@asynccontextmanager
async def opened(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[Backend, App]]:
    async with open_backend(tmp_path, clock=ManualClock(NOON), **settings) as backend:
        await backend.tenants.create(APP)
        yield backend, await backend.tenants.get(APP)


async def made(backend: Backend, identifier: str, **body: Any) -> Object:
    fields = {"identifier": identifier, "email": "x@example.com", "active": True, **body}
    return (await backend.objects.create(APP, Draft(type="user", body=fields), ACTOR)).object


async def with_password(backend: Backend, email: str, hash: str = CHEAP) -> Object:
    """An active user who can sign in with `a good password`."""
    user = await made(backend, email, email=email)
    await backend.objects.patch(APP, email.lower(), {"password": hash}, ACTOR)
    return user


async def reason(backend: Backend, app: App, provider: str, token: str) -> str:
    with pytest.raises(SignInFailed) as caught:
        await backend.signin.with_token(app, provider, token)
    return caught.value.details["reason"]


async def identifiers(backend: Backend, user: str) -> list[str]:
    return sorted(o.id for o in await backend.objects.list(APP, type="sysprop") if o.creatorid == user)


async def refused(backend: Backend, signed_in: SignedIn) -> bool:
    try:
        await backend.identity.bearer(signed_in.token)
    except InvalidToken:
        return True
    return False


# --- users as objects


def test_a_user_made_by_its_app_is_whole(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, admin_ident="Boss@Example.com") as (backend, _):
            user = await made(
                backend,
                "Jane@Example.com",
                email="Jane@Example.com",
                name="  Jane <b>  O'Neil ",
                currency="beads",
                password="ignored, every word of it",
            )
            assert user.own["identifier"] == user.own["email"] == "jane@example.com"
            assert user.own["identityProvider"] == "generic"
            assert user.name == "Jane b O'Neil"
            assert user.own["groups"] == "users"
            assert user.own["currency"] == "EUR"
            assert str(user.own["picture"]).startswith("https://www.gravatar.com/avatar/")
            held = await backend.objects.get(APP, "jane@example.com")
            assert (held.type, held.name, held.creatorid, held.custom) == ("sysprop", "identifier", user.id, {})
            for word in (b"tokenSecret", b"ignored", b"unverified"):
                assert word not in user.public()
            assert (await made(backend, "boss@example.com")).own["groups"] == "admins"
            unnamed = await made(backend, "gh:1", name="***", currency="usd", groups="mods", active=None)
            assert (unnamed.name, unnamed.own["currency"]) == (f"ParaObject {unnamed.id}", "USD")
            assert (unnamed.own["groups"], unnamed.own["active"]) == ("mods", False)

    run(main())


def test_a_user_is_refused_with_the_field_that_is_wrong(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (backend, _):
            await made(backend, "jane@example.com")
            await backend.objects.create(APP, Draft(type="note", id="a note", body={}), ACTOR)
            before = await backend.store.objects.count(APP)
            for identifier, field in (
                ("", "identifier"),
                ("  ", "identifier"),
                ("JANE@example.com", "identifier"),
                ("a note", "identifier"),
                ("app:x", "identifier"),
                ("ldap:DOMAIN\\jane", "identifier"),
                ("x" * 2000, "identifier"),
            ):
                with pytest.raises(InvalidInput) as caught:
                    await made(backend, identifier)
                assert caught.value.field == field
            for body in ({"email": "none"}, {"email": ""}, {"email": None}):
                with pytest.raises(InvalidInput) as caught:
                    await made(backend, "gh:2", **body)
                assert caught.value.field == "email"
            itself = Draft(type="user", id="me", body={"identifier": "me", "email": "x@example.com"})
            with pytest.raises(InvalidInput):
                await backend.objects.create(APP, itself, ACTOR)
            outcomes = await backend.objects.create_many(
                APP,
                [Draft(type="user", body={"identifier": "gh:7", "email": "a@example.com"}) for _ in range(2)],
                ACTOR,
            )
            assert [isinstance(outcome, InvalidInput) for outcome in outcomes] == [False, True]
            assert await backend.store.objects.count(APP) == before + 2

    run(main())


def test_of_users_made_at_once_with_one_identifier_one_is_made(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (backend, _):
            tries = [made(backend, "gh:1", email=f"u{n}@example.com") for n in range(20)]
            outcomes = await asyncio.gather(*tries, return_exceptions=True)
            users = [outcome for outcome in outcomes if isinstance(outcome, Object)]
            assert len(users) == 1
            assert all(isinstance(o, InvalidInput) for o in outcomes if o is not users[0])
            assert await backend.store.objects.count(APP, type="user") == 1
            assert (await backend.objects.get(APP, "gh:1")).creatorid == users[0].id

    run(main())


def test_a_patch_keeps_what_is_locked_and_moves_the_identifier(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (backend, app):
            user = await with_password(backend, "old@example.com")
            await made(backend, "gh:taken")
            signed_in = await backend.signin.with_token(app, "password", "old@example.com::a good password")
            patched = await backend.objects.patch(
                APP,
                user.id,
                {"identifier": "NEW@example.com", "groups": "admins", "email": "Else@Example.com", "tokenSecret": "x"},
                ACTOR,
            )
            own = patched.object.own
            assert (own["identifier"], own["groups"], own["email"]) == ("new@example.com", "users", "else@example.com")
            assert await identifiers(backend, user.id) == ["new@example.com"]
            assert not await refused(backend, signed_in)
            assert await reason(backend, app, "password", "old@example.com::short") == "password_length"
            again = await backend.signin.with_token(app, "password", "new@example.com::a good password")
            assert again.user.id == user.id
            bodies: list[dict[str, Any]] = [{"identifier": "gh:taken"}, {"email": "none"}]
            for bad in bodies:
                with pytest.raises(InvalidInput):
                    await backend.objects.patch(APP, user.id, bad, ACTOR)
            assert (await backend.objects.get(APP, user.id)).own["identifier"] == "new@example.com"
            # what clients do: read, change, write back whole
            whole = dict((await backend.objects.get(APP, user.id)).wire(), name="Renamed", identifier="")
            assert (await backend.objects.patch(APP, user.id, whole, ACTOR)).object.name == "Renamed"
            assert not await refused(backend, again)
            put = await backend.objects.overwrite(APP, Draft(type="user", id=user.id, body=whole | own), ACTOR)
            assert put.object.id == user.id
            assert not await refused(backend, again)

    run(main())


def test_a_deleted_user_takes_its_identifiers_and_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (backend, app):
            proven = Profile(identifier="gh:1", email="jane@example.com", email_proven=True)
            first = await backend.signin.with_profile(app, proven)
            other = await made(backend, "gh:9")
            second = await backend.signin.with_profile(
                app, Profile(identifier="gp:2", email="jane@example.com", email_proven=True)
            )
            assert second.user.id == first.user.id
            assert await identifiers(backend, first.user.id) == ["gh:1", "gp:2"]
            body: dict[str, Any] = {"name": "a list", "creatorid": first.user.id}
            kept = (await backend.objects.create(APP, Draft(type="sysprop", body=body), ACTOR)).object.id
            await backend.objects.delete_many(APP, [first.user.id], ACTOR)
            left = [obj.id for obj in await backend.objects.list(APP)]
            assert sorted(left) == sorted([other.id, "gh:9", kept])
            assert await refused(backend, second)
            assert (await backend.signin.with_profile(app, proven)).user.id not in (first.user.id, other.id)

    run(main())


def test_an_identifier_whose_user_is_gone_may_be_had(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (backend, _):
            body: dict[str, Any] = {"name": "identifier", "creatorid": "nobody", "password": CHEAP}
            await backend.objects.create(APP, Draft(type="sysprop", id="gh:1", body=body), ACTOR)
            user = await made(backend, "gh:1")
            held = await backend.objects.get(APP, "gh:1")
            assert (held.creatorid, held.custom) == (user.id, {})

    run(main())


def test_an_archive_brings_users_back_without_their_tokens(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (backend, app):
            user = await with_password(backend, "jane@example.com")
            signed_in = await backend.signin.with_token(app, "password", "jane@example.com::a good password")
            export = await backend.archives.export(APP)
            archive = b"".join([piece async for piece in export.pieces])
            assert b"tokenSecret" not in archive
            await backend.archives.load(APP, io.BytesIO(archive), None, ACTOR)
            assert not await refused(backend, signed_in)
            await backend.objects.delete(APP, user.id, ACTOR)
            await backend.archives.load(APP, io.BytesIO(archive), None, ACTOR)
            assert await identifiers(backend, user.id) == ["jane@example.com"]
            assert await refused(backend, signed_in)
            again = await backend.signin.with_token(app, "password", "jane@example.com::a good password")
            assert again.user.id == user.id

    run(main())


# --- signing in


def test_profiles_make_find_join_and_update_users(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (backend, app):

            async def signed_in(identifier: str, **about: Any) -> Object:
                return (await backend.signin.with_profile(app, Profile(identifier=identifier, **about))).user

            bare = await signed_in("gh:1", domain="github.com", picture="https://x.example/p.png?s=1")
            assert (bare.own["email"], bare.name, bare.own["active"]) == (f"{bare.id}@github.com", "No Name", True)
            assert (bare.own["picture"], bare.own["identityProvider"]) == ("https://x.example/p.png", "github")
            hash = (await backend.objects.get(APP, "gh:1")).custom["password"]
            assert isinstance(hash, str)
            assert rules.cost_of(hash) == rules.COST
            proven: dict[str, Any] = {"email": "Jane@Example.com", "email_proven": True}
            jane = await signed_in("gp:1", name="Jane", **proven)
            assert (jane.own["email"], jane.name) == ("jane@example.com", "Jane")
            # not proven: an account of its own, which nobody is joined to
            stranger = await signed_in("fb:1", email="jane@example.com")
            assert stranger.id != jane.id
            assert (await signed_in("in:1", **proven)).id == jane.id
            unproven = await signed_in("fb:2", email="joe@example.com")
            assert (await signed_in("gp:2", email="joe@example.com", email_proven=True)).id != unproven.id
            # known under another form, updated, its identifier now the one it came with
            slack = await signed_in("sl:u", name="Ann")
            again = await signed_in(
                "sl:u:t", also=("sl:u",), name="Ann B", picture="https://x.example/2?x", groups="mods"
            )
            assert (again.id, again.name, again.own["identifier"]) == (slack.id, "Ann B", "sl:u:t")
            assert (again.own["picture"], again.own["groups"]) == ("https://x.example/2?x", "mods")
            assert await identifiers(backend, slack.id) == ["sl:u", "sl:u:t"]
            kept = await signed_in("sl:u:t", name="  ", email="no address")
            assert (kept.name, kept.own["email"], kept.own["groups"]) == ("Ann B", slack.own["email"], "mods")
            delegated = await signed_in("oa2:1", delegated=Delegated("a", "r", "i"))
            whole = await backend.objects.get(APP, delegated.id)
            await backend.objects.overwrite(APP, Draft(type="user", id=delegated.id, body=whole.wire()), ACTOR)
            assert (await backend.objects.get(APP, delegated.id)).hidden["delegatedTokens"] == whole.hidden[
                "delegatedTokens"
            ]
            pixels = await signed_in("ms:1", avatar=Picture("png", b"pixels"), picture="https://x.example/3")
            stream = await backend.files.load(f"{APP}/{pixels.id}.png")
            assert stream is not None
            assert b"".join([part async for part in stream]) == b"pixels"
            assert str(pixels.own["picture"]).endswith(f"{pixels.id}.png")

    run(main())


def test_profiles_that_do_not_get_in(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (backend, app):

            async def why(**about: Any) -> str:
                with pytest.raises(SignInFailed) as caught:
                    await backend.signin.with_profile(app, Profile(**about))
                return caught.value.details["reason"]

            inactive = await made(backend, "gh:1", active=False)
            assert await why(identifier="gh:1") == "inactive"
            assert await why(identifier="gh:2", registers=False) == "unknown_user"
            assert await why(identifier="a\\b") == "refused_invalid"
            assert not await backend.files.load(f"{APP}/{inactive.id}.png")
            await backend.objects.patch("para", "app:people", {"readOnly": True}, owner("para"))
            assert await backend.store.objects.count(APP, type="user") == 1

    run(main())


def test_who_signs_up_waits_for_activation_unless_the_app_says_otherwise(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (backend, app):
            assert await reason(backend, app, "password", "no address::a good password") == "no_email"
            assert await reason(backend, app, "password", "a@example.com::short") == "password_length"
            assert await reason(backend, app, "password", "a@example.com::" + "x" * 5001) == "password_length"
            assert await reason(backend, app, "password", "a@example.com::   ") == "blank"
            await made(backend, "gh:1", email="taken@example.com")
            assert await reason(backend, app, "password", "taken@example.com::a good password") == "email_taken"
            assert await backend.store.objects.count(APP, type="user") == 1
            assert await reason(backend, app, "password", "Jane@Example.com:Jane:a good password") == "inactive"
            user = await backend.users.find(APP, "jane@example.com")
            assert user is not None
            assert (user.own["active"], user.own["groups"], user.name) == (False, "users", "Jane")
            held = await backend.objects.get(APP, "jane@example.com")
            assert bcrypt.checkpw(b"a good password", str(held.custom["password"]).encode())
            await backend.tenants.put_setting(APP, "security.allow_unverified_emails", True)
            app = await backend.tenants.get(APP)
            long = "joe@example.com::" + "long " * 30
            joe = (await backend.signin.with_token(app, "GENERIC", long)).user
            assert joe.own["active"] is True
            assert (await backend.signin.with_token(app, "Password", long)).user.id == joe.id
            assert await reason(backend, app, "password", long + "x") == "wrong_password"
            # nobody proved that address: whoever does is somebody else
            proven = Profile(identifier="gp:1", email="joe@example.com", email_proven=True)
            assert (await backend.signin.with_profile(app, proven)).user.id != joe.id

    run(main())


def test_a_sign_in_makes_only_users_that_the_apps_own_constraints_allow(tmp_path: Path) -> None:
    """As `POST /v1/users` (identity.md 7.3); who is a user already is not locked out by a constraint that is new, for
    constraints are those of POST, PUT, PATCH and batches (objects.md 11.3)."""

    async def main() -> None:
        async with opened(tmp_path) as (backend, app):
            jane = Profile(identifier="gp:1", email="jane@example.com", name="Jane")
            before = (await backend.signin.with_profile(app, jane)).user
            await backend.tenants.add_constraint(APP, "user", "name", "size", {"min": 6, "max": 20})
            await backend.tenants.put_setting(APP, "security.allow_unverified_emails", True)
            app = await backend.tenants.get(APP)
            with pytest.raises(SignInFailed) as refused:
                await backend.signin.with_profile(app, Profile(identifier="gp:2", email="joe@example.com", name="Joe"))
            assert refused.value.details["reason"] == "refused_constraint_violation"
            assert (
                await reason(backend, app, "password", "joe@example.com:Joe:a good password")
                == "refused_constraint_violation"
            )
            assert await backend.users.find(APP, "gp:2") is None
            assert await backend.users.find(APP, "joe@example.com") is None
            longer = "joe@example.com:Joe Bloggs:a good password"
            assert (await backend.signin.with_token(app, "password", longer)).user.name == "Joe Bloggs"
            again = msgspec.structs.replace(jane, name="Jan")
            after = (await backend.signin.with_profile(app, again)).user
            assert (after.id, after.name) == (before.id, "Jan")

    run(main())


def test_wrong_passwords_lock_and_a_lock_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, max_pass_matching_attempts=3) as (backend, app):
            await with_password(backend, "jane@example.com")
            right, wrong = "jane@example.com::a good password", "jane@example.com::a bad password"
            assert await reason(backend, app, "password", wrong) == "wrong_password"
            assert await reason(backend, app, "password", wrong) == "wrong_password"
            await backend.signin.with_token(app, "password", right)  # forgets them, and hashes as costly as today's
            held = await backend.objects.get(APP, "jane@example.com")
            assert rules.cost_of(str(held.custom["password"])) == rules.COST
            # several at once: no more are checked than may be
            tries = [reason(backend, app, "password", wrong) for _ in range(5)]
            assert sorted(await asyncio.gather(*tries)) == ["locked"] * 2 + ["wrong_password"] * 3
            assert await reason(backend, app, "password", right) == "locked"
            held = await backend.objects.get(APP, "jane@example.com")
            assert held.custom["lockedUntil"] == NOON // 1000 + 3_600_000
            assert b"failures" not in held.public()
            clock = backend.clock
            assert isinstance(clock, ManualClock)
            clock.advance(3600)
            assert await reason(backend, app, "password", wrong) == "wrong_password"
            await backend.signin.with_token(app, "password", right)
            assert (await backend.objects.get(APP, "jane@example.com")).custom.keys() == {"password"}

    run(main())


def test_a_storm_of_sign_ins_is_bounded_and_leaves_the_loop_alone() -> None:
    async def main() -> None:
        passwords = Passwords(threads=1, most_waiting=1)
        turns = 0

        async def loop_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(loop_turns())
        outcomes = await asyncio.gather(*(passwords.check("x", CHEAP) for _ in range(20)), return_exceptions=True)
        counting.cancel()
        assert outcomes.count(False) == 2
        assert sum(isinstance(outcome, LimitReached) for outcome in outcomes) == 18
        assert turns > 100
        assert passwords.pending == 0
        assert await passwords.check("a good password", CHEAP) is True
        passwords.close()

    run(main())


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_hashes_of_others_are_checked(prefix: str) -> None:
    async def main() -> None:
        passwords = Passwords()
        hash = prefix + CHEAP[4:]
        assert await passwords.check("a good password", hash)
        assert not await passwords.check("a bad password", hash)
        assert not await passwords.check("a good password", "")
        assert not await passwords.check("a good password", hash + "x")
        passwords.close()

    run(main())


# --- tokens


def test_tokens_end_when_they_should(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (backend, app):
            profile = Profile(identifier="gh:1")
            first = await backend.signin.with_profile(app, profile)
            user = first.user.id
            principal = await backend.identity.bearer(first.token)
            assert (principal.kind, principal.app, principal.id, principal.groups) == ("user", APP, user, "users")
            claims = tokens.peek(first.token)
            assert (claims.sub, claims.appid, claims.exp) == (user, "app:people", NOON // 1_000_000 + 86_400)
            assert (first.expires, first.refresh) == (NOON // 1000 + 86_400_000, NOON // 1000 + 3_600_000)
            second = await backend.signin.with_profile(app, profile)
            assert await refused(backend, first)
            both = await asyncio.gather(
                *(backend.signin.refresh(second.token) for _ in range(2)), return_exceptions=True
            )
            third = next(outcome for outcome in both if isinstance(outcome, SignedIn))
            assert sum(isinstance(outcome, InvalidToken) for outcome in both) == 1
            assert await refused(backend, second)
            assert third.user.id == user
            # a profile that changes in between undoes nothing
            renames = [backend.objects.patch(APP, user, {"name": f"n{n}"}, ACTOR) for n in range(10)]
            await asyncio.gather(backend.signin.revoke(third.token), *renames)
            assert await refused(backend, third)
            fourth = await backend.signin.with_profile(app, profile)
            await backend.objects.patch(APP, user, {"active": False}, ACTOR)
            assert await refused(backend, fourth)
            await backend.objects.patch(APP, user, {"active": True}, ACTOR)
            assert not await refused(backend, fourth)
            await backend.tenants.new_keys(APP)
            assert await refused(backend, fourth)
            app = await backend.tenants.get(APP)
            fifth = await backend.signin.with_profile(app, profile)
            clock = backend.clock
            assert isinstance(clock, ManualClock)
            clock.advance(86_399)
            assert not await refused(backend, fifth)
            await backend.objects.patch("para", "app:people", {"active": False}, owner("para"))
            with pytest.raises(Forbidden):
                await backend.identity.bearer(fifth.token)
            await backend.objects.patch("para", "app:people", {"active": True}, owner("para"))
            clock.advance(1)
            assert await refused(backend, fifth)

    run(main())


@pytest.mark.parametrize(("overall", "own", "one"), [(True, None, True), (True, False, False), (False, "true", True)])
def test_an_app_says_whether_tokens_live_side_by_side(tmp_path: Path, overall: bool, own: Any, one: bool) -> None:
    async def main() -> None:
        async with opened(tmp_path, one_session_per_user=overall) as (backend, app):
            if own is not None:
                await backend.tenants.put_setting(APP, "security.one_session_per_user", own)
                await backend.tenants.put_setting(APP, "session_timeout", -100)
                app = await backend.tenants.get(APP)
            clock = backend.clock
            assert isinstance(clock, ManualClock)
            first = await backend.signin.with_profile(app, Profile(identifier="gh:1"))
            if own is not None:
                assert (first.expires - NOON // 1000, first.refresh - NOON // 1000) == (100_000, 50_000)
            clock.advance(1)
            second = await backend.signin.with_profile(app, Profile(identifier="gh:1"))
            assert await refused(backend, first) is one
            clock.advance(1)
            third = await backend.signin.refresh(second.token)
            assert await refused(backend, second) is one
            await backend.signin.revoke(third.token)
            assert all([await refused(backend, each) for each in (first, second, third)])

    run(main())


def test_tokens_of_roots_users_and_of_apps_are_no_sessions(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (backend, app):
            root = await backend.tenants.get("para")
            signed_in = await backend.signin.with_profile(root, Profile(identifier="gh:1", groups="admins"))
            assert await refused(backend, signed_in)
            assert (await backend.identity.bearer(signed_in.token, about_me=True)).id == signed_in.user.id
            now = NOON // 1_000_000
            claims = tokens.super_claims("app:people", now=now, expires=now + 60)
            for token in (signed_in.token, tokens.issue(claims, app.secret), "x", ""):
                with pytest.raises(InvalidToken):
                    await backend.signin.refresh(token)
                with pytest.raises(InvalidToken):
                    await backend.signin.revoke(token)
            # signed by the app alone, a user's name makes no user of it
            user = await made(backend, "gh:1")
            forged = tokens.issue({**claims, "sub": user.id}, app.secret)
            with pytest.raises(InvalidToken):
                await backend.identity.bearer(forged)

    run(main())


# --- passwordless


def person(key: str, **claims: Any) -> str:
    now = NOON // 1_000_000
    return tokens.issue({"iat": now, "exp": now + 60, **claims}, key)


def test_a_login_server_of_the_apps_own_says_who_somebody_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (backend, app):
            about = {"identifier": "custom:1", "email": "Jane@example.com", "name": "Jane", "groups": "mods"}
            jane = (await backend.signin.with_token(app, "passwordless", person(app.secret, **about))).user
            assert (jane.own["identifier"], jane.own["email"], jane.name) == ("custom:1", "jane@example.com", "Jane")
            assert (jane.own["groups"], jane.own["active"]) == ("mods", True)
            changed = person(
                app.secret, **{**about, "name": "Jane B", "groups": "admins", "picture": "https://x.example/"}
            )
            again = (await backend.signin.with_token(app, "passwordless", changed)).user
            assert (again.id, again.name, again.own["groups"]) == (jane.id, "Jane B", "mods")
            key = "k" * 32
            await backend.tenants.put_setting(APP, "app_secret_key", key)
            app = await backend.tenants.get(APP)
            assert (await backend.signin.with_token(app, "passwordless", person(key, **about))).user.id == jane.id
            for token in (
                person(app.secret, **about),  # a key of its own replaces the secret
                person(key, email="jane@example.com"),
                person(key, **{**about, "identifier": " "}),
                person(key, **{**about, "exp": 1}),
                person(key, **{**about, "nbf": NOON // 1_000_000 + 60}),
                person("l" * 32, **about),
                person(key, identifier=7),
                "x.y.z",
            ):
                with pytest.raises(SignInFailed):
                    await backend.signin.with_token(app, "passwordless", token)
            await backend.tenants.put_setting(APP, "app_secret_key", "too short")
            app = await backend.tenants.get(APP)
            with pytest.raises(SignInFailed):
                await backend.signin.with_token(app, "passwordless", person(app.secret, **about))

    run(main())


def test_an_id_token_works_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (backend, app):
            first = await backend.signin.with_profile(app, Profile(identifier="gh:1", name="Jane"))
            id_token = backend.signin.id_token(app, first.user)
            claims = tokens.peek_person(id_token)
            assert (claims.identifier, claims.name, claims.email) == ("gh:1", "Jane", first.user.own["email"])
            assert str(claims.picture).startswith("https://www.gravatar.com/")
            assert claims.exp == NOON // 1_000_000 + 60
            tries = [backend.signin.with_token(app, "passwordless", id_token) for _ in range(5)]
            outcomes = await asyncio.gather(*tries, return_exceptions=True)
            redeemed = [outcome for outcome in outcomes if isinstance(outcome, SignedIn)]
            assert [each.user.id for each in redeemed] == [first.user.id]
            with pytest.raises(SignInFailed):
                await backend.signin.with_token(app, "passwordless", id_token)
            late = backend.signin.id_token(app, redeemed[0].user)
            clock = backend.clock
            assert isinstance(clock, ManualClock)
            clock.advance(60)
            with pytest.raises(SignInFailed):
                await backend.signin.with_token(app, "passwordless", late)

    run(main())


# --- one-time tokens


def test_a_password_is_reset_once_in_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, max_pass_matching_attempts=1) as (backend, app):
            user = await with_password(backend, "jane@example.com")
            one_time = backend.one_time
            signed_in = await backend.signin.with_token(app, "password", "jane@example.com::a good password")
            assert await reason(backend, app, "password", "jane@example.com::a bad password") == "wrong_password"
            assert await one_time.issue(APP, "nobody@example.com", "token") is None
            old = await one_time.issue(APP, "Jane@example.com", "token")
            token = await one_time.issue(APP, "jane@example.com", "token")
            assert old is not None
            assert token is not None
            assert len(token) == 56
            assert token.encode() not in (await backend.objects.get(APP, "jane@example.com")).public()
            with pytest.raises(InvalidInput):
                await one_time.reset_password(APP, "jane@example.com", token, "short")
            for bad in (old, "", token + "x"):
                assert not await one_time.reset_password(APP, "jane@example.com", bad, "another password")
            assert not await one_time.confirm(APP, "jane@example.com", token)
            tries = [one_time.reset_password(APP, "JANE@example.com", token, f"another password {n}") for n in range(3)]
            done = await asyncio.gather(*tries)
            assert done.count(True) == 1
            assert await refused(backend, signed_in)
            password = f"another password {done.index(True)}"
            again = await backend.signin.with_token(app, "password", f"jane@example.com::{password}")
            assert again.user.id == user.id
            late = await one_time.issue(APP, "jane@example.com", "token")
            assert late is not None
            clock = backend.clock
            assert isinstance(clock, ManualClock)
            clock.advance(1800)
            assert not await one_time.reset_password(APP, "jane@example.com", late, "a third password")

    run(main())


def test_an_address_is_confirmed_and_from_then_on_proven(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (backend, app):
            assert await reason(backend, app, "password", "jane@example.com:Jane:a good password") == "inactive"
            token = await backend.one_time.issue(APP, "jane@example.com", "etoken")
            assert token is not None
            assert not await backend.one_time.reset_password(APP, "jane@example.com", token, "another password")
            assert await backend.one_time.confirm(APP, "jane@example.com", token)
            assert not await backend.one_time.confirm(APP, "jane@example.com", token)
            jane = (await backend.signin.with_token(app, "password", "jane@example.com::a good password")).user
            proven = Profile(identifier="gp:1", email="jane@example.com", email_proven=True)
            assert (await backend.signin.with_profile(app, proven)).user.id == jane.id

    run(main())


# --- names and passwords at every request


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_a_user_shows_a_password_at_each_request(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, max_pass_matching_attempts=2) as (backend, _):
            user = await with_password(backend, "jane@example.com")
            await made(backend, "gh:1", email="jane@example.com")
            bearer = backend.identity.basic

            async def unknown(name: str, password: str) -> bool:
                with pytest.raises(Unauthenticated):
                    await bearer(basic(name, password))
                return True

            for name in ("app:people/jane@example.com", "people/Jane@Example.com"):
                principal = await bearer(basic(name, "a good password"))
                assert (principal.kind, principal.app, principal.id, principal.groups) == (
                    "user",
                    APP,
                    user.id,
                    "users",
                )
            checked = 0
            passwords = backend.users._passwords  # pyright: ignore[reportPrivateUsage]
            check = passwords.check

            async def counted(password: str, hash: str) -> bool:
                nonlocal checked
                checked += 1
                return await check(password, hash)

            passwords.check = counted  # only counts
            for _ in range(50):
                await bearer(basic("people/jane@example.com", "a good password"))
            assert checked <= 1  # once more after the hash became as costly as today's
            assert await unknown("people/nobody@example.com", "a good password")
            assert await unknown("people/jane@example.com", "")
            assert await unknown("jane@example.com", "a good password")  # of the default app, the root app here
            assert await unknown("nowhere/jane@example.com", "a good password")
            assert await unknown("people/jane@example.com", "a bad password")
            assert await unknown("people/jane@example.com", "a bad password")
            assert await unknown("people/jane@example.com", "a good password")  # locked
            await backend.objects.patch(APP, "jane@example.com", {"lockedUntil": None}, ACTOR)
            await bearer(basic("people/jane@example.com", "a good password"))
            await backend.objects.patch(APP, user.id, {"active": False}, ACTOR)
            assert await unknown("people/jane@example.com", "a good password")
            await backend.objects.patch(APP, user.id, {"active": True}, ACTOR)
            await backend.objects.patch(
                APP,
                "jane@example.com",
                {"password": CHEAP[:-5] + ("a" if CHEAP[-5] != "a" else "b") + CHEAP[-4:]},
                ACTOR,
            )
            assert await unknown("people/jane@example.com", "a good password")

    run(main())
