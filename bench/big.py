"""One app with very many objects: import, search, paging to the end, memory (`bench/run --big [N]`).

Each answer is compared with what was written: searches hit by hit, pages object by object, the scan to the end as a
whole.
"""

import hashlib
import json
import random
import sys
import time
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import Any

from bench.http_load import Api
from bench.processes import memory_mb
from bench.report import Figure
from bench.scenarios import BATCH, FOUND_SECONDS, Lost, make_app, object_body
from support.server import Server
from thingstead.model.settings import Settings

TYPE = "big"
HITS = 25
LIMIT = 100  # objects of a page
PARTS = 1_000  # objects of an entry of an archive
TENTHS = 10
FIRST_TIME = 1_700_000_000_000  # ms; object n is n ms younger
SEARCHES = 400
SEARCH_SECONDS = 0.05  # from one search to the next
WRITE_EVERY = 5  # searches
PAGES = 300  # read of those that `page` can name
SEARCH_MS = 15
IMPORTED = 3_000  # objects/s
FLAT = 2.0  # p95 of the slowest tenth of a scan to that of the first
SMALLEST = 20_000


class Big:
    """A server that is to hold `count` objects, a multiple of 1,000 and at least SMALLEST."""

    def __init__(self, server: Server, count: int, folder: Path) -> None:
        self._server = server
        self._count = count
        self._groups = count // HITS
        self._folder = folder
        self._random = random.Random(11)
        self._api = Api(server.http, make_app(Api(server.http, server.root), "bench-big"))

    def figures(self) -> Iterator[Figure]:
        """One after the other, as they are found. Raises Lost, RuntimeError."""
        yield from self._load()
        self._read_back()
        times = sorted(self._searches())
        p95 = quantiles(times, n=20)[-1]
        yield Figure(
            f"search of {HITS} hits in {self._count:,} objects, p95",
            f"{p95:.1f} ms (p50 {times[len(times) // 2]:.1f}, most {times[-1]:.1f})",
            f"< {SEARCH_MS} ms",
            p95 < SEARCH_MS,
        )
        yield _flat("by page", self._pages())
        yield _flat("by lastKey to the end", self._scan())
        yield Figure(
            "memory after",
            f"{memory_mb(self._server.pid):.0f} MB resident, "
            f"{memory_mb(self._server.pid, 'RssAnon'):.0f} MB without mapped files",
        )

    # --- loading

    def _load(self) -> Iterator[Figure]:
        """The objects in ten archives, one after the other, until a search counts each."""
        size = self._count // TENTHS
        archives = [self._archive(range(n * size, (n + 1) * size)) for n in range(TENTHS)]
        put, how = self._import, "import"
        rates: list[float] = []
        for n, archive in enumerate(archives):
            began = time.monotonic()
            if not put(archive):
                put, how = self._batches, "batch create over one connection"
                yield Figure("import", "skipped: this server answers 404 to PUT /v1/_import", f">= {IMPORTED:,}/s")
                put(archive)
            self._await_count((n + 1) * size)
            rates.append(size / (time.monotonic() - began))
            print(f"bench: {how}, {(n + 1) * size:,} objects: {rates[-1]:,.0f}/s", file=sys.stderr, flush=True)
            archive.unlink()
        imported = put == self._import
        yield Figure(
            f"{how}, objects/s until found",
            f"{TENTHS / sum(1 / rate for rate in rates):,.0f} (slowest tenth {min(rates):,.0f}, last {rates[-1]:,.0f})",
            f">= {IMPORTED:,}/s in each tenth" if imported else "",
            min(rates) >= IMPORTED if imported else None,
        )

    def _object(self, n: int) -> dict[str, Any]:
        body = object_body(self._random, n)
        return {"type": TYPE, "id": f"big{n}", "timestamp": FIRST_TIME + n, **body, "group": f"g{n % self._groups}"}

    def _archive(self, numbers: range) -> Path:
        path = self._folder / f"{numbers.start}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for part, first in enumerate(range(numbers.start, numbers.stop, PARTS), start=1):
                objects = [self._object(n) for n in range(first, min(first + PARTS, numbers.stop))]
                archive.writestr(f"bench-big_20260101_000000_part{part}.json", json.dumps(objects))
        return path

    def _import(self, path: Path) -> bool:
        """False if the server has no such route."""
        data = path.read_bytes()
        headers = {"Content-Type": "application/zip", "X-Amz-Content-Sha256": hashlib.sha256(data).hexdigest()}
        status, answer = self._api.call("PUT", f"/v1/_import?filename={path.name}", data, headers)
        if status == 404:
            return False
        if status != 200 or answer["count"] != self._count // TENTHS:
            raise Lost(f"PUT /v1/_import: {status} {answer}")
        return True

    def _batches(self, path: Path) -> bool:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                objects = json.loads(archive.read(name))
                for first in range(0, len(objects), BATCH):
                    status, answer = self._api.call("POST", "/v1/_batch", objects[first : first + BATCH])
                    if status != 200 or len(answer) != len(objects[first : first + BATCH]):
                        raise Lost(f"_batch: {status} {answer}")
        return True

    def _await_count(self, wanted: int) -> None:
        deadline = time.monotonic() + FOUND_SECONDS
        while (found := self._api.get(f"/v1/{TYPE}/search/count")["totalHits"]) != wanted:
            if found > wanted or time.monotonic() > deadline:
                raise Lost(f"{wanted} objects were acknowledged, a search counts {found}")
            time.sleep(0.01)

    def _read_back(self) -> None:
        for n in self._random.sample(range(self._count), 100):
            read = self._api.get(f"/v1/{TYPE}/big{n}")
            if (read["seq"], read["group"], read["timestamp"]) != (n, f"g{n % self._groups}", FIRST_TIME + n):
                raise Lost(f"object big{n} is not what was written: {read}")

    # --- reading

    def _searches(self) -> Iterator[float]:
        """Milliseconds of searches, twenty a second, while now and then an object of another type is written."""
        for n in range(SEARCHES):
            due = time.monotonic() + SEARCH_SECONDS
            if n % WRITE_EVERY == 0:
                status, answer = self._api.call("POST", "/v1/beside", object_body(self._random, n))
                if status != 201:
                    raise Lost(f"POST /v1/beside: {status} {answer}")
            group = self._random.randrange(self._groups)
            page = self._api.get(f"/v1/{TYPE}/search?q=properties.group%3Ag{group}")
            took = self._api.took
            seqs = sorted(item["seq"] for item in page["items"])
            if page["totalHits"] != HITS or seqs != list(range(group, self._count, self._groups)):
                raise Lost(f"a search for {HITS} objects found {page['totalHits']}: {seqs}")
            yield took
            time.sleep(max(0.0, due - time.monotonic()))

    def _pages(self) -> Iterator[float]:
        """Milliseconds of pages by number, oldest objects first, from the first to the last that can be named."""
        last = min(Settings().max_pages, self._count // LIMIT)
        for page in range(1, last + 1, -(-last // PAGES)):
            found = self._api.get(f"/v1/{TYPE}?limit={LIMIT}&page={page}&sort=timestamp&desc=false")
            seqs = [item["seq"] for item in found["items"]]
            if seqs != list(range((page - 1) * LIMIT, page * LIMIT)) or found["totalHits"] != self._count:
                raise Lost(f"page {page} of {found['totalHits']} objects has {seqs}")
            yield self._api.took

    def _scan(self) -> Iterator[float]:
        """Milliseconds of pages by `lastKey`, until there is none; every object stands in exactly one."""
        seen, key = bytearray(self._count), ""
        while True:
            page = self._api.get(f"/v1/{TYPE}?limit={LIMIT}&sort=_docid&desc=false{key}")
            if not page["items"]:
                break
            for item in page["items"]:
                seen[item["seq"]] += 1
            key = f"&lastKey={page['lastKey']}"
            yield self._api.took
        if seen.count(1) != self._count:
            raise Lost(f"a scan of {self._count} objects missed {seen.count(0)} and repeated others")


def _flat(name: str, found: Iterator[float]) -> Figure:
    times = list(found)
    ends = [round(n * len(times) / TENTHS) for n in range(TENTHS + 1)]
    tenths = [quantiles(times[start:end], n=20) for start, end in pairwise(ends)]
    p50, p95 = [tenth[9] for tenth in tenths], [tenth[-1] for tenth in tenths]
    ratio = max(p95) / p95[0]
    value = (
        f"{' '.join(f'{ms:.1f}' for ms in p95)} ms; slowest to first {ratio:.2f} (p50 {p50[0]:.1f} to {p50[-1]:.1f} ms)"
    )
    return Figure(f"{len(times):,} pages of {LIMIT} {name}, p95 of each tenth", value, f"<= {FLAT}", ratio <= FLAT)
