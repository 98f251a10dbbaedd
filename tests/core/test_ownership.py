"""What users do through core is confined whichever door asks (identity.md 10.5, 11): ids, creators, fields, deletes,
links and searches, whose totals count only what is shown. Apps and admins are not confined."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support.backend import open_backend, owner
from thingstead.core.backend import Backend
from thingstead.core.objects import Draft, Written
from thingstead.model.errors import InvalidInput, NotFound, ThingsteadError
from thingstead.model.links import children, linked
from thingstead.model.ownership import Scope
from thingstead.model.principals import Principal
from thingstead.model.query import ast
from thingstead.model.query.build import Limits, plan
from thingstead.model.users import UNVERIFIED
from thingstead.model.values import JsonObject, parse_object

APP = "shop"
PERMISSIONS: JsonObject = {
    "*": {
        "todo": ["*", "OWN"],
        "todo/*": ["*", "OWN"],
        "cat": ["*"],
        "room": ["*"],
        "tag": ["*", "OWN"],
        "sysprop": ["*"],
        "user": ["*"],
    }
}


def user(id: str, groups: str = "users") -> Principal:
    return Principal("user", APP, id, groups=groups)


ANN, BOB, ADMIN, GUEST = user("ann"), user("bob"), user("root", "admins"), Principal("guest", APP)


class Core:
    """Core as one app sees it."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.objects = backend.objects

    async def put(self, type: str, id: str, actor: Principal | None = None, **body: Any) -> str:
        draft = Draft(type=type, body={"id": id, **body}, posted=True)
        return (await self.objects.create(APP, draft, actor or owner(APP))).object.id

    async def over(self, type: str, id: str, actor: Principal, **body: Any) -> str:
        return (await self.objects.overwrite(APP, Draft(type=type, id=id, body=body), actor)).object.id

    async def scope(self, actor: Principal) -> Scope:
        scope = (await self.backend.tenants.get(APP)).scope(actor)
        assert scope is not None
        return scope

    async def found(self, actor: Principal, kind: str, type: str | None, **params: str) -> tuple[list[str], int]:
        query = plan(kind, type, {name: value.split("|") for name, value in params.items()})
        page = await self.backend.search.find(APP, query, (await self.scope(actor)).only())
        return sorted(page.ids), page.total

    async def stored(self, id: str) -> JsonObject:
        return parse_object(await self.objects.public(APP, id))


@asynccontextmanager
async def core_of(directory: Path) -> AsyncIterator[Core]:
    async with open_backend(directory) as backend:
        await backend.tenants.create(APP)
        root = owner("para")
        await backend.objects.patch("para", f"app:{APP}", {"resourcePermissions": PERMISSIONS}, root)
        core = Core(backend)
        await core.put("todo", "of-app")
        for who in ("ann", "bob"):
            for n in range(3):
                await core.put("todo", f"{who}{n}", user(who), name=f"{who} word{n}", n=n, text=f"word{n}")
        await core.put("todo", "child", parentid="ann")
        await core.put("cat", "tom", BOB, name="bob word0", text="word0")
        yield core


def in_core(tmp_path: Path, work: Any) -> None:
    async def main() -> None:
        async with core_of(tmp_path) as core:
            await work(core)

    asyncio.run(main())


