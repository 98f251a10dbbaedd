"""Para's own Python client, unchanged, sets up an app and works with objects (objects.md 22). Every method that it has
is called here or in the files of `ELSEWHERE`."""

import ast
import base64
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from paraclient import Pager, ParaClient, ParaObject
from paraclient.constraint import Constraint

from support.backend import ROOT_SECRET
from support.listening import Listening, listening
from thingstead.doors import objects


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("data"), objects.app) as opened:
        yield opened


def client_of(door: Listening, access_key: str, secret: str) -> Any:
    client: Any = ParaClient(access_key, secret)
    client.setEndpoint(door.url)
    return client


@pytest.fixture(scope="module")
def para(door: Listening) -> Any:
    """A client of `app:test`, made as the client's own test set-up makes it, with its fixtures."""
    root = client_of(door, "app:para", ROOT_SECRET)
    assert root.me()["id"] == "app:para"
    keys = root.getEntity(root.invokeGet("_setup/app:test"), True)
    assert keys["accessKey"] == "app:test"
    client = client_of(door, "app:test", keys["secretKey"])
    again = root.getEntity(root.invokeGet("_setup/test"), True)
    assert again == {"code": 200, "message": "All set!"}

    def made(id: str, type: str, **fields: Any) -> Any:
        obj: Any = ParaObject(id, type)
        obj.setFields(fields)
        return obj

    long_text = "This is a little test sentence. Testing, one, two, three."
    objects_made = [
        made("111", "sysprop", name="John Doe", tags=["one", "two", "three"]),
        made("222", "sysprop", name="Joe Black", tags=["two", "four", "three"]),
        made("333", "sysprop", name="Ann Smith", tags=["four", "five", "three"]),
        made("tag:test", "tag", tag="test", count=3),
        made("adr1", "address", parentid="111", address="NYC 1", country="US", city="New York", latlng="40.67,-73.94"),
        made("adr2", "address", parentid="tag:test", address="NYC 2", country="US", latlng="40.69,-73.95"),
        made("s1", "sysprop", name="s1", text=long_text),
        made("s2", "sysprop", name="s2", text="We are testing this thing. This sentence is a test. One, two."),
    ]
    assert len(client.createAll(objects_made)) == 8
    return client


def test_me_and_version(para: Any) -> None:
    assert para.me()["id"] == "app:test"
    assert para.getApp()["appIdentifier"] == "test"
    assert para.getServerVersion().startswith("1")
    assert para.newId() != para.newId()
    assert int(para.getTimestamp()) > 0


def test_create_read_update_delete(para: Any) -> None:
    tag: Any = ParaObject("test1", "tag")
    tag.count = 10
    created = para.create(tag)
    assert created.tag == "test1"
    assert created.id == "tag:test1"
    assert para.read(None, created.id).tag == "test1"
    read = para.read("tag", created.id)
    assert read.timestamp
    assert read.tag == "test1"
    read.count = 15
    updated = para.update(read)
    assert updated.count == 15
    assert updated.updated
    missing: Any = ParaObject("null", "dog")
    assert not para.invokePatch(missing.getObjectURI(), missing.jsonSerialize()).ok
    para.delete(read)
    assert not para.invokeGet("tag/tag%3Atest1").ok

    dog: Any = ParaObject(None, "dog")
    dog.foo = "bark!"
    dog = para.create(dog)
    assert dog.id
    assert para.read("dog", dog.id)["foo"] == "bark!"
    assert para.create(ParaObject()).id
    para.delete(dog)
    assert not para.invokeGet("dog/" + dog.id).ok


def test_batch(para: Any) -> None:
    dogs = [ParaObject(None, "dog") for _ in range(3)]
    for dog in dogs:
        dog.foo = "bark!"
    created = para.createAll(dogs)
    assert len(created) == 3
    ids = [dog.id for dog in created]
    assert [dog.id for dog in para.readAll(ids)] == ids
    assert all(dog["foo"] == "bark!" for dog in para.readAll(ids))
    changed: list[Any] = []
    for n, id in enumerate(ids):
        part: Any = ParaObject(id, "dog")
        part.custom, part.name = "prop", f"NewName{n}"
        changed.append(part)
    updated = para.updateAll(changed)
    assert [dog.name for dog in updated] == ["NewName0", "NewName1", "NewName2"]
    assert all(dog["custom"] == "prop" and dog.type == "dog" and dog["foo"] == "bark!" for dog in updated)
    para.deleteAll(ids)
    assert para.list("dog") == []
    assert para.me()["datatypes"]["dogs"] == "dog"


