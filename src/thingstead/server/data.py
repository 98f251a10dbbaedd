"""The data directory (design.md 6): its lock, its key for secrets at rest, and root's keys.

One process owns a directory at a time. Secrets are written with mode 0600 and never logged.
"""

import contextlib
import fcntl
import json
import os
from pathlib import Path

from thingstead.core.sealing import KEY_BYTES
from thingstead.model.errors import Unavailable
from thingstead.ports.environment import Entropy

LOCK_FILE = "lock"
SECRET_FILE = "secret.key"  # noqa: S105
ROOT_KEYS_FILE = "root-keys.json"
SECRET_VARIABLE = "THINGSTEAD_SECRET_KEY"  # noqa: S105


class DataDirectory:
    """An opened, locked data directory."""

    def __init__(self, path: Path) -> None:
        """Make the directory if needed and lock it. Raises Unavailable if another server has it, or it is not ours."""
        self.path = path
        try:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.mkdir(mode=0o700)  # it holds all there is; who wants it readable makes it before
            self._lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise Unavailable(f"the data directory {path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._lock, 32).decode(errors="replace").strip() or "?"
            os.close(self._lock)
            raise Unavailable(f"the data directory {path} is in use by another server (process {holder})") from None
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())

    def secret_key(self, entropy: Entropy) -> bytes:
        """32 bytes that secrets at rest are sealed with: from the environment (hex), else `secret.key`, made once.

        Raises Unavailable if it is not 32 bytes.
        """
        given = os.environ.get(SECRET_VARIABLE)
        if given is not None:
            with contextlib.suppress(ValueError):
                key = bytes.fromhex(given)
                if len(key) == KEY_BYTES:
                    return key
            raise Unavailable(f"{SECRET_VARIABLE} must be {2 * KEY_BYTES} hexadecimal digits")
        file = self.path / SECRET_FILE
        if not file.exists():
            write_secret(file, entropy.token(KEY_BYTES))
        key = file.read_bytes()
        if len(key) != KEY_BYTES:
            raise Unavailable(f"{file} must hold {KEY_BYTES} bytes")
        return key

    def write_root_keys(self, access_key: str, secret_key: str) -> Path:
        """Keep root's keys for the owner of the directory (doors.md 33)."""
        file = self.path / ROOT_KEYS_FILE
        write_secret(file, json.dumps({"accessKey": access_key, "secretKey": secret_key}).encode() + b"\n")
        return file

    def write_pid(self, port: int, pid: int) -> None:
        """`para_<port>.pid` with the process id, for those who look for it there (objects.md 19)."""
        self._remove_pids()
        (self.path / f"para_{port}.pid").write_text(f"{pid}\n")

    def _remove_pids(self) -> None:
        for file in self.path.glob("para_*.pid"):  # also of a server that was killed
            file.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the lock."""
        self._remove_pids()
        os.close(self._lock)


def write_secret(file: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all, durable on return."""
    part = file.with_name(file.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
