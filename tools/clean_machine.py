"""The clean machine: the README's commands in a bare Debian 12 root that has python3 and nothing else.

Needs root, debootstrap, unshare and git. The bare root is kept as a tarball in $XDG_CACHE_HOME/thingstead, else
/var/cache/thingstead, and made anew each week; the checkout (tracked and new files, not ignored ones) goes into a fresh
copy of it, with this machine's way to the package registries: apt's sources and options, pip's settings, proxies, CA
certificates. Everything runs in mount and process namespaces of its own, so that no mount and no process outlives it;
the network is this machine's.

Prints a line a check and closes with `clean: N passed, N failed`; exits 1 when one failed. What the tests are worth is
not its matter: it only proves that they pass there.
"""

import fcntl
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

REPO = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "/var/cache") / "thingstead"
SUITE = "bookworm"
BASE = CACHE / f"debian-{SUITE}.tar"
BASE_SECONDS = 7 * 24 * 3600
ROOT = CACHE / "root"
CHECKOUT = "/srv/thingstead"

KEPT_VARIABLES = re.compile(r"PIP_\w+|(https?|no|all)_proxy|SSL_CERT_FILE|(REQUESTS|CURL)_CA_BUNDLE", re.IGNORECASE)
PIP_SETTINGS = ("/etc/pip.conf", "~/.config/pip/pip.conf", "~/.pip/pip.conf")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
APT_OPTIONS = re.compile(r"Acquire::(http|https|Retries|Check-Valid-Until|Check-Date)\b")

PORTS = ("port", "mqtt-port", "mqtt-plain-port", "agent-port", "south-port", "context-port")
SERVE = ["--json", *(word for port in PORTS for word in (f"--{port}", "0"))]
HEALTH = "/v1/_health"
FIRST_SECONDS = 300
AGAIN_SECONDS = 15
STOP_SECONDS = 10
TEST_SECONDS = 900
SHOWN_LINES = 200


class Failed(Exception):
    """A check failed, or the machine cannot be made; the message says why."""


def main() -> int:
    if sys.argv[1:] == ["--inside"] and os.getpid() == 1:
        return check_all()
    for command in ("debootstrap", "unshare", "git"):
        if shutil.which(command) is None:
            return give_up(f"needs {command}")
    if os.geteuid() != 0:
        return give_up("needs root (chroot, mounts)")
    signal.signal(signal.SIGTERM, end)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return give_up(f"another one runs in {CACHE}")
        try:
            make_root()
            # With unshare ends everything inside, and with the namespace its mounts.
            namespaces = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
            return subprocess.run([*namespaces, sys.executable, __file__, "--inside"], check=False).returncode
        except (Failed, subprocess.SubprocessError) as error:
            return give_up(str(error))
        finally:
            shutil.rmtree(ROOT, ignore_errors=True)


def end(*_: object) -> None:
    sys.exit(143)


def give_up(why: str) -> int:
    print(f"clean-machine: {why}", file=sys.stderr)
    return 1


# --- the machine


def make_root() -> None:
    """A fresh bare root in ROOT with the checkout and this machine's way to the registries."""
    sources = apt_sources()
    if not BASE.exists() or time.time() - BASE.stat().st_mtime > BASE_SECONDS:
        with timed("bare Debian 12"):
            make_base(sources[0].split()[1] if sources else None)
    with timed("a fresh copy of it with the checkout"):
        shutil.rmtree(ROOT, ignore_errors=True)
        ROOT.mkdir()
        outside("tar", "--extract", "--numeric-owner", f"--file={BASE}", f"--directory={ROOT}", seconds=120)
        copy_settings(sources)
        copy_checkout()