def test_list(para: Any) -> None:
    para.createAll([ParaObject(f"cat{n}", "cat") for n in range(3)])
    assert [cat.type for cat in para.list("cat", Pager())] == ["cat"] * 3
    assert len(para.list("cats", Pager(1, "", True, 2))) == 2
    assert para.me()["datatypes"]["cats"] == "cat"
    types = para.types()
    assert (types["users"], types["cats"]) == ("user", "cat")
    assert para.typesCount()["cat"] == 3


def test_search(para: Any) -> None:
    assert para.findById(None) is None
    assert para.findById("") is None
    assert para.findById("null") is None
    assert para.findById("111").name == "John Doe"
    assert para.findByIds(None) == []
    assert len(para.findByIds(["111", "222", "333"])) == 3
    assert para.findNearby(None, "*", 100, 1, 1) == []
    assert para.findNearby("sysprop", "*", 10, 40.60, -73.90)
    assert para.findPrefix(None, "null", "xx") == []
    assert para.findPrefix("sysprop", "name", "Ann")
    assert len(para.findQuery(None, "*")) > 4
    assert len(para.findQuery("address", "country:US")) == 2
    assert para.findQuery("sysprop", "Ann*")
    pager = Pager()
    assert pager.count == 0
    found = para.findQuery("sysprop", "*", pager)
    assert len(found) == pager.count > 0
    assert para.findSimilar("sysprop", "", None, "") == []
    assert para.findSimilar("sysprop", "", [], "") == []
    text = para.read("sysprop", "s1").text
    assert para.findSimilar("sysprop", "s1", ["properties.text"], text)[0].id == "s2"
    for tags, count in (
        (None, 0),
        (["two"], 2),
        (["one", "two"], 1),
        (["three"], 3),
        (["four", "three"], 2),
        (["five", "three"], 1),
    ):
        assert len(para.findTagged("sysprop", tags)) == count, tags
    assert para.findTagged("tag", ["four", "three"]) == []
    assert para.findTags(None)
    assert para.findTags("")
    assert para.findTags("test")
    assert para.findTags("unknown") == []
    assert len(para.findTermInList("sysprop", "id", ["111", "222", "333", "xxx", "yyy"])) == 3
    assert len(para.findTerms("sysprop", {"id": "111"}, True)) == 1
    assert para.findTerms("sysprop", {"id": " "}, True) == []
    assert para.findTerms("sysprop", {" ": "bad"}, True) == []
    assert para.findTerms("sysprop", {}, True) == []
    assert len(para.findTerms("sysprop", {"type": "sysprop"}, True)) >= 2
    assert para.findWildcard("sysprop", None, None) == []
    assert para.findWildcard("sysprop", "", "") == []
    assert para.findWildcard("sysprop", "name", "An*")
    assert para.getCount(None) > 4
    assert para.getCount("") != 0
    assert para.getCount("test") == 0
    assert para.getCount("sysprop") >= 3
    assert para.getCount("sysprop", {"id": " "}) == 0
    assert para.getCount("sysprop", {"id": "111"}) == 1
    assert para.getCount(None, {"type": "sysprop"}) > 1


def test_links(para: Any) -> None:
    """A18, and the searches of A24."""
    u, t, u2 = (para.findById(id) for id in ("111", "tag:test", "333"))
    assert para.link(u, t.id) == "sysprop:111:tag:tag:test"
    assert para.link(u, u2.id)
    assert not para.isLinkedToObject(u, ParaObject("test", "tag1"))
    assert para.isLinkedToObject(u, t)
    assert para.isLinkedToObject(u, u2)
    assert para.isLinked(u2, "sysprop", "111")
    assert [obj.id for obj in para.getLinkedObjects(u, "tag")] == ["tag:test"]
    assert [obj.id for obj in para.getLinkedObjects(u, "sysprop", Pager())] == ["333"]
    assert (para.countLinks(u, "tag"), para.countLinks(u, "sysprop")) == (1, 1)
    para.unlink(u2, "sysprop", "111")
    assert not para.isLinkedToObject(u, u2)
    assert para.link(u, u2.id)
    para.unlinkAll(u)
    assert not para.isLinkedToObject(u, t)
    assert not para.isLinkedToObject(u, u2)


