"""Promise: languages are read in layers and written where they were asked to be; no approved translation is lost."""

import asyncio
from pathlib import Path

import pytest

from support.aio import run
from support.backend import open_backend, owner
from thingstead.core.backend import Backend
from thingstead.core.languages import Languages
from thingstead.core.objects import Draft
from thingstead.model import properties
from thingstead.model.errors import InvalidInput, StoreFailed, Unavailable
from thingstead.model.query.build import Pager
from thingstead.model.values import JsonObject

APP = "para"
ENGLISH = {"hello": "Hello", "bye": "Bye", "name": "Name", "id": "Id"}


def of(backend: Backend, folder: Path | None = None) -> Languages:
    languages = Languages(backend.objects, backend.search, folder)
    languages.set_default_language(ENGLISH)
    return languages


async def stored(backend: Backend, id: str) -> JsonObject:
    return (await backend.objects.get(APP, id)).custom


def test_locales() -> None:
    languages = Languages(None, None)  # pyright: ignore[reportArgumentType]  # neither is asked
    known = languages.all_locales()
    assert {"en", "de", "bg", "id", "zh_CN", "zh_TW"} <= known.keys()
    assert "zh" not in known
    for code, shown in (
        ("de", "de"),
        ("de_AT", "de"),
        ("zh_tw", "zh_Hant_TW"),
        ("zh", "zh_Hans_CN"),
        ("xx", "en"),
        ("", "en"),
    ):
        assert str(languages.proper_locale(code)) == shown
    languages.set_default_code("de_AT")
    assert languages.default_code == "de"
    for wrong in ("xx", "", "../../etc/passwd"):
        with pytest.raises(InvalidInput):
            languages.set_default_code(wrong)