def make_base(mirror: str | None) -> None:
    shutil.rmtree(ROOT, ignore_errors=True)
    where = [SUITE, str(ROOT), *([mirror] if mirror else [])]
    outside("debootstrap", "--variant=minbase", "--include=python3", *where, seconds=600)
    for archive in (ROOT / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
    unfinished = BASE.with_suffix(".new")
    outside("tar", "--create", "--numeric-owner", f"--file={unfinished}", f"--directory={ROOT}", ".", seconds=120)
    unfinished.rename(BASE)


def apt_sources() -> list[str]:
    """This machine's sources of the suite, the main one first; none where apt is another distribution's."""
    wanted = "$(REPO_URI) $(CODENAME) $(COMPONENT)"
    found = outside("apt-get", "indextargets", "--format", wanted, "Created-By: Packages").splitlines()
    suites = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")
    return [f"deb {line}" for suite in suites for line in found if line.split()[1:] == [suite, "main"]]


def copy_settings(sources: list[str]) -> None:
    if sources:
        inside("/etc/apt/sources.list").write_text("".join(f"{line}\n" for line in sources))
    options = [line for line in outside("apt-config", "dump").splitlines() if APT_OPTIONS.match(line)]
    inside("/etc/apt/apt.conf.d/99machine").write_text("".join(f"{line}\n" for line in options))
    for name in ("/etc/resolv.conf", "/etc/hosts", CERTIFICATES, *PIP_SETTINGS, *kept_variables().values()):
        source = Path(name).expanduser()
        if source.is_absolute() and source.is_file():
            copy(source, inside(str(source)))
    for name in (os.environ.get("PIP_FIND_LINKS", ""), "/usr/local/share/ca-certificates"):
        if name and Path(name).is_dir():
            shutil.copytree(name, inside(name), dirs_exist_ok=True)


def copy_checkout() -> None:
    listed = outside("git", "-C", str(REPO), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in sorted(set(listed.split("\0"))):
        if name and (REPO / name).is_file():
            copy(REPO / name, inside(f"{CHECKOUT}/{name}"))


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


# --- the checks, in its namespaces


def check_all() -> int:
    outside("mount", "-t", "proc", "proc", "/proc")
    outside("mount", "-t", "proc", "proc", str(inside("/proc")))
    outside("mount", "--rbind", "/dev", str(inside("/dev")))
    checks: list[tuple[str, Callable[[], str]]] = [
        ("./run without root names what it cannot install", refuses_in_one_line),
        ("./run serves", serves_first),
        ("./run serves again, with nothing to set up", serves_again),
        ("./test passes", passes_tests),
        ("pip install . and thingstead serve", installs),
    ]
    failed = 0
    for name, check in checks:
        started = time.monotonic()
        try:
            found = check()
        except (Failed, subprocess.SubprocessError, OSError) as error:
            failed += 1
            found = f"FAILED: {error}"
        print(f"clean-machine: {name}: {found} ({time.monotonic() - started:.0f} s)", flush=True)
    print(f"clean: {len(checks) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def refuses_in_one_line() -> str:
    refused = chrooted([f"{CHECKOUT}/run"], "--userspec=65534:65534", seconds=60)
    lines = refused.stderr.splitlines()
    if refused.returncode != 1 or refused.stdout or len(lines) != 1 or "python3-venv" not in lines[0]:
        raise Failed(f"exit {refused.returncode}, printed {refused.stdout!r} and {refused.stderr!r}")
    return lines[0]


def serves_first() -> str:
    return serves([f"{CHECKOUT}/run", *SERVE, "--data", "/var/lib/thingstead"], FIRST_SECONDS)


def serves_again() -> str:
    return serves([f"{CHECKOUT}/run", *SERVE, "--data", "/var/lib/thingstead"], AGAIN_SECONDS)


def passes_tests() -> str:
    """The whole command with its own set-up, but for the tests that take long: they have run outside."""
    together = ["sh", "-c", f"exec {CHECKOUT}/test 2>&1"]
    passed = chrooted(together, seconds=TEST_SECONDS, PYTEST_ADDOPTS='-m "not slow and not faults"')
    if passed.returncode != 0:
        print(*passed.stdout.splitlines()[-SHOWN_LINES:], sep="\n")
        raise Failed(f"exit {passed.returncode}")
    return last_line(passed.stdout).strip("= ")


def installs() -> str:
    for command in (["python3", "-m", "venv", "/opt/env"], ["/opt/env/bin/pip", "install", CHECKOUT]):
        done = chrooted(command, seconds=300)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {last_line(done.stderr)}")
    return serves(["/opt/env/bin/thingstead", "serve", *SERVE, "--data", "/var/lib/installed"], AGAIN_SECONDS)


def serves(command: list[str], ready_seconds: float) -> str:
    """Starts a server, waits for its ready line, asks it over HTTP, ends it; the ready line is all it may print."""
    out, err = inside("/var/log/serve.out"), inside("/var/log/serve.err")
    started = time.monotonic()
    with out.open("w") as stdout, err.open("w") as stderr:
        server = subprocess.Popen(
            ["chroot", str(ROOT), *command], env=variables(), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
    try:
        ready = wait_ready(server, out, started + ready_seconds)
        took = time.monotonic() - started
        answer = get(ready["http"] + HEALTH)
        server.send_signal(signal.SIGTERM)
        if server.wait(timeout=STOP_SECONDS) != 0:
            raise Failed(f"exit {server.returncode} after SIGTERM")
    except (Failed, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as error:
        raise Failed(f"{error!r}; standard error ends with: {last_line(err.read_text(errors='replace'))}") from error
    finally:
        server.kill()
        server.wait(timeout=STOP_SECONDS)
    if len(out.read_text().splitlines()) != 1:
        raise Failed(f"standard output has more than the ready line: {out.read_text()!r}")
    return f"ready after {took:.1f} s, {HEALTH} {answer}"


def wait_ready(server: subprocess.Popen[bytes], out: Path, deadline: float) -> dict[str, str]:
    while not out.read_text().endswith("\n"):
        if server.poll() is not None:
            raise Failed(f"exit {server.returncode} before it was ready")
        if time.monotonic() > deadline:
            raise Failed("not ready in time")
        time.sleep(0.05)
    return json.loads(out.read_text().splitlines()[0])


def get(url: str) -> str:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=10)
    try:
        connection.request("GET", where.path)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    finally:
        connection.close()
    if answer.status != 200:
        raise Failed(f"{where.path} answered {answer.status} {body}")
    return body


# --- both sides of the wall


def inside(path: str) -> Path:
    return ROOT / path.lstrip("/")


def chrooted(command: list[str], *options: str, seconds: float, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["chroot", *options, str(ROOT), *command],
        env=variables() | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )


def outside(*command: str, seconds: float = 60) -> str:
    """What a command of this machine prints; Failed with the last line of its complaint."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode != 0:
        raise Failed(f"{command[0]}: {last_line(done.stderr or done.stdout)}")
    return done.stdout


def variables() -> dict[str, str]:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return kept_variables() | {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb"}


def kept_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if KEPT_VARIABLES.fullmatch(name)}


@contextmanager
def timed(what: str) -> Generator[None]:
    started = time.monotonic()
    yield
    print(f"clean-machine: {what} ({time.monotonic() - started:.0f} s)", flush=True)


def last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "(nothing)"


if __name__ == "__main__":
    sys.exit(main())