async def refused(work: Coroutine[Any, Any, object], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        await work
    assert error.value.message == message
    assert error.value.details["rule"]


def test_where_a_users_object_goes(tmp_path: Path) -> None:
    async def work(core: Core) -> None:
        assert await core.put("todo", "todo_id", ANN, creatorid="bob") == "ann_todo_id"
        assert (await core.stored("ann_todo_id"))["creatorid"] == "ann"
        assert await core.put("todo", "ann_todo_id", ANN, name="again") == "ann_todo_id"
        assert await core.put("cat", "kit", ANN, creatorid="bob") == "kit"  # not under OWN
        assert (await core.stored("kit"))["creatorid"] == "ann"
        made = (await core.objects.create(APP, Draft(type="todo", body={"name": "n"}), ANN)).object
        assert made.id.isdecimal()
        assert made.creatorid == "ann"
        assert await core.put("todo", "admins", ADMIN) == "admins"
        assert (await core.stored("admins"))["creatorid"] == "root"
        assert await core.put("todo", "theirs", creatorid="bob") == "theirs"  # an app says whose it is
        assert (await core.stored("theirs"))["creatorid"] == "bob"
        # a guest is nobody, and its objects are nobody's
        guests = await core.put("todo", "x", GUEST, creatorid="bob")
        assert "creatorid" not in await core.stored(guests)
        await refused(core.put("todo", "x", GUEST), "Failed to create object.")
        # PUT: an own object stays at its id, another's is refused, a new one goes to the user's place
        assert await core.over("todo", "ann_ann0", ANN, name="mine") == "ann_ann0"
        await refused(core.over("todo", "bob_bob0", ANN), "Failed to overwrite object.")
        await refused(core.over("todo", "of-app", ANN), "Failed to overwrite object.")
        assert await core.over("todo", "child", ANN) == "child"
        assert (await core.stored("child"))["creatorid"] == "ann"
        assert await core.over("todo", "fresh", ANN) == "ann_fresh"
        # an id derived from the body is not the user's choice, but what stands there may be another's
        await core.objects.create(APP, Draft(type="tag", body={"tag": "mine"}), ANN)
        await refused(
            core.objects.create(APP, Draft(type="tag", body={"tag": "mine"}), BOB), "Failed to create object."
        )
        # nor is it overwritten by one of another type
        await refused(core.put("cat", "bob_bob0", ANN), "Failed to create object.")
        await refused(core.over("cat", "of-app", ANN), "Failed to overwrite object.")

    in_core(tmp_path, work)


def test_changes_of_what_is_anothers(tmp_path: Path) -> None:
    async def work(core: Core) -> None:
        journal = await core.backend.store.journal.last()
        for id in ("bob_bob0", "of-app"):
            await refused(core.objects.patch(APP, id, {"name": "mine"}, ANN), "Failed to update object.")
            await refused(core.objects.patch(APP, id, {"name": "mine"}, GUEST), "Failed to update object.")
            await refused(core.objects.delete(APP, id, ANN), "Failed to delete object.")
        outcomes = await core.objects.patch_many(APP, [("bob_bob0", {"n": 9}), ("of-app", {"n": 9})], ANN)
        assert [getattr(outcome, "code", "") for outcome in outcomes] == ["invalid", "invalid"]
        assert await core.objects.delete_many(APP, ["bob_bob0", "of-app", "no-such"], ANN) == ["bob_bob0", "of-app"]
        assert await core.backend.store.journal.last() == journal
        mixed = await core.objects.patch_many(APP, [("bob_bob1", {"n": 9}), ("ann_ann1", {"n": 9})], ANN)
        assert isinstance(mixed[0], ThingsteadError)
        assert isinstance(mixed[1], Written)
        made = await core.objects.create_many(
            APP, [Draft(type="todo", body={"id": "bob_bob0"}), Draft(type="cat", body={"id": "bob_bob1"})], ANN
        )
        assert [outcome.object.id for outcome in made if isinstance(outcome, Written)] == ["ann_bob_bob0"]
        assert await core.objects.delete_many(APP, ["ann_ann0", "child", "bob_bob2"], ANN) == ["bob_bob2"]
        with pytest.raises(NotFound):
            await core.objects.get(APP, "child")
        # by a grant without OWN
        assert (await core.objects.patch(APP, "tom", {"creatorid": "ann", "appid": "x", "n": 1}, ANN)).object.custom
        assert (await core.stored("tom"))["creatorid"] == "bob"
        # those who are not confined
        await core.objects.patch(APP, "bob_bob0", {"n": 8}, ADMIN)
        await core.objects.delete(APP, "bob_bob0", owner(APP))
        assert await core.objects.delete_many(APP, ["of-app"], ADMIN) == []

    in_core(tmp_path, work)


def test_every_kind_of_search_counts_only_what_is_shown(tmp_path: Path) -> None:
    async def work(core: Core) -> None:
        await core.put("address", "at", parentid="bob_bob0", latlng="40.6,-73.9", address="Hill", country="Utopia")
        await core.put("address", "here", parentid="ann_ann0", latlng="40.6,-73.9", address="Hill", country="Utopia")
        mine = ["ann_ann0", "ann_ann1", "ann_ann2", "child"]
        for flushed in (False, True):
            if flushed:
                await core.backend.search.flush()
            assert await core.found(ANN, "", "todo") == (mine, 4)
            assert await core.found(ANN, "", "todo", q="word0") == (["ann_ann0"], 1)
            assert await core.found(ANN, "", None, q="word0") == (["ann_ann0", "tom"], 2)
            assert await core.found(ANN, "", None, q="properties.n:0") == (["ann_ann0"], 1)
            assert await core.found(ANN, "count", "todo") == ([], 4)
            assert (await core.found(ANN, "", "todo", limit="1"))[1] == 4
            assert await core.found(ANN, "", "todo", lastKey="1", desc="false") == (mine, 4)
            assert await core.found(ANN, "ids", "todo", ids="bob_bob0|ann_ann0|tom") == (["ann_ann0", "tom"], 2)
            assert await core.found(ANN, "id", None, id="bob_bob0") == ([], 0)
            assert await core.found(ANN, "terms", "todo", terms="creatorid:bob") == ([], 0)
            assert await core.found(ANN, "in", "todo", field="id", terms="bob_bob0|child") == (["child"], 1)
            assert await core.found(ANN, "prefix", "todo", field="name", prefix="bob") == ([], 0)
            assert await core.found(ANN, "wildcard", "todo", field="name", q="ann w*rd1") == (["ann_ann1"], 1)
            near = await core.found(ANN, "nearby", "todo", latlng="40.6,-73.9", radius="9")
            assert near == (["ann_ann0"], 1)
            assert await core.found(ANN, "similar", "todo", like="bob word0", fields="name|text") == ([], 0)
            like = {"like": "id:bob_bob0", "fields": "properties.text"}
            assert await core.found(ANN, "similar", "todo", **like) == ([], 0)  # not compared with what is not seen
            assert await core.found(BOB, "similar", "todo", **like) == (["bob_bob0"], 1)
            assert await core.found(BOB, "similar", "cat", **like) == ([], 0)  # nor with what the path does not name
            assert (await core.found(ANN, "", None))[1] == 4 + 1 + 2
            assert (await core.found(ADMIN, "", "todo"))[1] == 8
            assert (await core.found(GUEST, "", "todo"))[1] == 0
            assert (await core.found(user("nobody"), "", None))[1] == 3

    in_core(tmp_path, work)


def test_links_of_a_user(tmp_path: Path) -> None:
    async def work(core: Core) -> None:
        links, app, limits = core.backend.links, owner(APP), Limits()
        ann, bob = await core.scope(ANN), await core.scope(BOB)
        for id in ("ann_ann0", "bob_bob0", "child"):
            await links.link(APP, "tom", id, app)
        await core.put("todo", "bobs-child", BOB, parentid="tom")
        await core.put("todo", "anns-child", ANN, parentid="tom")

        async def page(scope: Scope | None, **params: str) -> tuple[list[str], int]:
            find = linked("tom", "todo", {name: [value] for name, value in params.items()}, limits)
            found = await links.linked(APP, "tom", find, scope)
            return sorted(found.ids), found.total

        assert await page(None) == (["ann_ann0", "bob_bob0", "child"], 3)
        assert await page(ann) == (["ann_ann0", "child"], 2)
        assert await page(bob) == (["bob_bob0"], 1)
        assert (await page(bob, count=""))[1] == 1
        assert await page(ann, q="bob*", field="name") == ([], 0)
        assert await page(ann, q="ann*", field="name") == (["ann_ann0"], 1)
        below = await links.children(APP, "tom", children("tom", "todo", {}, limits), ann)
        assert (below.ids, below.total) == (["ann_anns-child"], 1)
        assert await links.is_linked(APP, "tom", "todo", "ann_ann0", ann)
        assert not await links.is_linked(APP, "tom", "todo", "bob_bob0", ann)
        with pytest.raises(InvalidInput, match="Failed to create link"):
            await links.link(APP, "tom", "bob_bob1", ANN, ann)
        await refused(links.link(APP, "bob_bob1", "ann_ann1", ANN, ann), "Failed to create link.")
        linker = await links.link(APP, "ann_ann0", "tom", ANN, ann)  # a link that the app made: now it is Ann's
        assert (await core.stored(linker))["creatorid"] == "ann"
        await refused(links.unlink(APP, "bob_bob0", "cat", "tom", ANN, ann), "Failed to delete link.")
        await refused(links.unlink_all(APP, "bob_bob0", ANN, ann), "Failed to delete link.")
        await refused(links.delete_children(APP, "bob_bob0", "todo", ANN, ann), "Failed to delete link.")
        await links.delete_linked(APP, "tom", "todo", ANN, ann)  # hers go, with their links
        assert await page(None) == (["bob_bob0"], 1)
        with pytest.raises(NotFound):
            await core.objects.get(APP, "ann_ann0")
        await links.delete_children(APP, "tom", "todo", ANN, ann)
        left = await links.children(APP, "tom", children("tom", "todo", {}, limits))
        assert left.ids == ["bob_bobs-child"]
        await links.unlink(APP, "bob_bob0", "cat", "tom", BOB, bob)
        assert await page(None) == ([], 0)

    in_core(tmp_path, work)


def test_identifier_objects_are_the_servers(tmp_path: Path) -> None:
    async def work(core: Core) -> None:
        await core.put("sysprop", "a@b.org", name="identifier", creatorid="ann", password="$2b$12$abcdef")
        await core.put("sysprop", "plain", ANN, name="a note")
        for actor in (ANN, ADMIN, GUEST):
            await refused(core.objects.patch(APP, "a@b.org", {"password": "x"}, actor), "Failed to update object.")
            await refused(core.objects.delete(APP, "a@b.org", actor), "Failed to delete object.")
            assert await core.objects.delete_many(APP, ["a@b.org"], actor) == ["a@b.org"]
            for type in ("sysprop", "cat"):
                await refused(core.put(type, "a@b.org", actor, name="x"), "Failed to create object.")
                await refused(core.over(type, "a@b.org", actor, name="x"), "Failed to overwrite object.")
            await refused(core.put("sysprop", "c@d.org", actor, name="identifier"), "Failed to create object.")
            await refused(core.over("sysprop", "c@d.org", actor, name="identifier"), "Failed to overwrite object.")
            await refused(core.objects.patch(APP, "plain", {"name": "identifier"}, actor), "Failed to update object.")
            for params in ({}, {"q": "properties.password:*"}, {"q": "abcdef"}, {"q": "name:identifier"}):
                assert "a@b.org" not in (await core.found(actor, "", "sysprop", **params))[0]
            assert (await core.found(actor, "ids", None, ids="a@b.org"))[1] == 0
            like = await core.found(actor, "similar", "sysprop", like="id:a@b.org", fields="properties.password")
            assert like == ([], 0)
        assert (await core.stored("a@b.org"))["password"] == "$2b$12$abcdef"
        assert (await core.objects.patch(APP, "a@b.org", {"password": "y"}, owner(APP))).object.custom[
            "password"
        ] == "y"

    in_core(tmp_path, work)


def test_what_users_write_of_users(tmp_path: Path) -> None:
    async def work(core: Core) -> None:
        forged: JsonObject = {
            "groups": "admins",
            "active": True,
            "identifier": "fb:9",
            "tokenSecret": "t",
            "creatorid": "bob",
        }
        for id in ("ann", "carl"):
            await core.put("user", id, identifier=f"custom:{id}", email=f"{id}@b.org", groups="users", name=id)
        before = await core.stored("ann")
        hidden = (await core.objects.get(APP, "ann")).hidden
        await core.objects.patch(APP, "ann", {**forged, "name": "Ann B"}, ANN)
        await core.over("user", "ann", ANN, email="ann@b.org", **forged)
        await core.objects.patch_many(APP, [("ann", {**forged})], ANN)
        await core.objects.create_many(
            APP, [Draft(type="user", body={"id": "ann", "email": "ann@b.org", **forged})], ANN
        )
        after = await core.stored("ann")
        for name in ("groups", "active", "identifier"):
            assert after.get(name) == before.get(name), name
        assert (await core.objects.get(APP, "ann")).hidden == hidden
        assert after["creatorid"] == "ann"  # forced on PUT and batch create
        # a user makes no users: identifiers are not theirs to give
        for made in await core.objects.create_many(APP, [Draft(type="user", body={**forged, "email": "e@b.org"})], ANN):
            assert isinstance(made, InvalidInput)
        # a guest may register where the app lets it, as nobody special
        body = {**forged, "email": "g@b.org", "identifier": "custom:g"}
        new = (await core.objects.create(APP, Draft(type="user", body=body, posted=True), GUEST)).object
        assert (new.own["groups"], new.own["active"], new.creatorid) == ("users", False, None)
        assert new.hidden.get("tokenSecret") != "t"
        # an address that nobody has proven joins nobody's sign-in; what an app says is trusted
        assert new.hidden[UNVERIFIED] == "g@b.org"
        assert UNVERIFIED not in (await core.objects.get(APP, "ann")).hidden
        await core.objects.patch(APP, "ann", {"email": "Victim@b.org"}, ANN)
        assert (await core.objects.get(APP, "ann")).hidden[UNVERIFIED] == "victim@b.org"
        # deleting oneself
        assert await core.objects.delete(APP, "ann", ANN)

    in_core(tmp_path, work)


def test_a_vote_by_itself_of_what_it_may_touch(tmp_path: Path) -> None:
    async def work(core: Core) -> None:
        forged = Draft(type="vote", body={"parentid": "tom", "creatorid": "bob", "value": "up"})
        forged.body.update({"lockedAfter": 1, "expiresAfter": 1})
        made = (await core.objects.create(APP, forged, ANN)).object
        assert (made.id, made.creatorid) == ("vote:ann:tom", "ann")

    in_core(tmp_path, work)


def test_only_leaves_apps_as_they_were(tmp_path: Path) -> None:
    async def work(core: Core) -> None:
        tenant = await core.backend.tenants.get(APP)
        assert tenant.scope(owner(APP)) is None
        assert tenant.scope(ANN) is tenant.scope(user("ann"))  # made once for an app as it is
        assert isinstance((await core.scope(ADMIN)).only(), ast.Bool)
        for n in range(3000):
            assert tenant.scope(user(f"u{n}")) is not None
        assert len(tenant.scopes) <= 1000

    in_core(tmp_path, work)