def test_searches_of_linked_objects_and_children(para: Any) -> None:
    """A24."""
    parent: Any = ParaObject("parent", "folder")
    pets: list[Any] = []
    for id, name, text in (("k1", "gordon", "hello kitten"), ("k2", "other", "gordy said hello")):
        pet: Any = ParaObject(id, "pet")
        pet.parentid, pet.name, pet.text = "parent", name, text
        pets.append(pet)
    assert len(para.createAll([parent, *pets, ParaObject("k3", "pet")])) == 4
    assert [obj.id for obj in para.getChildren(parent, "pet", "name", "gordon")] == ["k1"]
    assert para.countChildren(parent, "pet") == 2
    for q, count in (("gordo*", 1), ("kitt*", 1), ("hello", 2), ("*", 2), ("nothing", 0)):
        assert len(para.findChildren(parent, "pet", q)) == count, q
    for pet in pets:
        assert para.link(pet, "parent")
    for field, q, count in (
        ("name", "gord*", 1),
        ("properties.text", "kitt*", 1),
        ("properties.text", "hello", 2),
        ("name", "*", 2),
        ("name", "parent", 0),
    ):
        assert len(para.findLinkedObjects(parent, "pet", field, q)) == count, q
    assert [obj.id1 for obj in para.findNestedQuery("linker", "properties.text", "kitt*")] == ["parent"]
    assert para.findNestedQuery("linker", "", "kitt*") == para.findNestedQuery("linker", "name", "") == []
    pager = Pager(1, "_docid", False, 1)
    pages = [[obj.id for obj in para.findLinkedObjects(parent, "pet", "name", "*", pager)] for _ in range(3)]
    assert (pages, pager.count) == ([["k1"], ["k2"], []], 2)
    para.deleteChildren(parent, "pet")
    assert para.countChildren(parent, "pet") == 0
    assert [obj.id for obj in para.list("pet")] == ["k3"]
    pager = Pager()
    assert para.getLinkedObjects(parent, "pet", pager) == []
    assert pager.count == 2


def test_nearby_finds_parents_page_by_page(para: Any) -> None:
    """A8 the other ways: addresses themselves, a radius that is too small, and the pager."""
    assert {obj.id for obj in para.findNearby("address", "*", 20, 40.60, -73.90)} == {"adr1", "adr2"}
    assert para.findNearby("address", "*", 1, 40.60, -73.90) == []
    assert para.findNearby("address", "city:york", 20, 40.60, -73.90)[0].id == "adr1"
    pager = Pager(1, "name", False, 1)
    assert [obj.id for obj in para.findNearby("sysprop", "*", 20, 40.60, -73.90, pager)] == ["111"]
    assert pager.count == 1


def test_pages_sorted_and_reduced(para: Any) -> None:
    """What a pager can say: page, limit, sort by several, direction, and fields."""
    rows = [("r1", "b", 2), ("r2", "a", 2), ("r3", "c", 1)]
    made: list[Any] = []
    for id, name, rank in rows:
        row: Any = ParaObject(id, "ranked")
        row.name, row.rank = name, rank
        made.append(row)
    para.createAll(made)
    pager = Pager(1, "properties.rank:desc,name:asc", True, 2)
    assert [obj.id for obj in para.findQuery("ranked", "*", pager)] == ["r2", "r1"]
    pager = Pager(2, "properties.rank:desc,name:asc", True, 2)
    assert [obj.id for obj in para.list("ranked", pager)] == ["r3"]
    pager = Pager(1, "name", False, 10)
    pager.select = ["id", "rank"]
    found = para.getEntity(para.invokeGet("ranked", para.pagerToParams(pager)), True)["items"]
    assert found == [{"id": "r2", "rank": 2}, {"id": "r1", "rank": 2}, {"id": "r3", "rank": 1}]
    assert [obj.id for obj in para.getItems(para.find("", {"type": "ranked", "q": "name:b"}))] == ["r1"]
    assert [obj.id for obj in para.getItemsFromList(found)] == ["r2", "r1", "r3"]


def test_the_index_is_built_again(para: Any) -> None:
    before = para.getCount("")
    answer = para.rebuildIndex()
    assert answer["reindexed"] >= before > 4
    assert answer["tookMillis"] >= 0
    assert para.rebuildIndex("another_index")["reindexed"] >= before
    assert para.getCount("") == before
    assert para.findQuery("sysprop", "Ann*")[0].id == "333"


