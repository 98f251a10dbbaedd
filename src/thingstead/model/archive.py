"""Archives: the form of objects in `_export` and `_import`, and the pieces of the ZIP around them. Pure.

An archive holds entries `<app>_<yyyyMMdd_HHmmss>_part<n>.json`, each one JSON array of objects: complete, custom fields
nested under `properties` (objects.md 13). `Packer` makes the ZIP piece by piece, `Splitter` takes the objects out of an
entry that may be larger than memory. Neither holds more than a part, or an object, at a time. Who opens what stands in
core.
"""

import re
import zipfile
from datetime import UTC, datetime
from typing import Final

from thingstead.model.errors import MalformedBody, TooLarge
from thingstead.model.objects import Object
from thingstead.model.values import JsonObject, dump

LARGEST_OBJECT: Final = 16 * 1024 * 1024
DEEPEST: Final = 80  # what a request may nest (64), below `properties` or a shadow's section

_BOM: Final = b"\xef\xbb\xbf"
# Up to the next bracket that is in no string, and that bracket; no match if it is not there yet.
_BRACKET: Final = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+([{}\[\]])', re.DOTALL)
_OPENING: Final = b"{["
_GAP: Final = re.compile(rb"[ \t\r\n]*")


def stem(app: str, now: int) -> str:
    """The start of every name in an archive made at `now` (us, UTC).

    >>> stem("farm", 1_768_478_400_000_000)
    'farm_20260115_120000'
    """
    return f"{app}_{datetime.fromtimestamp(now // 1_000_000, UTC):%Y%m%d_%H%M%S}"


def entry_of(obj: Object, hidden: JsonObject) -> JsonObject:
    """An object as it stands in an archive; `hidden` are its hidden fields, readable."""
    wire = obj.wire()
    for name in obj.custom:
        del wire[name]
    wire.update(hidden)
    if obj.custom:
        wire["properties"] = obj.custom
    return wire


class Packer:
    """Makes a ZIP of parts; each call gives the bytes to send next."""

    def __init__(self, stem: str, now: int) -> None:
        self._stem = stem
        moment = datetime.fromtimestamp(now // 1_000_000, UTC)
        self._date = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED)
        self._parts = 0

    def part(self, entries: list[JsonObject]) -> bytes:
        """One more entry: an array of these objects."""
        self._parts += 1
        info = zipfile.ZipInfo(f"{self._stem}_part{self._parts}.json", self._date)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        self._zip.writestr(info, dump([*entries]))
        return self._sink.taken()

    def end(self) -> bytes:
        """The table of contents; nothing can be added after it."""
        self._zip.close()
        return self._sink.taken()


class _Sink:
    """What a ZipFile writes to: it cannot seek, so that nothing must be kept."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """There is nothing to close."""

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class Splitter:
    """Takes the objects out of a JSON array that arrives in chunks; what stands between them is checked."""

    def __init__(self, largest: int = LARGEST_OBJECT, deepest: int = DEEPEST) -> None:
        self._largest = largest
        self._deepest = deepest
        self._rest = b""
        self._first = True
        self._expected = "["  # or "item", "first item", "," or "end"
        self._depth = 0  # open brackets of the object that `_rest` begins with
        self._at = 0  # how far `_rest` was looked at
        self.count = 0
        """Objects so far."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The objects that this chunk completes, each as its bytes. Raises MalformedBody, TooLarge."""
        data = self._rest + chunk
        if self._first:
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._rest = data
                return []
            data = data.removeprefix(_BOM)
            self._first = False
        found: list[bytes] = []
        start, at = 0, self._at
        while True:
            if self._depth:
                at = self._through(data, at)
                if self._depth:
                    break
                found.append(data[start:at])
                start = at
                if data[at : at + 2] == b",{":  # as a rule
                    self._depth, start, at = 1, at + 1, at + 2
                    continue
                self._expected = ","
            at = self._gap(data, start)
            start = at
            if at == len(data):
                break
            if self._expected == "item":
                self._depth, at = 1, at + 1
            else:
                start = at
        self._rest = data[start:]
        self._at = at - start
        if len(self._rest) > self._largest:
            raise TooLarge(f"an object is larger than {self._largest} bytes")
        self.count += len(found)
        return found

    def close(self) -> None:
        """Call at the end. Raises MalformedBody if the array has not ended."""
        if self._expected != "end" or self._depth:
            raise MalformedBody("the array of objects ends too early")

    def _through(self, data: bytes, at: int) -> int:
        """The position behind the open object, or as far as one can look; `_depth` tells which."""
        depth = self._depth
        bracket = _BRACKET.match
        while found := bracket(data, at):
            at = found.end()
            if data[at - 1] in _OPENING:
                depth += 1
                if depth > self._deepest:
                    raise TooLarge(f"an object nests deeper than {self._deepest} levels")
            else:
                depth -= 1
                if not depth:
                    break
        self._depth = depth
        return at

    def _gap(self, data: bytes, at: int) -> int:
        """The position of the next object, or of the end of `data`; takes what stands between objects."""
        while True:
            match = _GAP.match(data, at)
            at = match.end() if match is not None else at
            if at == len(data):
                return at
            char = data[at : at + 1]
            match self._expected, char:
                case "[", b"[":
                    self._expected = "first item"
                case "first item" | "item", b"{":
                    self._expected = "item"
                    return at
                case "first item" | ",", b"]":
                    self._expected = "end"
                case ",", b",":
                    self._expected = "item"
                case _:
                    shown = char.decode("ascii", "backslashreplace")
                    wanted = {"[": "an array", "end": "nothing more"}.get(self._expected, "an object")
                    raise MalformedBody(f"{wanted} is expected where {shown} stands, after {self.count} objects")
            at += 1
