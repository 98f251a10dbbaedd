"""Start thingstead, hello and Mosquitto on loopback, load them in turn, read back, print one Markdown table."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from statistics import median

from bench.big import SMALLEST, Big
from bench.http_load import Api, Load, combined, replay
from bench.identity import identity
from bench.mqtt_load import publish
from bench.processes import Meter, Peer, cpu_seconds, memory_mb, start_hello, start_mosquitto
from bench.report import IDLE_MB, START_SECONDS, Figure, Row, figures, table, verdict
from bench.scenarios import DEVICES, Bench, Lost, Scenario
from bench.soak import soak
from support.server import Server

NAMES = ("read", "token", "search", "list", "write", "batch", "measure", "mqtt")
FILLED = {"read", "token", "search", "list"}
WINDOWS = (1, 100)
WARM_CONNS = 16
SETTINGS = {"para.env": "production"}  # what a server that is measured would run with: the object cache on
ROUNDS = 3  # of a scenario, in turn with its yardstick
IDLE_SECONDS = 3
QUIET_CORES = 0.05
QUIET_SECONDS = 10


def main() -> None:
    """Parse the command line and run; exit 1 if something acknowledged is missing or refused."""
    arguments = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    arguments.add_argument("--seconds", type=float, default=3, help="of each load (default 3)")
    arguments.add_argument("--conns", default="1,16,64", help=f"numbers of connections, at most {DEVICES}")
    arguments.add_argument("--only", default=",".join(NAMES), help="scenarios, comma between them (default all)")
    arguments.add_argument("--data", type=Path, default=Path("/var/tmp"), help="a folder on the disk to be measured")
    arguments.add_argument(
        "--big", type=int, nargs="?", const=1_000_000, metavar="N", help="instead: one app with N objects (a million)"
    )
    arguments.add_argument("--soak", type=float, metavar="SECONDS", help="instead: a mixed load for so long; memory")
    arguments.add_argument("--identity", action="store_true", help="instead: what it costs to know who is asking")
    given = arguments.parse_args()
    if given.identity:
        print(identity())
        return
    only = given.only.split(",")
    if unknown := sorted(set(only) - set(NAMES)):
        arguments.error(f"unknown scenario {', '.join(unknown)}; there are {', '.join(NAMES)}")
    conns = [int(n) for n in given.conns.split(",")]
    if not all(0 < n <= DEVICES for n in conns):
        arguments.error(f"--conns takes numbers from 1 to {DEVICES}")
    if given.big is not None and (given.big < SMALLEST or given.big % 1000):
        arguments.error(f"--big takes a multiple of 1,000, at least {SMALLEST:,}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="thingstead-bench-", dir=given.data)))
        run = Run(folder, only, conns, given.seconds, stack)
        failed = ""
        try:
            if given.big is not None:
                run.figures(lambda server: Big(server, given.big, folder).figures())
            elif given.soak is not None:
                run.figures(lambda server: soak(Bench(server), given.soak, folder))
            else:
                run.all()
        except (Lost, RuntimeError, OSError, HTTPException) as error:
            failed = f"bench: FAILED: {error}"
        print(table(run.rows) if run.rows else figures(run.found))
        print("\n" + "\n".join(f"- {note}" for note in run.notes))
    if failed:
        sys.exit(failed)


class Run:
    """The state of one run."""

    def __init__(self, folder: Path, only: list[str], conns: list[int], seconds: float, stack: ExitStack) -> None:
        self._folder = folder
        self._only = only
        self._conns = conns
        self._seconds = seconds
        self._stack = stack
        self.rows: list[Row] = []
        self.found: list[Figure] = []
        self.notes: list[str] = []

    def all(self) -> None:
        """Everything, in order. Raises Lost, RuntimeError."""
        began = time.monotonic()
        server = self._start()
        bench = Bench(server)
        scenarios = {scenario.name: scenario for scenario in bench.scenarios()}
        http = [scenarios[name] for name in self._only if name in scenarios]
        hello = start_hello(self._folder) if http else None
        mosquitto = start_mosquitto(self._folder) if "mqtt" in self._only else None
        for peer in (hello, mosquitto):
            if peer is not None:
                self._stack.callback(peer.stop)
        if mosquitto is not None:
            bench.connect_devices()
        if "measure" in self._only:
            bench.provision()
        if FILLED & set(self._only):
            bench.fill()
            _settle(server.pid)
        for scenario in http:
            self._http(bench, scenario, WARM_CONNS, 1)
        for conns in self._conns:
            if hello is not None:
                self._group(bench, hello, http, conns)
            if mosquitto is not None:
                self._mqtt(bench, mosquitto, conns)
        after = memory_mb(server.pid)
        server.stop()
        again = _first_answer(server.restart, server)
        self.notes += [
            f"memory after the run: {after:.0f} MB",
            f"start to first answer, over what the run wrote: {again:.2f} s (target < {START_SECONDS}: "
            f"{verdict(again < START_SECONDS)})",
            f"CPU used by others while a load ran: at most {max(row.load.foreign for row in self.rows):.2f} cores",
            f"one fdatasync of 4 KB in {self._folder.parent}: {_sync_ms(self._folder):.2f} ms (median of 50)",
            f"{os.cpu_count()} cores shared by server, driver and peers; the run took {time.monotonic() - began:.0f} s",
        ]

    def figures(self, measure: Callable[[Server], Iterator[Figure]]) -> None:
        """One of the other modes, each figure told as it is found. Raises Lost, RuntimeError."""
        server = self._start()
        meter = Meter(server.pid)
        for figure in measure(server):
            self.found.append(figure)
            print(f"bench: {figure.name}: {figure.value}", file=sys.stderr, flush=True)
        self.notes.append(f"CPU used by others meanwhile: {meter.read()[1]:.2f} of {os.cpu_count()} cores on average")

    def _start(self) -> Server:
        began = time.monotonic()
        server = Server(self._folder, SETTINGS)
        self._stack.callback(server.stop)
        took = _first_answer(None, server, began)
        time.sleep(IDLE_SECONDS)
        idle = memory_mb(server.pid)
        self.notes += [
            f"start to first answer, new data directory: {took:.2f} s (target < {START_SECONDS}: "
            f"{verdict(took < START_SECONDS)})",
            f"idle memory: {idle:.0f} MB (target < {IDLE_MB}: {verdict(idle < IDLE_MB)})",
        ]
        return server

    # --- HTTP

    def _group(self, bench: Bench, hello: Peer, scenarios: list[Scenario], conns: int) -> None:
        """All scenarios at one number of connections, each in turn with hello."""
        base = f"http://127.0.0.1:{hello.port}"
        yardsticks: list[Load] = []
        rows: list[Row] = []
        share = self._seconds / ROUNDS
        for scenario in scenarios:
            pairs: list[tuple[Load, Load]] = []
            memory = owed = 0.0
            for _ in range(ROUNDS):
                yardstick = replay(base, hello.pid, bench.hello(), conns, share, self._folder)
                load, memory, owed = self._http(bench, scenario, conns, share)
                pairs.append((yardstick, load))
            yardsticks += [yardstick for yardstick, _ in pairs]
            rows.append(_row(scenario.name, conns, pairs, memory, owed, "hello"))
        self.rows += [Row("hello", conns, combined(yardsticks), memory_mb(hello.pid)), *rows]

    def _http(self, bench: Bench, scenario: Scenario, conns: int, seconds: float) -> tuple[Load, float, float]:
        """Load, check, and (load, memory MB, owed CPU s)."""
        pid, seconds = bench.server.pid, seconds * scenario.stretch
        load = replay(scenario.base, pid, scenario.requests(), conns, seconds, self._folder, sample=scenario.sample)
        if load.failed:
            raise Lost(f"{scenario.name} at {conns} connections: {load.failed} requests failed")
        if scenario.until_found:
            load = bench.until_found(scenario, load)
        memory, owed = memory_mb(pid), _settle(pid)
        _progress(scenario.name, conns, load)
        scenario.check(load)
        return load, memory, owed

    # --- MQTT

    def _mqtt(self, bench: Bench, mosquitto: Peer, conns: int) -> None:
        pid, devices = bench.server.pid, bench.devices[:conns]
        port = int(bench.server.mqtt.rpartition(":")[2])
        for window in WINDOWS:
            name = f"mqtt, window {window}"
            pairs: list[tuple[Load, Load]] = []
            owed = 0.0
            for _ in range(ROUNDS):
                peer = publish(mosquitto.port, mosquitto.pid, devices, window, self._seconds / ROUNDS)
                load = publish(port, pid, devices, window, self._seconds / ROUNDS)
                owed = _settle(pid)
                _progress(name, conns, load)
                bench.check_reports(load)
                pairs.append((peer, load))
            peers = combined([peer for peer, _ in pairs])
            self.rows.append(Row(f"mosquitto, window {window}", conns, peers, memory_mb(mosquitto.pid)))
            self.rows.append(_row(name, conns, pairs, memory_mb(pid), owed, "mosquitto"))


def _row(name: str, conns: int, pairs: list[tuple[Load, Load]], memory: float, owed: float, peer: str) -> Row:
    """One line of the table; its ratio is the median of those of the pairs, so that a machine that drifts does not
    decide.
    """
    load = combined([mine for _, mine in pairs])
    ratio = median(mine.per_second / other.per_second for other, mine in pairs)
    return Row(name, conns, load, memory, owed, (peer, load.per_second / ratio))


def _progress(name: str, conns: int, load: Load) -> None:
    print(f"bench: {name}, {conns} connections: {load.per_second:,.0f}/s", file=sys.stderr, flush=True)


def _first_answer(start: Callable[[], None] | None, server: Server, began: float | None = None) -> float:
    """Seconds from the start of the process to its first answer on the main port."""
    began = time.monotonic() if began is None else began
    if start is not None:
        start()
    Api(server.http, server.root).get("/v1/_me")
    return time.monotonic() - began


def _settle(pid: int) -> float:
    """Wait until the process is quiet, a few seconds at most; the CPU that it used meanwhile, in seconds."""
    first = last = cpu_seconds(pid)
    deadline = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < deadline:
        time.sleep(1.2)  # longer than the index waits before it commits
        now = cpu_seconds(pid)
        if now - last < 1.2 * QUIET_CORES:
            return now - first
        last = now
    return last - first


def _sync_ms(folder: Path) -> float:
    times: list[float] = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return 1000 * median(times)


main()
