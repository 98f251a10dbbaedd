"""The Files port on a folder: each file under its path, as it is.

Promises: see ports.files. A file is written in `.incoming`, synced, and renamed to its path, whose folders are synced
as well. Every name is opened from its folder's descriptor without following links, so that a link that somebody puts
into the folder, even while a path is walked, leads nowhere. The disk is waited for in threads.
"""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterable, AsyncIterator, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from thingstead.model.errors import InvalidInput, Unavailable
from thingstead.model.files import INCOMING, clean
from thingstead.ports.environment import Entropy

_PART: Final = 64 * 1024
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NONBLOCK: a pipe would hang
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_THERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)


class FolderFiles:
    """Implements ports.files.Files in `folder`, which is made when it is first needed; files up to `most_bytes`."""

    def __init__(self, folder: Path, entropy: Entropy, *, most_bytes: int) -> None:
        self._root = folder
        self._entropy = entropy
        self._most_bytes = most_bytes
        self._swept = False

    async def load(self, path: str) -> AsyncIterator[bytes] | None:
        """See the port."""
        name = clean(path)
        if name is None:
            return None
        file = await asyncio.to_thread(self._opened, name)
        return None if file is None else _Parts(file)

    async def store(self, path: str, stream: AsyncIterable[bytes]) -> str | None:
        """See the port."""
        name = clean(path)
        if name is None:
            return None
        part = self._entropy.token(16).hex()
        file = await asyncio.to_thread(self._begin, part)
        try:
            try:
                size = 0
                async for chunk in stream:
                    size += len(chunk)
                    if size > self._most_bytes:
                        return None
                    await asyncio.to_thread(_write, file, chunk)
                await asyncio.to_thread(_sync, file)
            finally:
                os.close(file)
            await asyncio.to_thread(self._place, part, name)
        finally:
            await asyncio.to_thread(self._discard, part)
        return name

    async def delete(self, path: str) -> bool:
        """See the port."""
        name = clean(path)
        return name is not None and await asyncio.to_thread(self._delete, name)

    # --- in threads

    @contextmanager
    def _folder(self, names: list[str], *, make: bool) -> Generator[int]:
        """The descriptor of a folder. Raises OSError."""
        if make:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        at = os.open(self._root, _FOLDER & ~os.O_NOFOLLOW)  # the operator's own link is as good as the folder
        try:
            for name in names:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(name, 0o700, dir_fd=at)
                        os.fsync(at)
                below = os.open(name, _FOLDER, dir_fd=at)
                os.close(at)
                at = below
            yield at
        finally:
            os.close(at)

    def _opened(self, path: str) -> int | None:
        *folders, name = path.split("/")
        try:
            with self._folder(folders, make=False) as folder:
                file = os.open(name, _READ, dir_fd=folder)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise _failed(error) from error
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            return None
        return file

    def _begin(self, part: str) -> int:
        try:
            with self._folder([INCOMING], make=True) as incoming:
                if not self._swept:  # what a crash left behind; nobody else writes here
                    self._swept = True
                    for left in os.listdir(incoming):
                        os.unlink(left, dir_fd=incoming)
                return os.open(part, _WRITE, 0o600, dir_fd=incoming)
        except OSError as error:
            raise _failed(error) from error

    def _place(self, part: str, path: str) -> None:
        *folders, name = path.split("/")
        try:
            with self._folder([INCOMING], make=True) as incoming, self._folder(folders, make=True) as folder:
                os.rename(part, name, src_dir_fd=incoming, dst_dir_fd=folder)
                os.fsync(folder)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST):
                raise InvalidInput("the path leads through a file or a link, or is a folder", field="path") from None
            raise _failed(error) from error

    def _discard(self, part: str) -> None:
        with suppress(OSError), self._folder([INCOMING], make=False) as incoming:
            os.unlink(part, dir_fd=incoming)

    def _delete(self, path: str) -> bool:
        *folders, name = path.split("/")
        try:
            with self._folder(folders, make=False) as folder:
                if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    return False
                os.unlink(name, dir_fd=folder)
                os.fsync(folder)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return False
            raise _failed(error) from error
        return True


class _Parts:
    """The rest of an open file; closed at its end, by `aclose`, or when nobody holds it any more."""

    def __init__(self, file: int) -> None:
        self._file = file

    def __aiter__(self) -> "_Parts":
        return self

    async def __anext__(self) -> bytes:
        part = b"" if self._file < 0 else await asyncio.to_thread(_read, self._file)
        if not part:
            self._close()
            raise StopAsyncIteration
        return part

    async def aclose(self) -> None:
        """Let go of the file."""
        self._close()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    __del__ = _close


def _read(file: int) -> bytes:
    try:
        return os.read(file, _PART)
    except OSError as error:
        raise _failed(error) from error


def _write(file: int, chunk: bytes) -> None:
    try:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError as error:
        raise _failed(error) from error


def _sync(file: int) -> None:
    try:
        os.fsync(file)
    except OSError as error:
        raise _failed(error) from error


def _failed(error: OSError) -> Unavailable:
    return Unavailable(f"the folder of files failed: {error.strerror}")
