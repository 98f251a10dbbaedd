"""Reading an archive that a client sent, against bombs of every kind (objects.md 13, identity.md 17).

Promises: memory for one chunk, one object and the names of the entries, whatever the file holds; each limit is checked
on what was really unpacked, never on what the file says of itself. `objects` over a whole file is also its check: what
it yields was valid so far. Blocks; to be called in a thread.
"""

import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Final

import msgspec

from thingstead.model.archive import Splitter
from thingstead.model.errors import InvalidInput, MalformedBody, TooLarge
from thingstead.model.settings import Settings
from thingstead.model.values import JsonObject, parse_object

CHUNK: Final = 1024 * 1024
RATIO_FREE: Final = 1024 * 1024  # so much may be unpacked from an archive before the ratio counts
_NAME: Final = 255
_ENTRY_BYTES: Final = 128  # of the table of contents, on average: bounds what is read of it at once
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 0x1


class Limits(msgspec.Struct, frozen=True):
    """What an archive may hold."""

    size: int  # bytes of the file
    unpacked: int  # bytes of all entries
    ratio: int  # unpacked to packed
    entries: int


def limits_of(settings: Settings) -> Limits:
    """The limits that the settings state."""
    return Limits(
        settings.max_import_size, settings.max_import_unpacked, settings.max_import_ratio, settings.max_import_entries
    )


def objects(file: IO[bytes], limits: Limits) -> Iterator[JsonObject]:
    """Every object of every `.json` entry. Raises InvalidInput: no archive, a broken one, or one over its limits."""
    try:
        yield from _objects(file, limits)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, OSError) as error:
        raise MalformedBody(f"the archive cannot be read: {error}") from None


def _objects(file: IO[bytes], limits: Limits) -> Iterator[JsonObject]:
    file.seek(0, 2)
    packed = file.tell()
    allowed = min(limits.unpacked, max(RATIO_FREE, packed * limits.ratio))
    unpacked = 0
    most = _ENTRY_BYTES * limits.entries
    with zipfile.ZipFile(_Careful(file, max(most, CHUNK))) as archive:  # pyright: ignore[reportArgumentType]
        entries = archive.infolist()
        if len(entries) > limits.entries:
            raise TooLarge(f"the archive has more than {limits.entries} entries")
        wanted = [entry for entry in entries if _wanted(entry)]
        for entry in wanted:
            splitter = Splitter()
            try:
                with archive.open(entry) as source:
                    while chunk := source.read(CHUNK):
                        unpacked += len(chunk)
                        if unpacked > allowed:
                            raise TooLarge(_too_large(limits, unpacked))
                        for found in splitter.feed(chunk):
                            yield parse_object(found)
                splitter.close()
            except InvalidInput as error:
                raise type(error)(f"{entry.filename}: {error.message}") from None


def _wanted(entry: zipfile.ZipInfo) -> bool:
    """True for `.json` entries; others are never opened. Raises InvalidInput for one that no export has made."""
    name = entry.filename
    if not name.lower().endswith(".json"):
        return False
    if len(name) > _NAME or "/" in name or "\\" in name or ":" in name[1:2] or not name.isprintable():
        raise InvalidInput(f"an entry has a name that is no plain file name: {name[:80]!a}")
    if entry.flag_bits & _ENCRYPTED:
        raise InvalidInput(f"{name} is encrypted")
    if entry.compress_type not in _METHODS:
        raise InvalidInput(f"{name} is compressed in another way than deflate")
    return True


def _too_large(limits: Limits, unpacked: int) -> str:
    if unpacked > limits.unpacked:
        return f"the archive holds more than {limits.unpacked} bytes unpacked"
    return f"the archive unpacks to more than {limits.ratio} times its size"


class _Careful:
    """A file of which no more than so much is read at once: zipfile takes the table of contents in one piece."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file = file
        self._most = most
        self.seek = file.seek
        self.tell = file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size > self._most:
            raise zipfile.BadZipFile("its table of contents is too large")
        return self._file.read(self._most if size < 0 else size)  # without a size only the last 64 KB are wanted
