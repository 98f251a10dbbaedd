"""Languages and translations, for programs that embed thingstead (objects.md 16).

A language is read in three layers: the default language, `lang_<code>.properties` in the folder, and the custom fields
of the app's object `language:<code>`, where approved translations are; the later wins. Promises: a translation that was
approved is durable; approvals at the same moment lose nothing. No HTTP endpoint, and nothing of it runs unless called.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from thingstead.core.kinds.base import Draft
from thingstead.core.objects import Objects
from thingstead.core.search import Search
from thingstead.model import languages as rules
from thingstead.model import properties, types
from thingstead.model.errors import InvalidInput, NotFound, StoreFailed, Unavailable
from thingstead.model.languages import Language
from thingstead.model.objects import Object
from thingstead.model.principals import Principal
from thingstead.model.query.build import Find, Pager, terms
from thingstead.model.values import JsonObject

if TYPE_CHECKING:
    from babel import Locale


class Languages:
    """The languages of all apps; `folder` holds files of language, and is written to by `write`.

    Codes are those of languages (`de`), with `zh_CN` and `zh_TW` for Chinese; `de_AT` means `de`. Methods raise
    AppNotFound, StoreFailed, and Unavailable if a file cannot be read.
    """

    def __init__(self, objects: Objects, search: Search, folder: Path | None = None, default_code: str = "en") -> None:
        """Raises InvalidInput for a `default_code` that no language has."""
        self._objects = objects
        self._search = search
        self._folder = folder
        self._locales: Mapping[str, Locale] | None = None
        self._default: dict[str, str] | None = None
        self._files: dict[str, dict[str, str]] = {}  # code -> what its file holds; read once
        self._changing = asyncio.Lock()
        self._default_code = "en"
        if default_code != "en":
            self.set_default_code(default_code)

    # --- codes and locales

    @property
    def default_code(self) -> str:
        """The code of the default language."""
        return self._default_code

    def set_default_code(self, code: str) -> None:
        """Make another language the default one. Raises InvalidInput."""
        known = self._known(code)
        if known != self._default_code:
            self._default_code, self._default = known, None

    def all_locales(self) -> Mapping[str, "Locale"]:
        """Every language by its code, as Babel knows it."""
        if self._locales is None:
            from babel import Locale, localedata  # costs time, and only some programs need it

            codes = {id for id in localedata.locale_identifiers() if "_" not in id and id != "zh"}
            codes |= {rules.CHINA, rules.TAIWAN}
            self._locales = {code: Locale.parse(code) for code in sorted(codes)}
        return self._locales

    def proper_locale(self, code: str) -> "Locale":
        """The locale that a code means; English if it means none."""
        return self.all_locales()[rules.code_of(code, self.all_locales()) or "en"]

    def _known(self, code: str) -> str:
        known = rules.code_of(code, self.all_locales())
        if known is None:
            raise InvalidInput(f"'{code}' is the code of no language", field="code")
        return known

    def _meant(self, code: str) -> str:
        return rules.code_of(code, self.all_locales()) or self._default_code

    # --- languages

    async def default_language(self, app: str) -> dict[str, str]:
        """The default language: what `set_default_language` was given, else what is stored."""
        return dict(self._default) if self._default is not None else await self._stored(app, self._default_code)

    def set_default_language(self, language: Language) -> None:
        """The texts of the default language, for all apps, as long as this object lives. Raises InvalidInput."""
        self._default = _texts(language)

    async def read(self, app: str, code: str) -> dict[str, str]:
        """A language; what it lacks is filled from the default, which also stands for a language that is unknown."""
        default, meant = await self.default_language(app), self._meant(code)
        return default if meant == self._default_code else {**default, **await self._stored(app, meant)}

    async def write(self, app: str, code: str, language: Language, *, to_database: bool = False) -> None:
        """Write the file of a language, if there is a folder; with `to_database` also its object, overwriting it.

        What is in the object stands above the file. Raises InvalidInput for an unknown code, an empty map, and where
        there is neither folder nor database to write to.
        """
        known, texts = self._known(code), _texts(language)
        if self._folder is None and not to_database:
            raise InvalidInput("no folder for languages is set, and the database was not asked for", field="folder")
        async with self._changing:
            if self._folder is not None:
                await asyncio.to_thread(_write, self._folder, known, properties.dump(texts))
                self._files[known] = texts
            if to_database:
                body: JsonObject = {rules.kept_name(key): text for key, text in texts.items()}
                await self._overwrite(app, known, body)
            if known == self._default_code:
                self._default = None
            else:
                await self._count(app, known)

    # --- translations

    async def translations(self, app: str, code: str, key: str, pager: Pager | None = None) -> tuple[list[Object], int]:
        """The objects of type `translation` that were proposed for a key, and how many there are in all."""
        query = terms([f"thekey:{key}", f"locale:{code}"], True)
        found = await self._search.find(app, Find(query, "translation", pager or Pager()))
        return await self._objects.get_many(app, found.ids), found.total

    async def approved_keys(self, app: str, code: str) -> set[str]:
        """The keys whose text differs from the default language's."""
        return rules.approved(await self.default_language(app), await self.read(app, code))

    async def approve(self, app: str, code: str, key: str, value: str) -> bool:
        """Make a text the translation of a key. False, and nothing done, for the default language and blank texts."""
        known = self._meant(code)
        if known == self._default_code or not key.strip() or not value.strip():
            return False
        async with self._changing:
            await self._merge(app, rules.OBJECT_PREFIX + known, {rules.kept_name(key): value})
            await self._count(app, known)
        return True

    async def disapprove(self, app: str, code: str, key: str) -> bool:
        """Go back to the default language's text of a key. False where nothing was stored for the language."""
        known = self._meant(code)
        if known == self._default_code or not key.strip():
            return False
        async with self._changing:
            if not await self._stored(app, known):
                return False
            text = (await self.default_language(app)).get(key)  # above what a file may have; null removes
            await self._merge(app, rules.OBJECT_PREFIX + known, {rules.kept_name(key): text})
            await self._count(app, known)
        return True

    async def progress(self, app: str) -> dict[str, int]:
        """How much of each language is translated, in percent; the default language is complete."""
        counted = await self._custom(app, rules.PROGRESS_ID)
        found = dict.fromkeys(self.all_locales(), 0)
        for name, percent in counted.items():
            if (code := rules.key_of(name)) in found and isinstance(percent, int):
                found[code] = percent
        found[self._default_code] = 100
        return found

    # --- what is stored

    async def _stored(self, app: str, code: str) -> dict[str, str]:
        file = self._files.get(code)
        if file is None:
            data = await asyncio.to_thread(_read, self._folder, code) if self._folder is not None else b""
            file = self._files[code] = {key: text for key, text in properties.parse(data).items() if text.strip()}
        return {**file, **rules.language_of(await self._custom(app, rules.OBJECT_PREFIX + code))}

    async def _custom(self, app: str, id: str) -> JsonObject:
        found = await self._objects.get_many(app, [id])
        return found[0].custom if found else {}

    async def _merge(self, app: str, id: str, body: JsonObject) -> None:
        try:
            await self._objects.patch(app, id, body, Principal("app", app))
        except NotFound:
            await self._objects.create(app, Draft(type=types.GENERIC, id=id, body=body), Principal("app", app))

    async def _overwrite(self, app: str, code: str, body: JsonObject) -> None:
        draft = Draft(type=types.GENERIC, id=rules.OBJECT_PREFIX + code, body=body)
        await self._objects.overwrite(app, draft, Principal("app", app))

    async def _count(self, app: str, code: str) -> None:
        share = rules.percent(await self.default_language(app), await self.read(app, code))
        await self._merge(app, rules.PROGRESS_ID, {rules.kept_name(code): share})


def _texts(language: Language) -> dict[str, str]:
    texts = {key: text for key, text in language.items() if key.strip() and text.strip()}
    if not texts:
        raise InvalidInput("a language needs texts", field="language")
    return texts


def _path(folder: Path, code: str) -> Path:
    return folder / f"lang_{code}.properties"


def _read(folder: Path, code: str) -> bytes:
    for name in dict.fromkeys((code, code.lower())):  # Para's own files are lang_zh_cn.properties
        try:
            return _path(folder, name).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Unavailable(f"the language {code} cannot be read: {error.strerror}") from error
    return b""


def _write(folder: Path, code: str, data: bytes) -> None:
    """Replace a file as a whole."""
    path = _path(folder, code)
    begun = path.with_suffix(".tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        begun.write_bytes(data)
        begun.replace(path)
    except OSError as error:
        raise StoreFailed(f"the language {code} cannot be written: {error.strerror}") from error
