"""`thingstead doctor`: is this machine, this data directory and this configuration fit to serve? Each check gives one
finding: ok, warn or fail, what was seen, and what to do.

Promises: it changes nothing that lasts and may run beside a server; a check that cannot be made says so and stops no
other. It shows no secret and asks nothing of the network.
"""

import fcntl
import os
import platform
import re
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from thingstead.model.errors import ThingsteadError
from thingstead.ports.environment import Clock
from thingstead.server.data import LOCK_FILE, ROOT_KEYS_FILE, SECRET_FILE, SECRET_VARIABLE
from thingstead.server.running import Addresses
from thingstead.server.settings import Loaded

Level: TypeAlias = Literal["ok", "warn", "fail"]

PYTHON: Final = (3, 11)
LITTLE_SPACE: Final = 1 << 30  # bytes: a warning
NO_SPACE: Final = 100 << 20  # bytes: a failure
FEW_FILES: Final = 4096
BEHIND: Final = 10_000  # journal lines that the index may lag
NEAR_END: Final = timedelta(days=30)
LATER: Final = timedelta(minutes=5)  # that a file may be ahead of the clock
RELEASED: Final = datetime(2026, 11, 1, tzinfo=UTC)  # an earlier clock is wrong


class Finding(msgspec.Struct, frozen=True):
    """What one check saw, and what to do about it; "" for nothing."""

    check: str
    level: Level
    seen: str
    advice: str = ""


class Place(msgspec.Struct, frozen=True):
    """What is looked at. `loaded` is None if the settings are wrong: `refusal` says how."""

    directory: Path
    addresses: Addresses
    loaded: Loaded | None
    warnings: tuple[str, ...]
    refusal: str
    clock: Clock


def examine(place: Place) -> Iterator[Finding]:
    """Every finding, in a fixed order."""
    held = _holder(place.directory)
    checks: Mapping[str, Callable[[], Iterator[Finding]]] = {
        "python": _python,
        "libraries": _libraries,
        "sqlite": lambda: _sqlite(place.directory),
        "data": lambda: _data(place.directory),
        "space": lambda: _space(place.directory),
        "secrets": lambda: _secrets(place.directory),
        "lock": lambda: _lock(place.directory, held),
        "index": lambda: _index(place.directory),
        "certificates": lambda: _certificates(place.directory, place.clock),
        "clock": lambda: _clock(place.directory, place.clock),
        "limits": _limits,
        "ports": lambda: _ports(place.addresses, held is not None),
        "settings": lambda: _settings(place),
    }
    for name, check in checks.items():
        try:
            yield from check()
        except Exception as error:  # a check that breaks is a finding, and the others are made all the same
            yield Finding(name, "warn", f"could not be checked: {error}", "look at it by hand")


def _python() -> Iterator[Finding]:
    seen = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()} {platform.release()}"
    fine = sys.version_info[:2] >= PYTHON
    yield Finding(
        "python", "ok" if fine else "fail", seen, "" if fine else f"use Python {PYTHON[0]}.{PYTHON[1]} or newer"
    )


def _libraries() -> Iterator[Finding]:
    wrong: list[str] = []
    wanted = [text for text in metadata.requires("thingstead") or () if "extra ==" not in text]
    for text in wanted:
        found = re.match(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?\s*(.*)", text.partition(";")[0])
        assert found is not None
        name, bounds = found[1], found[2]
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        for relation, bound in re.findall(r"(>=|==)\s*([0-9.]+)", bounds):
            have, need = _numbers(version), _numbers(bound)
            if (relation == "==" and have != need) or (relation == ">=" and have < need):
                wrong.append(f"{name} is {version}, not {relation}{bound}")
    if wrong:
        yield Finding("libraries", "fail", "; ".join(wrong), "install thingstead again into a fresh environment")
    else:
        yield Finding("libraries", "ok", f"all {len(wanted)} as required")


def _numbers(version: str) -> tuple[int, ...]:
    """
    >>> _numbers("3.50.0") == _numbers("3.50")
    True
    """
    numbers = [int(part) for part in re.findall(r"\d+", version)]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _sqlite(directory: Path) -> Iterator[Finding]:
    import apsw

    from thingstead.engines.sqlite.schema import open_writer, query

    seen = f"SQLite {apsw.sqlite_lib_version()}, apsw {apsw.apsw_version()}"
    where = directory if _writable(directory) else Path(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=where) as folder:
        try:
            connection = open_writer(Path(folder) / "probe.db", None)
            try:
                query(connection, "CREATE TABLE probe(id TEXT PRIMARY KEY, value ANY) STRICT")
                query(connection, "INSERT INTO probe VALUES('a', 1) ON CONFLICT DO NOTHING")
                found = query(connection, "SELECT value FROM probe WHERE id IN carray(?)", (apsw.carray(("a",)),))
            finally:
                connection.close()
        except (apsw.Error, ThingsteadError, AttributeError) as error:
            advice = "use the apsw wheel from PyPI, and a local file system for the data directory"
            yield Finding("sqlite", "fail", f"{seen}: {error}", advice)
            return
    level: Level = "ok" if found == [(1,)] else "fail"
    yield Finding("sqlite", level, f"{seen}: write-ahead log, strict tables and arrays work in {where}")


def _writable(directory: Path) -> bool:
    return directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)