def test_paths_and_plain_requests(door: Listening, para: Any) -> None:
    assert (para.getEndpoint(), para.getApiPath(), para.getFullPath("/x")) == (door.url, "/v1/", "/v1/x")
    para.setApiPath("/v1/")
    put = para.invokePut("note/" + para.urlenc("a/b c+d"), json.dumps({"n": 1}))
    assert (put.status_code, put.json()["id"]) == (200, "a/b c+d")
    assert para.invokePost("note", json.dumps({"id": "n2"})).status_code == 201
    found = para.invokeSignedRequest("GET", para.getEndpoint(), "/v1/_batch", params={"ids": ["n2", "a/b c+d"]})
    assert [obj["id"] for obj in found.json()] == ["n2", "a/b c+d"]
    assert para.invokePatch("note/n2", json.dumps({"n": 3})).json()["n"] == 3
    assert para.invokeDelete("_batch", {"ids": ["n2", "a/b c+d"]}).status_code == 200


ELSEWHERE = ("utilities", "permissions", "signin")


def test_every_method_of_the_client_is_called() -> None:
    here = Path(__file__)
    called: set[str] = set()
    for file in (here, *(here.with_name(f"test_objects_{name}.py") for name in ELSEWHERE)):
        calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        called |= {function.attr for function in calls if isinstance(function, ast.Attribute)}
    methods = {name for name, _ in inspect.getmembers(ParaClient, inspect.isroutine) if not name.startswith("_")}
    assert len(methods) > 70
    assert methods - called == set()


def test_votes(para: Any) -> None:
    """A22."""
    post = para.create(ParaObject(None, "post"))
    for up, counted, votes in (
        (True, True, 1),
        (True, False, 1),
        (False, True, 0),
        (False, True, -1),
        (False, False, -1),
    ):
        assert bool(para.voteUp(post, "222") if up else para.voteDown(post, "222")) is counted
        assert para.read("post", post.id).votes == votes
    para.delete(ParaObject(f"vote:222:{post.id}", "vote"))
    assert para.read("post", post.id).votes == -1
    para.delete(post)


def test_search_after_loops_to_the_end(para: Any) -> None:
    para.createAll([ParaObject(f"p{n:02}", "paged") for n in range(22)])
    pager = Pager(1, "_docid", False, 10)
    sizes: list[int] = []
    seen: list[str] = []
    while page := para.findQuery("paged", "*", pager):
        sizes.append(len(page))
        seen += [obj.id for obj in page]
        assert pager.count == 22
    assert sizes == [10, 10, 2]
    assert seen == [f"p{n:02}" for n in range(22)]


def test_keys_change_and_the_old_ones_end(door: Listening) -> None:
    root = client_of(door, "app:para", ROOT_SECRET)
    old = root.getEntity(root.invokeGet("_setup/turning"), True)["secretKey"]
    client = client_of(door, "app:turning", old)
    assert client.newKeys()["secretKey"] != old
    assert client.me()["id"] == "app:turning"
    assert client_of(door, "app:turning", old).invokeGet("_me").status_code == 403


def test_a_child_app_is_deleted_with_all_it_holds(door: Listening) -> None:
    root = client_of(door, "app:para", ROOT_SECRET)
    secret = root.getEntity(root.invokeGet("_setup/para-test-child", {"name": "Child"}), True)["secretKey"]
    client = client_of(door, "app:para-test-child", secret)
    assert client.me()["name"] == "Child"
    assert len(client.createAll([ParaObject(f"x{n}", "thingy") for n in range(5)])) == 5
    renamed: Any = ParaObject("app:para-test-child", "app")
    renamed.name = "Renamed"
    assert client.update(renamed).name == "Renamed"
    assert [app.id for app in root.list("apps", Pager(1, "_docid", False, 50)) if app.name == "Renamed"]
    assert root.invokeDelete("apps/para-test-child").status_code == 200
    assert client.invokeGet("_me").status_code == 404
    assert door.run(door.backend.store.objects.count("para-test-child")) == 0


