"""The peers that a run starts beside thingstead, and what /proc says about a process. Linux only."""

import os
import re
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

START_SECONDS = 10
TICK = os.sysconf("SC_CLK_TCK")
MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
"""


class Peer:
    """A child process that listens on loopback."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self._process = process
        self.port = port
        self.pid = process.pid

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that does not end it."""
        self._process.terminate()
        try:
            self._process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_hello(folder: Path) -> Peer:
    """`hello.py` under uvicorn, on a free port that its log names. RuntimeError if it does not come up."""
    log = folder / "hello.log"
    command = [sys.executable, "-m", "uvicorn", "bench.hello:app", "--host", "127.0.0.1", "--port", "0"]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--no-use-colors"]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    deadline = time.monotonic() + START_SECONDS
    while not (found := re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())):
        _still_alive(process, deadline, log)
    return Peer(process, int(found[1]))


def start_mosquitto(folder: Path) -> Peer:
    """Mosquitto that keeps everything in memory and lets everybody in. RuntimeError if it does not come up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    config, log = folder / "mosquitto.conf", folder / "mosquitto.log"
    config.write_text(MOSQUITTO.format(port=port))
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["mosquitto", "-c", str(config)], stdout=out, stderr=out, env={**os.environ, "PATH": path}
        )
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return Peer(process, port)
        except OSError:
            _still_alive(process, deadline, log)


def _still_alive(process: "subprocess.Popen[bytes]", deadline: float, log: Path) -> None:
    if process.poll() is not None or time.monotonic() > deadline:
        process.kill()
        process.wait()
        raise RuntimeError(f"{' '.join(map(str, process.args))} did not start: {log.read_text()[-500:]}")  # pyright: ignore
    time.sleep(0.02)


def family(pid: int) -> list[int]:
    """A process and its children: thingstead's index is written by one."""
    return [pid, *(int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _children(task))]


def _children(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except FileNotFoundError:  # the thread has ended meanwhile
        return []


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process and its children since they started."""
    used = 0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used / TICK


class Meter:
    """CPU used since it was made, in cores: by a process and its children, and by what is neither it nor the driver."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._now()

    def _now(self) -> tuple[float, float, float, float]:
        own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        with Path("/proc/stat").open() as lines:
            ticks = [int(field) for field in lines.readline().split()[1:9]]
        busy = (sum(ticks) - ticks[3] - ticks[4]) / TICK  # without idle and iowait
        return time.monotonic(), cpu_seconds(self._pid), sum(u.ru_utime + u.ru_stime for u in own), busy

    def read(self) -> tuple[float, float]:
        """(cores of the process, cores of others) since the start."""
        span, server, own, busy = (now - then for now, then in zip(self._now(), self._before, strict=True))
        return server / span, max(0.0, (busy - server - own) / span)


def memory_mb(pid: int, what: str = "VmRSS") -> float:
    """Resident memory of a process and its children, MB (10^6 bytes); pages that they share count once for each.

    `what` is a line of /proc/PID/status: `RssAnon` leaves out the mapped files, whose pages the kernel may drop.
    """
    kilobytes = 0
    for each in family(pid):
        found = re.search(rf"^{what}:\s+(\d+) kB", Path(f"/proc/{each}/status").read_text(), re.MULTILINE)
        assert found
        kilobytes += int(found[1])
    return kilobytes * 1024 / 1e6