def test_approving_and_disapproving(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            languages = of(backend)
            assert await languages.read(APP, "de") == ENGLISH == await languages.read(APP, "xx")
            assert await languages.approved_keys(APP, "de") == set()
            assert not await languages.disapprove(APP, "de", "hello")
            for key, text in (("hello", "Hallo"), ("name", "Name "), ("id", "Nummer"), ("new", "Neu")):
                assert await languages.approve(APP, "de_AT", key, text)
            for code, key, text in (("en", "hello", "Hi"), ("xx", "hello", "x"), ("de", " ", "x"), ("de", "bye", " ")):
                assert not await languages.approve(APP, code, key, text)
            german = {"hello": "Hallo", "bye": "Bye", "name": "Name ", "id": "Nummer", "new": "Neu"}
            assert await languages.read(APP, "de") == german
            assert await languages.approved_keys(APP, "de") == {"hello", "name", "id"}
            shown = await backend.objects.get(APP, "language:de")
            assert (shown.type, shown.name) == ("sysprop", "ParaObject language:de")
            assert shown.custom == {"hello": "Hallo", "_name": "Name ", "_id": "Nummer", "new": "Neu"}
            progress = await languages.progress(APP)
            assert (progress["de"], progress["en"], progress["fr"]) == (75, 100, 0)
            assert progress.keys() == languages.all_locales().keys()
            assert await languages.disapprove(APP, "de", "hello")
            assert await languages.disapprove(APP, "de", "new")
            assert not await languages.disapprove(APP, "en", "hello")
            assert await languages.read(APP, "de") == {**ENGLISH, "name": "Name ", "id": "Nummer"}
            assert (await languages.progress(APP))["de"] == 50
            assert await languages.approve(
                APP, "id", "hello", "Halo"
            )  # the code of Indonesian is also an object's member
            assert await stored(backend, "language:progress") == {"de": 50, "_id": 25}
            assert (await languages.progress(APP))["id"] == 25
            assert (await languages.progress("other"))["de"] == 0

    run(work())


def test_approvals_of_one_moment_lose_nothing_and_are_kept(tmp_path: Path) -> None:
    async def approve() -> None:
        async with open_backend(tmp_path) as backend:
            languages = of(backend)
            keys = [f"key{n}" for n in range(20)]
            languages.set_default_language(dict.fromkeys(keys, "x"))
            await asyncio.gather(*(languages.approve(APP, "fr", key, key.upper()) for key in keys))
            assert await languages.read(APP, "fr") == {key: key.upper() for key in keys}
            assert (await languages.progress(APP))["fr"] == 100

    async def again() -> None:
        async with open_backend(tmp_path) as backend:
            assert len(await Languages(backend.objects, backend.search).read(APP, "fr")) == 20

    run(approve())
    run(again())


def test_files(tmp_path: Path) -> None:
    folder = tmp_path / "languages"

    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            folder.mkdir()
            (folder / "lang_en.properties").write_text("hello=Hello\nbye=Bye\nblank=\n")
            (folder / "lang_de.properties").write_bytes("hello=Grüß Gott\n".encode())
            (folder / "lang_zh_tw.properties").write_bytes(b"hello=\\u54c8\\u56c9\n")
            languages = Languages(backend.objects, backend.search, folder)
            assert await languages.default_language(APP) == {"hello": "Hello", "bye": "Bye"}
            assert await languages.read(APP, "de") == {"hello": "Grüß Gott", "bye": "Bye"}
            assert await languages.read(APP, "zh-Hant") == {"hello": "哈囉", "bye": "Bye"}
            assert await languages.approve(APP, "de", "hello", "Hallo")
            assert (await languages.read(APP, "de"))["hello"] == "Hallo"
            assert await languages.disapprove(APP, "de", "hello")
            assert (await languages.read(APP, "de"))["hello"] == "Hello"  # not the file's
            before = await backend.store.objects.count(APP, type="sysprop")
            await languages.write(APP, "fr_FR", {"hello": "Salut ✓", "bye": " "})
            assert properties.parse((folder / "lang_fr.properties").read_bytes()) == {"hello": "Salut ✓"}
            assert await languages.read(APP, "fr") == {"hello": "Salut ✓", "bye": "Bye"}
            assert await backend.store.objects.count(APP, type="sysprop") == before
            assert (await languages.progress(APP))["fr"] == 50
            await languages.write(APP, "zh_TW", {"hello": "你好"}, to_database=True)
            assert await stored(backend, "language:zh_TW") == {"hello": "你好"}
            assert (folder / "lang_zh_TW.properties").read_bytes() == b"hello=\\u4f60\\u597d\n"
            await languages.write(APP, "en", {"hello": "Hi"})
            assert await languages.default_language(APP) == {"hello": "Hi"}
            assert [path.name for path in folder.iterdir() if path.suffix != ".properties"] == []

    run(work())


def test_writing_to_the_database_alone_replaces_what_was_there(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            languages = of(backend)
            await languages.write(APP, "de", {"hello": "Hallo", "name": "Name!"}, to_database=True)
            await languages.write(APP, "de", {"bye": "Tschüß"}, to_database=True)
            assert await stored(backend, "language:de") == {"bye": "Tschüß"}
            assert await languages.read(APP, "de") == {**ENGLISH, "bye": "Tschüß"}

    run(work())


def test_what_cannot_be_written_or_read_is_said(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            languages = of(backend)
            for code, language, database in (
                ("xx", {"a": "b"}, True),
                ("../evil", {"a": "b"}, True),
                ("de", {}, True),
                ("de", {"a": " "}, True),
                ("de", {"a": "b"}, False),
            ):
                with pytest.raises(InvalidInput):
                    await languages.write(APP, code, language, to_database=database)
            with pytest.raises(InvalidInput):
                languages.set_default_language({})
            assert await backend.store.objects.count(APP, type="sysprop") == 0
            (tmp_path / "file").write_text("")
            with pytest.raises(StoreFailed):
                await of(backend, tmp_path / "file" / "below").write(APP, "de", {"a": "b"})
            (tmp_path / "lang_de.properties").mkdir()
            with pytest.raises(Unavailable):
                await of(backend, tmp_path).read(APP, "de")

    run(work())


def test_translations_of_a_key(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            me = owner(APP)

            def proposed(key: str, locale: str, value: str) -> Draft:
                return Draft(type="translation", body={"thekey": key, "locale": locale, "value": value})

            made = await backend.objects.create_many(
                APP,
                [
                    *(proposed("hello", "de", f"Hallo {n}") for n in range(3)),
                    proposed("hello", "fr", "Salut"),
                    proposed("bye", "de", "Tschüß"),
                ],
                me,
            )
            assert len(made) == 5
            languages = of(backend)
            found, total = await languages.translations(APP, "de", "hello", Pager(limit=2))
            assert (len(found), total) == (2, 3)
            assert {obj.own["thekey"] for obj in found} == {"hello"}
            assert {(obj.own["authorName"], obj.own["approved"]) for obj in found} == {("unknown", False)}
            assert await languages.translations(APP, "it", "hello") == ([], 0)

    run(work())
