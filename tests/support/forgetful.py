"""A SQLite VFS that forgets everything since the last sync, and that can be made to fail: loss of power without a plug.

Writes stay in memory, seen by every connection of this process, and reach the real files only at xSync. So SIGKILL of
a process, or `power_loss` (a copy of the real files), leaves what a disk would hold after a loss of power. One process
per directory. `-shm` files are real, as SQLite rebuilds them when the first connection opens.

In a process of its own: `python -m support.forgetful CONTROL ARGUMENTS...` runs the command line of thingstead over it;
the text of the file CONTROL is the fault ("", "fail", "full" or "hold").
"""

import random
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import apsw

Fault = Literal["", "fail", "fail-once", "full", "hold"]
"""What goes wrong: syncs fail (from now on, or one), writes find the disk full, syncs wait."""

HOLD_SECONDS = 30


class _Image:
    """A file as its writer sees it, and which parts of that are not on the disk."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.dirty: list[tuple[int, int]] = []  # (offset, length)


class Forgetful(apsw.VFS):
    """Registered under `name` as long as this object lives."""

    def __init__(self, name: str = "forgetful", *, control: Path | None = None, default: bool = False) -> None:
        self.base = apsw.vfs_names()[0]  # by name: "" would mean this one, once it is the default
        super().__init__(name, self.base, makedefault=default)
        self.name = name
        self.fault: Fault = ""
        self.on_sync: Callable[[str, str], None] = lambda when, path: None
        """Called with "before" or "after" and the path, outside of the lock, in whichever thread syncs."""
        self.lock = threading.RLock()
        """Held while a sync reaches the disk."""
        self.images: dict[str, _Image] = {}
        self._control = control

    def present_fault(self) -> Fault:
        if self._control is not None:
            try:
                self.fault = self._control.read_text().strip()  # type: ignore[assignment]
            except FileNotFoundError:
                self.fault = ""
        return self.fault

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        kept = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
        if name is None or not flags[0] & kept:
            return apsw.VFSFile(self.base, name, flags)
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        with self.lock:
            self.images.pop(filename, None)
            super().xDelete(filename, syncdir)

    def power_loss(self, directory: Path, target: Path, torn: random.Random | None = None) -> None:
        """Copy to `target` what the disk holds of `directory`; with `torn`, some of the unsynced writes as well."""
        with self.lock:
            shutil.copytree(directory, target, ignore=shutil.ignore_patterns("*-shm"))
            for path, image in self.images.items():
                if torn is None or Path(path).parent != directory:
                    continue
                chance = torn.choice([0.0, 0.5, 1.0])
                with (target / Path(path).name).open("r+b") as file:
                    for offset, length in image.dirty:
                        if torn.random() < chance:
                            file.seek(offset)
                            file.write(image.data[offset : offset + length])


class _File(apsw.VFSFile):
    def __init__(self, vfs: Forgetful, name: str | apsw.URIFilename, flags: list[int]) -> None:
        super().__init__(vfs.base, name, flags)
        self._vfs = vfs
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name
        with vfs.lock:
            if self._path not in vfs.images:
                vfs.images[self._path] = _Image(Path(self._path).read_bytes())

    @property
    def _image(self) -> _Image:
        return self._vfs.images[self._path]

    def xRead(self, amount: int, offset: int) -> bytes:
        with self._vfs.lock:
            return bytes(self._image.data[offset : offset + amount])

    def xFileSize(self) -> int:
        return len(self._image.data)

    def xWrite(self, data: Any, offset: int) -> None:
        if self._vfs.present_fault() == "full":
            raise apsw.exception_for(apsw.SQLITE_FULL)
        with self._vfs.lock:
            image = self._image
            if offset > len(image.data):
                image.data.extend(bytes(offset - len(image.data)))
            image.data[offset : offset + len(data)] = data
            image.dirty.append((offset, len(data)))

    def xTruncate(self, newsize: int) -> None:
        with self._vfs.lock:
            image = self._image
            del image.data[newsize:]
            image.dirty = [
                (offset, min(length, newsize - offset)) for offset, length in image.dirty if offset < newsize
            ]

    def xSync(self, flags: int) -> None:
        self._vfs.on_sync("before", self._path)
        until = time.monotonic() + HOLD_SECONDS
        while self._vfs.present_fault() == "hold" and time.monotonic() < until:
            time.sleep(0.005)
        if self._vfs.fault in ("fail", "fail-once"):
            if self._vfs.fault == "fail-once":
                self._vfs.fault = ""
            raise apsw.exception_for(apsw.SQLITE_IOERR_FSYNC)
        with self._vfs.lock:
            image = self._image
            for offset, length in image.dirty:
                super().xWrite(bytes(image.data[offset : offset + length]), offset)
            image.dirty = []
            if super().xFileSize() != len(image.data):
                super().xTruncate(len(image.data))
        self._vfs.on_sync("after", self._path)


def main() -> None:
    from thingstead.server.cli import main as run

    vfs = Forgetful(control=Path(sys.argv[1]), default=True)
    sys.argv = ["thingstead", *sys.argv[2:]]
    run()
    del vfs


if __name__ == "__main__":
    main()