def _data(directory: Path) -> Iterator[Finding]:
    if not directory.exists():
        parent = next(folder for folder in directory.absolute().parents if folder.exists())
        if _writable(parent):
            yield Finding("data", "ok", f"{directory} is not there yet; `thingstead serve` or `setup` makes it")
        else:
            advice = "name another with --data, or make it for this user"
            yield Finding("data", "fail", f"{directory} is not there and {parent} cannot be written", advice)
        return
    if not directory.is_dir():
        yield Finding("data", "fail", f"{directory} is no folder", "name another with --data")
        return
    status = directory.stat()
    if not _writable(directory):
        yield Finding("data", "fail", f"{directory} cannot be written by this user", f"chown -R $USER {directory}")
    elif status.st_mode & 0o077:
        seen = f"{directory} has mode {stat.S_IMODE(status.st_mode):04o}: others can read all data"
        yield Finding("data", "warn", seen, f"chmod 700 {directory}")
    else:
        yield Finding("data", "ok", f"{directory} is this user's alone")
    foreign = [file.name for file in directory.iterdir() if file.stat().st_uid != os.geteuid()]
    if foreign and os.geteuid() != 0:
        seen = f"of another user: {', '.join(sorted(foreign)[:5])}"
        yield Finding("data", "fail", seen, f"chown -R $USER {directory}, or run as that user")


def _space(directory: Path) -> Iterator[Finding]:
    where = next(folder for folder in (directory.absolute(), *directory.absolute().parents) if folder.exists())
    free = shutil.disk_usage(where).free
    level: Level = "fail" if free < NO_SPACE else "warn" if free < LITTLE_SPACE else "ok"
    advice = "" if level == "ok" else "make room: a full disk refuses writes"
    yield Finding("space", level, f"{free / (1 << 30):.1f} GiB free at {where}", advice)


def _secrets(directory: Path) -> Iterator[Finding]:
    key, store = directory / SECRET_FILE, directory / "store.db"
    if SECRET_VARIABLE in os.environ:
        fine = re.fullmatch("[0-9a-fA-F]{64}", os.environ[SECRET_VARIABLE]) is not None
        advice = "" if fine else "give 64 hexadecimal digits, or unset it"
        yield Finding("secrets", "ok" if fine else "fail", f"the key comes from {SECRET_VARIABLE}", advice)
    elif key.exists():
        fine = key.stat().st_size == 32
        advice = "" if fine else "restore it from a backup: nothing else opens the secrets of apps"
        yield Finding("secrets", "ok" if fine else "fail", f"{key} holds {key.stat().st_size} bytes of 32", advice)
    elif store.exists():
        advice = f"restore it from a backup, or set {SECRET_VARIABLE}"
        yield Finding("secrets", "fail", f"{key} is missing beside {store.name}", advice)
    else:
        yield Finding("secrets", "ok", "no key yet; the first start makes one")
    files = [key, directory / ROOT_KEYS_FILE, directory / "ca" / "ca.key", directory / "ca" / "server.key"]
    for file in files:
        if file.exists() and file.stat().st_mode & 0o077:
            yield Finding("secrets", "warn", f"{file} can be read by others", f"chmod 600 {file}")


def _holder(directory: Path) -> int | None:
    """The process that has the directory; 0 if it is not known which; None if none has it."""
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.read(descriptor, 32).decode(errors="replace").strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return None


def _lock(directory: Path, held: int | None) -> Iterator[Finding]:
    if held is None:
        yield Finding("lock", "ok", f"no server has {directory}")
    else:
        yield Finding("lock", "ok", f"a server has {directory} (process {held or 'unknown'})")


def _index(directory: Path) -> Iterator[Finding]:
    from thingstead.engines.sqlite.schema import STORE_FILE, open_reader, query, read_meta
    from thingstead.engines.tantivy.directory import read_position

    if not (directory / STORE_FILE).exists():
        yield Finding("index", "ok", "no data yet")
        return
    connection = open_reader(directory / STORE_FILE, None)
    try:
        uuid = str(read_meta(connection, "uuid"))
        sound = (
            query(connection, "PRAGMA quick_check(1)") if (directory / STORE_FILE).stat().st_size < LITTLE_SPACE else []
        )
        rows = query(connection, "SELECT seq FROM sqlite_sequence WHERE name = 'journal'")
        last: int = rows[0][0] if rows else 0
    finally:
        connection.close()
    if sound not in ([], [("ok",)]):
        advice = "end the server and restore a backup"
        yield Finding("index", "fail", f"{STORE_FILE} is damaged: {sound[0][0]}", advice)
        return
    position = read_position(directory / "index", uuid)
    if position is None:
        yield Finding(
            "index", "warn", "the index is missing or not this store's", "the next start rebuilds it: allow time"
        )
    elif position > last:
        advice = f"end the server and remove {directory / 'index'}: the next start rebuilds it"
        yield Finding("index", "fail", f"the index is at {position}, ahead of the journal at {last}", advice)
    elif last - position > BEHIND:
        advice = "wait, or look for errors of the indexer in the log"
        yield Finding(
            "index", "warn", f"the index is at {position}, {last - position} lines behind the journal", advice
        )
    else:
        yield Finding("index", "ok", f"the index is at {position}, the journal at {last}")


