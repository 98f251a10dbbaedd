"""Promise: a query term `deviceState.x` is answered from the latest values, as /v1 shows them (doors.md 3)."""

from pathlib import Path

from support.aio import run
from support.backend import open_backend, owner
from thingstead.core.backend import Backend
from thingstead.core.ingest import Report
from thingstead.core.objects import Draft
from thingstead.model.query.build import plan
from thingstead.model.values import JsonObject

APP = "para"
QUERIES = {
    "deviceState.temp:24.5": "a",
    "deviceState.temp:[20 TO *]": "ab",
    "deviceState.temp:>24.5": "b",
    "deviceState.label:roof": "a",
    'deviceState.label:"the roof"': "a",
    "deviceState.label:ro*": "ab",
    "deviceState.label:roff~": "a",
    "deviceState.nested.deep:true": "c",
    "deviceState.list:2": "c",
    "deviceState.temp:*": "ab",
    "deviceState.none:*": "",
    "deviceState.temp:24.5 OR deviceState.nested.deep:true": "ac",
    "name:a AND deviceState.temp:[0 TO 100]": "a",
    "NOT deviceState.temp:[0 TO 100]": "cd",
    "+name:b -deviceState.temp:[0 TO 100]": "",
    "(deviceState.temp:99 OR name:d) AND type:thing": "bd",
    "deviceState:*": "",
    "24.5": "",  # no state is in the index
}


async def found(backend: Backend, q: str, type: str | None = "thing", query_type: str = "", **params: str) -> str:
    page = await backend.search.find(APP, plan(query_type, type, {"q": [q], **{k: [v] for k, v in params.items()}}))
    assert page.total == len(page.ids)
    return "".join(sorted(obj.name for obj in await backend.objects.get_many(APP, page.ids)))


async def thing(backend: Backend, name: str, state: JsonObject) -> str:
    id = (await backend.objects.create(APP, Draft(type="thing", body={"name": name}), owner(APP))).object.id
    if state:
        await backend.ingest.report(Report(app=APP, thing=id, reported=state))
    return id


def test_terms_over_the_state(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            first = await thing(backend, "a", {"temp": 24.5, "label": "The roof"})
            await thing(backend, "b", {"temp": 99, "label": "rooms"})
            await thing(backend, "c", {"nested": {"deep": True}, "list": [1, 2]})
            await thing(backend, "d", {})
            await backend.objects.create(APP, Draft(type="cat", body={"name": "a", "temp": 24.5}), owner(APP))
            for q, names in QUERIES.items():
                assert await found(backend, q) == names, q
            await backend.search.flush()
            for q, names in QUERIES.items():
                assert await found(backend, q) == names, f"{q}, from the index"
            terms = {"terms": "deviceState.temp:99"}
            assert await found(backend, "*", query_type="terms", **terms) == "b"
            assert await found(backend, "*", query_type="prefix", field="deviceState.label", prefix="roo") == "ab"
            assert await found(backend, "deviceState.temp:24.5", type=None) == "a"
            # at once after the next report, and after a wish, which /v1 shows
            await backend.ingest.report(Report(app=APP, thing=first, reported={"temp": 30}))
            assert await found(backend, "deviceState.temp:24.5") == ""
            assert await found(backend, "deviceState.temp:30") == "a"
            await backend.objects.patch(APP, first, {"deviceState": {"temp": 35}}, owner(APP))
            assert await found(backend, "deviceState.temp:35") == "a"
            await backend.objects.delete(APP, first, owner(APP))
            assert await found(backend, "deviceState.temp:[0 TO *]") == "b"

    run(work())


def test_more_things_than_one_slice_and_other_apps(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            drafts = [Draft(type="thing", body={"name": f"{n}"}) for n in range(250)]
            for n, made in enumerate(await backend.objects.create_many(APP, drafts, owner(APP))):
                assert not isinstance(made, Exception)
                await backend.ingest.report(Report(app=APP, thing=made.object.id, reported={"n": n}))
            page = await backend.search.find(APP, plan("", "thing", {"q": ["deviceState.n:>=100"], "limit": ["0"]}))
            assert page.total == 150
            other, _ = await backend.tenants.create("other")
            page = await backend.search.find(other.identifier, plan("", "thing", {"q": ["deviceState.n:>=100"]}))
            assert page.total == 0

    run(work(), 60)
