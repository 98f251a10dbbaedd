"""Promise: a program with `import thingstead` works with objects, searches, listeners and plug-ins as /v1 does, and
whatever door writes, a class's locks and validators hold.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import thingstead
from support.aio import run
from support.client import Client
from support.server import ROOT_SECRET
from support.sign import Signer
from thingstead import locked, stored
from thingstead.model.errors import (
    ConstraintViolation,
    Forbidden,
    InvalidInput,
    InvalidQuery,
    NotFound,
    NotSupported,
    SignInFailed,
    Unavailable,
    VersionMismatch,
)

FREE = thingstead.Addresses(port=0, mqtt_port=0, mqtt_plain_port=0, agent_port=0, south_port=0, context_port=0)
SETTINGS = {"para.root_secret_override": ROOT_SECRET, "para.pidfile_enabled": False}


def even(value: int) -> None:
    if value % 2:
        raise ValueError("must be even")


class Kitten(thingstead.Object):
    paws: int = stored(4, min=0, max=8, check=even)
    chip: str = locked("")
    toys: list[str] = stored(factory=list)
    weight: float | None = stored()
    mood: str = "calm"


class Plain(thingstead.Object):
    pass


def test_import_is_cheap() -> None:
    code = "import sys, thingstead; print([m for m in sys.modules if m.startswith('thingstead.')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert all(getattr(thingstead, name) is not None for name in thingstead.__all__)
    with pytest.raises(AttributeError):
        _ = thingstead.nothing  # type: ignore[attr-defined]


def test_declared_fields_are_kept_and_others_are_not(tmp_path: Path) -> None:
    async def work() -> None:
        async with thingstead.open(tmp_path, settings=SETTINGS, classes=[Kitten]) as para:
            app, keys = await para.new_app("cats", title="Cats")
            assert (keys.access_key, app.identifier) == ("app:cats", "cats")
            tom = Kitten(name="Tom", chip="x1", toys=["ball"], mood="wild", properties={"colour": "red"})
            id = await tom.create(app)
            assert await app.dao.wire(id) == {
                "id": id,
                "timestamp": tom.timestamp,
                "type": "kitten",
                "appid": "cats",
                "name": "Tom",
                "votes": 0,
                "version": 0,
                "stored": True,
                "indexed": True,
                "cached": True,
                "colour": "red",
                "paws": 4,
                "chip": "x1",
                "toys": ["ball"],
                "objectURI": f"/kittens/{id}",
                "plural": "kittens",
            }
            read = await app.dao.read(id, Kitten)
            assert read is not None
            assert (read.mood, read.toys, read.properties, read.weight) == ("calm", ["ball"], {"colour": "red"}, None)
            assert await app.data_types() == {"kittens": "kitten"}
            assert [o.id for o in await app.search.find_query("kitten", "properties.paws:4")] == [id]
            assert await para.dao.read(id) is None
            with pytest.raises(InvalidInput, match="no Plain"):
                await app.dao.read(id, Plain)
        async with thingstead.open(tmp_path, settings=SETTINGS) as para:
            untyped = await para.app("cats").dao.read(id)
            assert type(untyped) is thingstead.Object
            assert untyped.properties["paws"] == 4

    run(work())


def test_an_update_sends_only_what_changed(tmp_path: Path) -> None:
    async def work() -> None:
        async with thingstead.open(tmp_path, settings=SETTINGS, classes=[Kitten]) as para:
            tom = Kitten(id="tom", chip="x1", tags=["a"], weight=2.5)
            await tom.create(para.root)
            mine, theirs = await para.dao.read("tom", Kitten), await para.dao.read("tom", Kitten)
            assert mine is not None
            assert theirs is not None
            assert mine.changes() == {}
            mine.paws, mine.chip = 2, "forged"
            theirs.properties["colour"], theirs.weight = "red", None
            theirs.remove_tags("a")
            await mine.update()
            await theirs.update()
            assert (mine.chip, mine.paws) == ("x1", 2)
            assert (theirs.paws, theirs.weight, theirs.tags) == (2, None, [])
            await mine.refresh()
            assert mine.properties == {"colour": "red"}
            locking = Kitten(id="lock", version=1)
            await locking.create(para.root)
            stale = await para.dao.read("lock", Kitten)
            assert stale is not None
            locking.paws = 2
            await locking.update()
            stale.paws = 6
            with pytest.raises(VersionMismatch):
                await stale.update()
            assert await tom.delete()
            assert not await tom.exists()
            with pytest.raises(NotFound):
                await mine.update()

    run(work())


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"paws": 9}, ["paws must be a number smaller than 8.", "paws: must be even"]),
        ({"paws": 3}, ["paws: must be even"]),
        ({"paws": 2}, []),
    ],
)
def test_validators(tmp_path: Path, fields: dict[str, Any], told: list[str]) -> None:
    async def work() -> None:
        async with thingstead.open(tmp_path, settings=SETTINGS, classes=[Kitten]) as para:
            kitten = Kitten(**fields)
            assert await para.root.validate(kitten) == told
            if told:
                with pytest.raises(ConstraintViolation):
                    await kitten.create(para.root)
                assert [type(e) for e in await para.dao.create_all([Kitten(), kitten])] == [
                    type(None),
                    ConstraintViolation,
                ]
            await para.root.add_constraint("kitten", "name", "required", {})
            await para.root.add_constraint("kitten", "paws", "min", {"value": 100})
            assert "paws must be a number larger than 100." in (await para.root.validate(Kitten()))[0]

    run(work())


def test_flattened_fields_load_like_others() -> None:
    tom = Kitten(toys=["ball", "mouse"], weight=1.5)
    flat = tom.get_annotated_fields(flatten=True)
    assert flat == {"paws": 4, "chip": "", "toys": '["ball","mouse"]', "weight": 1.5}
    for fields in (flat, tom.get_annotated_fields()):
        other = Kitten()
        other.set_annotated_fields({**fields, "paws": "2", "mood": "wild"})
        assert (other.toys, other.weight, other.paws, other.mood) == (["ball", "mouse"], 1.5, 2, "calm")
    with pytest.raises(ConstraintViolation, match="toys"):
        Kitten().set_annotated_fields({"toys": "no list"})


def test_wrong_classes_are_refused() -> None:
    with pytest.raises(TypeError, match="no field 'fur'"):
        Kitten(fur="soft")
    with pytest.raises(InvalidInput, match="of type kitten"):
        Kitten(type="dog")
    with pytest.raises(InvalidInput, match="belongs to every object"):
        type("Bad", (thingstead.Object,), {"name": stored(""), "__annotations__": {"name": str}})
    with pytest.raises(InvalidInput, match="no constraint"):
        stored(1, least=3)
    with pytest.raises(InvalidInput, match="belongs to no app"):
        _ = Kitten().app


def test_tags_are_cleaned() -> None:
    kitten = Kitten()
    kitten.add_tags("Good Boy!", " a  b ", "%&", "good boy")
    assert kitten.tags == ["good-boy", "a-b"]
    kitten.remove_tags("Good Boy")
    assert kitten.tags == ["a-b"]


def test_links_children_and_votes(tmp_path: Path) -> None:
    async def work() -> None:
        async with thingstead.open(tmp_path, settings=SETTINGS, classes=[Kitten, Plain]) as para:
            mother, child, friend = Kitten(id="m"), Kitten(id="c", parentid="m", creatorid="f"), Plain(id="f")
            assert await para.dao.create_all([mother, child, friend]) == [None, None, None]
            assert [o.id for o in await mother.children("kitten")] == ["c"]
            assert await mother.count_children("kitten") == 1
            parent, creator = await child.parent(), await child.creator()
            assert (parent and parent.id, creator and creator.id, await mother.parent()) == ("m", "f", None)
            await mother.link(friend)
            assert await friend.is_linked(mother)
            assert [type(o) for o in await mother.linked("plain")] == [Plain]
            await mother.unlink(friend)
            assert not await mother.is_linked(friend)
            assert await mother.vote_up("f")
            assert not await mother.vote_up("f")
            assert mother.votes == 1
            await mother.delete_children("kitten")
            assert not await child.exists()

    run(work())


def test_searches(tmp_path: Path) -> None:
    async def work() -> None:
        async with thingstead.open(tmp_path, settings=SETTINGS, classes=[Kitten]) as para:
            find = para.search
            await para.dao.create_all(
                [
                    Kitten(id=f"k{n}", name=f"Cat {n}", paws=2 * n, tags=["t"], properties={"about": f"a soft cat {n}"})
                    for n in range(5)
                ]
            )
            await thingstead.Object(type="tag", properties={"tag": "tabby"}).create(para.root)

            def ids(found: list[thingstead.Object]) -> set[str]:
                return {o.id for o in found}

            assert ids(await find.find_tagged("kitten", ["t"])) == {f"k{n}" for n in range(5)}
            assert ids(await find.find_terms("kitten", {"properties.paws>": 4})) == {"k3", "k4"}
            assert ids(await find.find_terms(None, {"id": "k1", "name": "Cat 2"}, match_all=False)) == {"k1", "k2"}
            assert ids(await find.find_term_in_list("kitten", "id", ["k1", "k9"])) == {"k1"}
            assert ids(await find.find_prefix("kitten", "name", "Cat")) == {f"k{n}" for n in range(5)}
            assert ids(await find.find_wildcard("kitten", "id", "k?")) == {f"k{n}" for n in range(5)}
            assert "k0" in ids(await find.find_similar("kitten", "k1", ["properties.about"], "a soft cat"))
            assert ids(await find.find_by_ids(["k0", "k3", "none"])) == {"k0", "k3"}
            assert ids(await find.find_tags("tab")) == {"tag:tabby"}
            assert (await find.find_tags(" "), await find.find_tagged("", ["t"])) == ([], [])
            assert (await find.find_prefix("kitten", "", "x"), await find.find_by_id("")) == ([], None)
            assert await find.find_nearby("kitten", "*", 10, 1.0, 2.0) == []
            assert await find.find_nested_query("kitten", "name", "x") == []
            assert (await find.get_count("kitten"), await find.get_count("kitten", {"id": "k1"})) == (5, 1)
            assert find.is_valid_query_string("a:b")
            assert not find.is_valid_query_string("a:(")
            with pytest.raises(InvalidQuery):
                await find.find_query("kitten", "a:(")
            pager = thingstead.Pager(limit=2, sort="_docid", desc=False)
            seen: list[str] = []
            while found := await find.find_query("kitten", "*", pager):
                seen += [o.id for o in found]
                assert pager.count == 5
            assert seen == [f"k{n}" for n in range(5)]
            walk, pages = thingstead.Pager(limit=4), list[int]()
            while page := await para.dao.read_page(walk):
                pages.append(len(page))
            assert walk.count == sum(pages) >= 6
            one = await para.dao.read("k1")
            assert one is not None
            await find.unindex(one)
            assert await find.find_by_id("k1") is None or not one.indexed
            assert await find.get_count("kitten") == 4
            await find.index(one)
            await find.unindex_all({"id": "k2"})
            assert await find.get_count("kitten") == 4
            assert await find.rebuild_index() >= 5
            assert list(await para.dao.read_all(["k3", "none", "k0"])) == ["k3", "k0"]
            await para.dao.delete_all(["k0", "k1", "none"])
            assert not (await para.dao.read_all(["k0", "k1"]))

    run(work())


class Heard(thingstead.Listener):
    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    async def init(self, para: thingstead.Embedded) -> None:
        self.events.append(("init", await para.dao.read("app:para") is not None))

    def destroy(self, para: thingstead.Embedded) -> None:
        self.events.append(("destroy",))

    def before(self, call: thingstead.IoCall) -> None:
        if call.method == "delete" and call.arguments["id"] == "holy":
            raise Forbidden("it is holy")
        if call.method == "update":
            raise RuntimeError("a fault of the listener")

    async def after(self, call: thingstead.IoCall, result: Any) -> None:
        self.events.append((call.method, call.app))

    def searching(self, app: str, plan: Any) -> None:
        self.events.append(("search", app))

    def app_created(self, app: str) -> None:
        self.events.append(("created", app))

    async def app_deleted(self, app: str) -> None:
        self.events.append(("deleted", app))

    def setting_added(self, app: str, key: str, value: Any) -> None:
        self.events.append(("added", app, key, value))

    def setting_removed(self, app: str, key: str) -> None:
        self.events.append(("removed", app, key))


def test_listeners(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()

    async def work() -> None:
        async with thingstead.open(tmp_path, settings=SETTINGS, classes=[Kitten], listeners=[heard]) as para:
            assert heard.events == [("init", True)]
            heard.events.clear()
            holy = Kitten(id="holy")
            await holy.create(para.root)
            holy.paws = 2
            await holy.update()
            assert await holy.exists()
            with pytest.raises(Forbidden):
                await holy.delete()
            assert await para.dao.read("holy") is not None
            await para.dao.delete_all(["none"])
            await para.search.get_count("kitten")
            assert heard.events == [
                *[("create", "para"), ("update", "para"), ("read", "para"), ("read", "para"), ("delete_all", "para")],
                ("search", "para"),
            ]
            heard.events.clear()
            app, _ = await para.new_app("cats")
            await app.set_settings({"a": 1, "b": 2})
            await app.add_setting("c", 3)
            await app.set_settings({})
            assert await para.delete_app("cats")
            told = [event for event in heard.events if event[0] in ("created", "deleted", "added", "removed")]
            assert told == [
                *[("created", "cats"), ("added", "cats", "a", 1), ("added", "cats", "b", 2), ("added", "cats", "c", 3)],
                *[("removed", "cats", "a"), ("removed", "cats", "b"), ("removed", "cats", "c"), ("deleted", "cats")],
            ]
        assert heard.events[-1] == ("destroy",)

    run(work())
    assert "a fault of the listener" in caplog.text


class Echo(thingstead.Resource):
    path = "echo/{first}/{second}"

    async def get(self, request: thingstead.Request) -> thingstead.Reply:
        return {**request.path, "q": list(request.queries.get("q", [])), "app": request.app.id}

    async def patch(self, request: thingstead.Request) -> thingstead.Reply:
        return thingstead.ResourceAnswer(202, request.body, (("Content-Type", "text/plain"),))

    async def delete(self, request: thingstead.Request) -> thingstead.Reply:
        raise RuntimeError("a fault of the resource")


class Literal(thingstead.Resource):
    path = "echo/{first}/here"

    async def get(self, request: thingstead.Request) -> thingstead.Reply:
        return "literal"


def test_resources_and_locks_through_v1(tmp_path: Path) -> None:
    with thingstead.open_blocking(
        tmp_path, settings=SETTINGS, classes=[Kitten], resources=[Echo(), Literal()], serve=FREE
    ) as (para, wait):
        client = Client(para.url, Signer("app:para", ROOT_SECRET))
        assert client.send("GET", "/v1/echo/a%2Fb/c?q=1&q=2").json() == {
            "first": "a/b",
            "second": "c",
            "q": ["1", "2"],
            "app": "app:para",
        }
        assert client.send("GET", "/v1/echo/a/here").json() == "literal"
        patched = client.send("PATCH", "/v1/echo/a/b", b"text")
        assert (patched.status_code, patched.content) == (202, b"text")
        assert patched.headers["content-type"] == "text/plain"
        assert client.send("DELETE", "/v1/echo/a/b").json() == {"code": 500, "message": "Internal Server Error"}
        assert client.send("POST", "/v1/echo/a/b", {}).status_code == 405
        made = client.send("POST", "/v1/kitten", {"chip": "x1", "paws": "6", "fur": "soft"})
        assert (made.status_code, made.json()["paws"]) == (201, 6)
        id = made.json()["id"]
        assert client.send("PATCH", f"/v1/kittens/{id}", {"chip": "y", "paws": 2}).json()["chip"] == "x1"
        refused = client.send("PATCH", f"/v1/kittens/{id}", {"paws": 3})
        assert (refused.status_code, refused.json()["message"]) == (400, "paws: must be even")
        batch = client.send("POST", "/v1/_batch", [{"type": "kitten", "paws": 1}, {"type": "kitten", "toys": ["a"]}])
        assert [item["toys"] for item in batch.json()] == [["a"]]
        kitten = wait(para.dao.read(id, Kitten))
        assert (kitten.paws, kitten.chip, kitten.properties) == (2, "x1", {"fur": "soft"})


def taken(where: str) -> thingstead.Resource:
    async def get(self: Any, request: thingstead.Request) -> thingstead.Reply:
        return None

    return type("Taken", (thingstead.Resource,), {"path": where, "get": get})()


@pytest.mark.parametrize("where", ["", "{id}", "a//b", "a/{b", "_me", "things/{id}/shadow", "utils/{x}", "search"])
def test_paths_that_cannot_be(tmp_path: Path, where: str) -> None:
    async def work() -> None:
        async with thingstead.open(tmp_path, settings=SETTINGS, resources=[taken(where)], serve=FREE):
            pass

    with pytest.raises(InvalidInput):
        run(work())


def test_one_owner_and_a_second_opening(tmp_path: Path) -> None:
    async def work() -> None:
        async with thingstead.open(tmp_path, settings=SETTINGS) as para:
            assert para.is_healthy()
            assert await para.perform_health_check()
            with pytest.raises(Unavailable, match="in use"):
                async with thingstead.open(tmp_path, settings=SETTINGS):
                    pass
        async with thingstead.open(tmp_path, settings=SETTINGS) as para:
            assert para.settings.root_secret_override == ROOT_SECRET

    run(work())


BROKEN = "import no_such_module_anywhere"
ENGINE = """
import thingstead
async def _open(place): ...
Mine = thingstead.Engine("cache", _open)
"""
LISTENER = """
import thingstead
class Starts(thingstead.Listener):
    async def init(self, para):
        await thingstead.Object(id="from-file").create(para.root)
