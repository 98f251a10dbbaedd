"""Every file store keeps the promises of its port, and the suite that says so catches those that do not."""

import os
from collections.abc import AsyncIterable, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.aio import run
from support.environment import SystemEntropy
from thingstead.conformance.files import CHECKS, LIMIT, Check, parts, read
from thingstead.engines.folder import FolderFiles
from thingstead.model.errors import InvalidInput
from thingstead.model.files import clean
from thingstead.ports.files import Files


def opened(directory: Path, most_bytes: int = LIMIT) -> FolderFiles:
    return FolderFiles(directory / "files", SystemEntropy(), most_bytes=most_bytes)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_folder_keeps_the_promise(tmp_path: Path, check: Check) -> None:
    run(check(opened(tmp_path)))


class Faulty:
    """A store that is right but for what a subclass breaks."""

    def __init__(self, directory: Path) -> None:
        self.folder = directory / "files"
        self.right: Files = opened(directory)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.right, name)


class WritesInPlace(Faulty):
    """A reader sees half of a file."""

    async def store(self, path: str, stream: AsyncIterable[bytes]) -> str | None:
        if (name := clean(path)) is None:
            return None
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with (self.folder / name).open("wb", buffering=0) as file:
            async for chunk in stream:
                size += len(chunk)
                if size > LIMIT:
                    return None
                file.write(chunk)
        return name


class HasNoLimit(Faulty):
    """Takes what fits on the disk."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.right = opened(directory, 10**12)


class RepairsPaths(Faulty):
    """Makes a path of whatever it is given, so that two names are one file."""

    def _repaired(self, path: str) -> str:
        return "/".join(name for name in path.split("/") if name not in ("", ".", "..")) or "x"

    async def load(self, path: str) -> AsyncIterator[bytes] | None:
        return await self.right.load(self._repaired(path) if path.strip() else path)

    async def store(self, path: str, stream: AsyncIterable[bytes]) -> str | None:
        return await self.right.store(self._repaired(path) if path.strip() else path, stream)


@pytest.mark.parametrize("fault", [WritesInPlace, HasNoLimit, RepairsPaths])
def test_a_planted_fault_is_caught(tmp_path: Path, fault: Callable[[Path], Any]) -> None:
    async def failures() -> list[str]:
        found: list[str] = []
        for check in CHECKS:
            directory = tmp_path / check.__name__
            directory.mkdir()
            try:
                await check(fault(directory))
            except (AssertionError, pytest.fail.Exception):
                found.append(check.__name__)
        return found

    caught = run(failures())
    assert caught
    assert len(caught) < len(CHECKS)


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """A link in the folder, to a file or a folder, is neither read, written through nor deleted."""

    async def work() -> None:
        files = opened(tmp_path)
        await files.store("a/b", parts(b"1"))
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"secret")
        folder = tmp_path / "files"
        (folder / "link").symlink_to(outside)
        (folder / "file").symlink_to(outside / "secret")
        (folder / "a" / "up").symlink_to("..")
        os.mkfifo(folder / "pipe")
        for path in ("link/secret", "file", "a/up/a/b", "pipe", "link"):
            assert await files.load(path) is None, path
            assert not await files.delete(path), path
        for path in ("link/new", "link/secret", "a/up/x", "a/b/c", "a"):
            with pytest.raises(InvalidInput):
                await files.store(path, parts(b"2"))
        assert await files.store("file", parts(b"2")) == "file", "the link itself is replaced"
        assert sorted(os.listdir(outside)) == ["secret"]
        assert (outside / "secret").read_bytes() == b"secret"
        assert await read(files, "a/b") == b"1"

    run(work())


def test_what_a_crash_left_goes(tmp_path: Path) -> None:
    async def work() -> None:
        await opened(tmp_path).store("a", parts(b"1"))
        incoming = tmp_path / "files" / ".incoming"
        assert os.listdir(incoming) == []
        (incoming / "half").write_bytes(b"x")
        await opened(tmp_path).store("b", parts(b"2"))
        assert os.listdir(incoming) == []
        assert sorted(os.listdir(tmp_path / "files")) == [".incoming", "a", "b"]

    run(work())


@given(st.text(max_size=30) | st.lists(st.sampled_from(["..", ".", "a", "\uff0e", "/", "\\", " "])).map("".join))
def test_a_clean_path_stays_inside(path: str) -> None:
    try:
        found = clean(path)
    except InvalidInput:
        return
    if found is not None:
        assert clean(found) == found
        assert os.path.normpath(found) == found
        assert not found.startswith("/")
        assert ".." not in found.split("/")
        assert found.isprintable()