def _certificates(directory: Path, clock: Clock) -> Iterator[Finding]:
    from cryptography import x509

    folder = directory / "ca"
    if not (folder / "ca.pem").exists():
        yield Finding("certificates", "ok", "none yet; the first start makes them")
        return
    now = datetime.fromtimestamp(clock.now() // 1_000_000, UTC)
    for name, advice in (
        ("ca.pem", "a new authority means new certificates for all devices: plan it"),
        ("server.pem", "it is renewed at a start of the server, and daily while it runs"),
    ):
        file = folder / name
        if not file.exists():
            continue
        try:
            end = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
        except ValueError:
            yield Finding("certificates", "fail", f"{file} is no certificate", "restore it from a backup")
            continue
        level: Level = "fail" if end <= now else "warn" if end - now < NEAR_END else "ok"
        seen = f"{name} {'ended' if end <= now else 'ends'} on {end:%Y-%m-%d}"
        yield Finding("certificates", level, seen, "" if level == "ok" else advice)


def _clock(directory: Path, clock: Clock) -> Iterator[Finding]:
    now = datetime.fromtimestamp(clock.now() / 1_000_000, UTC)
    advice = "set the clock (NTP): signatures, tokens and readings go by it"
    if now < RELEASED:
        yield Finding("clock", "fail", f"it is {now:%Y-%m-%d %H:%M} UTC here, before this release", advice)
        return
    newest = max((file.stat().st_mtime for file in directory.glob("*.db*")), default=0.0)
    written = datetime.fromtimestamp(newest, UTC)
    if written - now > LATER:
        yield Finding(
            "clock", "fail", f"it is {now:%Y-%m-%d %H:%M} UTC here, but data is of {written:%Y-%m-%d %H:%M}", advice
        )
    else:
        yield Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _limits() -> Iterator[Finding]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FEW_FILES:
        advice = "ulimit -n 65536, or LimitNOFILE=65536 in the unit: each connection is an open file"
        yield Finding("limits", "warn", f"{soft} open files (at most {hard})", advice)
    else:
        yield Finding("limits", "ok", f"{soft} open files")


def _ports(addresses: Addresses, running: bool) -> Iterator[Finding]:
    taken: list[str] = []
    for host, port, name in (
        (addresses.host, addresses.port, "HTTP"),
        (addresses.host, addresses.mqtt_port, "MQTT over TLS"),
        (addresses.mqtt_plain_host, addresses.mqtt_plain_port, "MQTT"),
        (addresses.host, addresses.agent_port, "agent"),
        (addresses.host, addresses.south_port, "south"),
        (addresses.host, addresses.context_port, "context"),
    ):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                taken.append(f"{host}:{port} ({name}): {error.strerror}")
    if not taken:
        yield Finding("ports", "ok", f"all six are free on {addresses.host}")
    elif running:
        yield Finding("ports", "ok", f"a server is running, and has or shares {len(taken)} of the six")
    else:
        advice = "end what has them, or give others (`thingstead serve --help`)"
        yield Finding("ports", "fail", "; ".join(taken), advice)


def _settings(place: Place) -> Iterator[Finding]:
    for warning in place.warnings:
        yield Finding("settings", "warn", warning, "correct or remove it")
    if place.loaded is None:
        yield Finding("settings", "fail", place.refusal, "correct it; `thingstead config --check` looks again")
        return
    from thingstead.transports.http.serving import is_loopback

    settings = place.loaded.settings
    if place.loaded.idle:
        yield Finding("settings", "warn", place.loaded.idle, "nothing, if you do not need them")
    beyond = not is_loopback(place.addresses.host)
    doors = {
        "hypermedia.read": settings.hypermedia_read,
        "hypermedia.write": settings.hypermedia_write,
        "agent.access": settings.agent_access,
        "context.access": settings.context_access,
        "kits.access": settings.kits_access,
    }
    opened = [name for name, access in doors.items() if access == "open"]
    if beyond and opened:
        yield Finding(
            "settings", "warn", f"open to everybody: {', '.join(opened)}", "set them to auth if that is not meant"
        )
    if beyond and settings.setup_enabled:
        advice = "remove it once root's keys are known"
        yield Finding("settings", "warn", "para.setup_enabled shows root's keys to whoever asks first", advice)
    if 0 < len(settings.root_secret_override) < 32:
        advice = "use a random one of at least 32 characters"
        yield Finding("settings", "warn", "para.root_secret_override is short", advice)
    if not place.warnings:
        yield Finding("settings", "ok", f"{len(place.loaded.given)} given, no unknown ones")