def test_super_tokens(door: Listening, para: Any) -> None:

    now = door.backend.clock.now() // 1_000_000

    def token(secret: str, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(secret))

    child = door.run(door.backend.tenants.get("test"))
    client: Any = ParaClient("app:test", "")
    client.setEndpoint(door.url)
    client.setAccessToken(token(child.secret, {"appid": "app:test", "iat": now, "exp": now + 600}))
    assert client.me()["id"] == "app:test"
    assert client.read("sysprop", "111").name == "John Doe"
    asking = {"appid": "app:para", "iat": now, "exp": now + 10, "getCredentials": "app:test"}
    client.setAccessToken(token(ROOT_SECRET, asking))
    me = client.getEntity(client.invokeGet("_me"), True)
    assert me["id"] == "app:test"
    assert me["credentials"] == {"accessKey": "app:test", "secretKey": child.secret}
    client.clearAccessToken()
    client.setAccessToken(token(ROOT_SECRET, {**asking, "exp": now + 600}))
    assert client.invokeGet("_me").status_code == 401
    client.setAccessToken(token(ROOT_SECRET, {**asking, "getCredentials": "app:nope"}))
    assert client.me()["id"] == "app:para"
    header = json.dumps({"alg": "none"}).encode()
    unsigned = base64.urlsafe_b64encode(header).decode().rstrip("=") + client.getAccessToken()[20:]
    client.setAccessToken(unsigned.rpartition(".")[0] + ".")
    assert client.invokeGet("_me").status_code == 401


def test_constraints(para: Any) -> None:
    """A21."""
    assert {"app", "user"} <= para.validationConstraints().keys()
    assert list(para.validationConstraints("app")) == ["app"]
    kitten: Any = ParaObject("felix", "kitten")
    assert "paws" in para.addValidationConstraint("kitten", "paws", Constraint.required())["kitten"]
    assert "paws" in para.validationConstraints("kitten")["kitten"]
    assert para.create(kitten) is None
    assert para.update(kitten) is None
    kitten.paws = "4"
    assert para.create(kitten).paws == "4"
    assert "kitten" not in para.removeValidationConstraint("kitten", "paws", "required")
    assert "kitten" not in para.validationConstraints("kitten")
    assert para.me()["datatypes"]["kittens"] == "kitten"


CLIENTS = [
    (Constraint.required(), "x", ""),
    (Constraint.min(3), 3, 2),
    (Constraint.max(3), 3, 4),
    (Constraint.size(1, 2), "ab", "abc"),
    (Constraint.digits(2, 1), "12.5", "12.55"),
    (Constraint.pattern("^[a-c]+$"), "abc", "abcd"),
    (Constraint.email(), "a@b.cd", "a@b"),
    (Constraint.falsy(), "no", "true"),
    (Constraint.truthy(), "true", "no"),
    (Constraint.future(), 4_102_444_800_000, 1),
    (Constraint.past(), 1, 4_102_444_800_000),
    (Constraint.url(), "https://a.b/c", "a.b"),
]


@pytest.mark.parametrize(("constraint", "valid", "invalid"), CLIENTS)
def test_every_constraint_that_the_client_makes(para: Any, constraint: Any, valid: Any, invalid: Any) -> None:
    assert constraint.name in para.addValidationConstraint("puppy", "f", constraint)["puppy"]["f"]
    try:
        puppy: Any = ParaObject(None, "puppy")
        puppy.f = valid
        assert para.create(puppy).f == valid
        puppy.f = invalid
        assert para.create(puppy) is None
    finally:
        assert para.removeValidationConstraint("puppy", "f", constraint.name) == {}


def test_app_settings(para: Any) -> None:
    """A23."""
    assert para.appSettings() == {}
    para.addAppSetting("prop1", 1)
    para.addAppSetting("prop2", True)
    para.addAppSetting("prop3", "string")
    para.addAppSetting("prop4", " ")
    assert para.appSettings() == {"prop1": 1, "prop2": True, "prop3": "string", "prop4": " "}
    assert para.appSettings("prop1") == {"value": 1}
    assert para.appSettings("prop2") == {"value": True}
    assert para.appSettings("prop3") == {"value": "string"}
    assert para.appSettings(" ") == para.appSettings(None) == para.appSettings()
    para.removeAppSetting("prop4")
    para.removeAppSetting("prop3")
    assert para.appSettings() == {"prop1": 1, "prop2": True}
    assert para.appSettings("prop3") == {}
    para.setAppSettings({})
    assert para.appSettings() == {}


def test_types_counted(para: Any) -> None:
    """A20: plural to singular; with `count` singular to how many."""
    assert para.types()["users"] == "user"
    counted = para.typesCount()
    assert (counted["address"], counted["user"]) == (2, 0)
    assert counted["sysprop"] >= 5
