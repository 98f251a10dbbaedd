"""Rules of translated texts: codes, what is kept under which name, what counts as translated (objects.md 16). Pure.

A language is a map key -> text. One of them is the default; the others fill what they lack from it.
"""

from collections.abc import Collection, Mapping
from typing import Final, TypeAlias

from thingstead.model.objects import NOT_CUSTOM
from thingstead.model.values import Json

Language: TypeAlias = Mapping[str, str]

CHINA: Final = "zh_CN"
TAIWAN: Final = "zh_TW"
OBJECT_PREFIX: Final = "language:"
PROGRESS_ID: Final = OBJECT_PREFIX + "progress"

_ALIKE = 5  # texts that may be the same in another language ("Email"), where there are more than _FEW
_FEW = 10


def code_of(text: str, known: Collection[str]) -> str | None:
    """The known code that is meant: itself, Chinese by script or region, else its language alone; None if unknown.

    >>> code_of("pt-BR", ["pt"]), code_of("zh_Hant", []), code_of("xx", ["pt"])
    ('pt', 'zh_TW', None)
    """
    code = text.strip().replace("-", "_")
    language, *rest = code.split("_")
    language = language.lower()
    if language == "zh":
        traditional = {"tw", "hk", "mo", "hant"} & {part.lower() for part in rest}
        return TAIWAN if traditional else CHINA
    for candidate in (code, language, language[:2]):
        if candidate and candidate in known:
            return candidate
    return None


def kept_name(key: str) -> str:
    """The custom field that holds a key: one more `_` in front of what the envelope of objects has names for."""
    return "_" + key if key.lstrip("_") in NOT_CUSTOM else key


def key_of(name: str) -> str:
    """The key that a custom field holds."""
    return name[1:] if name.startswith("_") and name.lstrip("_") in NOT_CUSTOM else name


def language_of(custom: Mapping[str, Json]) -> dict[str, str]:
    """The texts in the custom fields of an object `language:<code>`."""
    return {key_of(name): value for name, value in custom.items() if isinstance(value, str)}


def approved(default: Language, language: Language) -> set[str]:
    """The keys of the default language whose text here is another."""
    return {key for key, text in default.items() if language.get(key, text) != text}


def percent(default: Language, language: Language) -> int:
    """How much of the default language is translated, 0-100."""
    size, done = len(default), len(approved(default, language))
    if size > _FEW and done >= size - _ALIKE:
        done = size
    return done * 100 // size if size else 0
