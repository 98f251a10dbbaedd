"""HTTP load through wrk, which replays requests that were signed before; and single calls for set-up and checks."""

import http.client
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from bench.processes import Meter
from support.sign import Signer

SCRIPT = Path(__file__).with_name("replay.lua")
IDLE_SECONDS = 1
PATIENCE_SECONDS = 600  # with an answer: the import of a large archive is one request


@dataclass(frozen=True)
class Load:
    """What one run of load did. Times in milliseconds; `acknowledged` counts good answers only.

    `cores` is the CPU that the server used, `foreign` what neither it nor the driver used.
    """

    per_second: float
    seconds: float
    p50: float
    p99: float
    cores: float
    foreign: float
    acknowledged: int
    failed: int
    sample: tuple[tuple[str, int], ...] = ()  # (id, seq) of some of the objects that were answered


def combined(loads: Sequence[Load]) -> Load:
    """Several runs as one: the medians, what was acknowledged and failed in all, the most that others used."""
    return Load(
        per_second=median(load.per_second for load in loads),
        seconds=sum(load.seconds for load in loads),
        p50=median(load.p50 for load in loads),
        p99=median(load.p99 for load in loads),
        cores=median(load.cores for load in loads),
        foreign=max(load.foreign for load in loads),
        acknowledged=sum(load.acknowledged for load in loads),
        failed=sum(load.failed for load in loads),
    )


def raw(
    method: str,
    url: str,
    body: bytes = b"",
    signer: Signer | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of one HTTP/1.1 request, signed if there is a signer."""
    parts = urlsplit(url)
    lines = {"Host": parts.netloc, **(headers or {})}
    if signer is not None:
        lines |= signer.headers(method, url, body)
    if body:
        lines |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body


def replay(
    base: str, pid: int, requests: Sequence[bytes], conns: int, seconds: float, folder: Path, *, sample: int = 0
) -> Load:
    """Load `base` (process `pid`) with the requests over `conns` connections. RuntimeError if wrk says nothing.

    `sample`: keep one answer in so many for reading back; 0 for none.
    """
    file, sampled = folder / "requests", folder / "sample"
    file.write_bytes(b"".join(b"%d\n" % len(one) + one for one in requests))
    more = {"REQUESTS": str(file)} | ({"SAMPLE": str(sampled), "EVERY": str(sample)} if sample else {})
    command = ["wrk", "-t1", f"-c{conns}", f"-d{max(1, round(seconds))}s", "--timeout", "20s", "-s", str(SCRIPT), base]
    meter = Meter(pid)
    done = subprocess.run(
        command, env={**os.environ, **more}, capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    cores, foreign = meter.read()
    results = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not results:
        raise RuntimeError(f"wrk failed: {done.stdout[-500:]} {done.stderr[-500:]}")
    r = json.loads(results[0].removeprefix("RESULT "))
    lines = [line.split() for line in sampled.read_text().splitlines()] if sample else []
    good = r["requests"] - r["refused"]
    return Load(
        per_second=good * 1e6 / r["us"],
        seconds=r["us"] / 1e6,
        p50=r["p50"] / 1000,
        p99=r["p99"] / 1000,
        cores=cores,
        foreign=foreign,
        acknowledged=good,
        failed=r["refused"] + r["broken"],
        sample=tuple((id, int(seq)) for id, seq in lines),
    )


class Api:
    """Calls one listener as one app, over one connection; a new one after a pause, as servers close idle ones."""

    def __init__(self, base: str, signer: Signer | None = None) -> None:
        self.base = base
        self.signer = signer
        parts = urlsplit(base)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_SECONDS)
        self._used = 0.0
        self.took = 0.0
        """Milliseconds of the last call, from sending it to the end of its answer."""

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status, and the JSON of the answer (its text if it is none). `body`: bytes as they are, the rest as JSON."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = dict(headers or {})
        if self.signer is not None:
            sent |= self.signer.headers(method, self.base + path, data)
        if data:
            sent.setdefault("Content-Type", "application/json")
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._connection.close()
            self._connection.connect()
        began = time.perf_counter()
        self._connection.request(method, path, data or None, sent)
        answer = self._connection.getresponse()
        text = answer.read()
        self.took = 1000 * (time.perf_counter() - began)
        self._used = time.monotonic()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text.decode(errors="replace")

    def get(self, path: str) -> Any:
        """The JSON of a GET. RuntimeError unless it is 200."""
        status, answer = self.call("GET", path)
        if status != 200:
            raise RuntimeError(f"GET {path}: {status} {answer}")
        return answer