"""


@pytest.mark.parametrize(
    ("source", "settings", "error", "told"),
    [
        (BROKEN, {}, Unavailable, "plug-in mine .*mine.py.*no_such_module_anywhere"),
        ("", {"para.search": "NoSuch"}, NotSupported, "para.search: NoSuch is not installed; there are TantivyIndex"),
        ("", {"para.q": "sqs"}, NotSupported, "para.q: sqs is not installed; there are StoreQueue, LocalQueue, local"),
        ("", {"para.emailer": "aws"}, NotSupported, "para.emailer: aws is not installed; there are .* javamail"),
        ("", {"para.fs": "AWSFileStore"}, NotSupported, "para.fs: AWSFileStore is not installed; there are Folder"),
        ("", {"para.dao": "MongoDBDAO"}, NotSupported, "para.dao: MongoDBDAO is not installed; there are SqliteStore"),
        ("", {"para.cache": "HazelcastCache"}, NotSupported, "para.cache: HazelcastCache is not installed"),
        (ENGINE, {"para.search": "Mine"}, NotSupported, "para.search: Mine is an engine for para.cache"),
        ("", {"para.core_package_name": "no_such_package"}, Unavailable, "no_such_package of classes cannot"),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_named(
    tmp_path: Path, source: str, settings: dict[str, str], error: type[Exception], told: str
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "mine.py").write_text(source)

    async def work() -> None:
        async with thingstead.open(tmp_path, settings={**SETTINGS, **settings}):
            pass

    with pytest.raises(error, match=told):
        run(work())


def test_a_file_in_the_folder_and_a_package_of_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "lib").mkdir(parents=True)
    (tmp_path / "data" / "lib" / "starts.py").write_text(LISTENER)
    (tmp_path / "herd").mkdir()
    (tmp_path / "herd" / "__init__.py").write_text("")
    (tmp_path / "herd" / "cows.py").write_text(
        "from thingstead import Object, stored\nclass Cow(Object):\n    milk: int = stored(0)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    async def work() -> None:
        settings = {**SETTINGS, "para.core_package_name": "herd"}
        async with thingstead.open(tmp_path / "data", settings=settings) as para:
            assert await para.dao.read("from-file") is not None
            assert para.class_of("cow").__name__ == "Cow"

    run(work())


def test_a_program_confirms_addresses_and_resets_passwords(tmp_path: Path) -> None:
    async def main() -> None:
        async with thingstead.open(tmp_path, settings=SETTINGS) as para:
            shop, _ = await para.new_app("shop")
            with pytest.raises(SignInFailed):
                await shop.users.sign_in("password", "jane@x.example:Jane:a good password")
            token = await shop.users.confirmation_token("jane@x.example")
            assert token is not None
            assert await shop.users.confirm("Jane@x.example", token)
            jane, _ = await shop.users.sign_in("password", "jane@x.example::a good password")
            found = await shop.users.find("jane@x.example")
            assert found is not None
            assert (found.id, found.name) == (jane.id, "Jane")
            token = await shop.users.password_reset_token("jane@x.example")
            assert token is not None
            assert await shop.users.reset_password("jane@x.example", token, "another password")
            assert not await shop.users.reset_password("jane@x.example", token, "a third password")
            await shop.users.sign_in("password", "jane@x.example::another password")
            assert await shop.users.password_reset_token("joe@x.example") is None
            assert await shop.users.find("joe@x.example") is None

    run(main())
