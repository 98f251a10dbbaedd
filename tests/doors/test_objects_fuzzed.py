"""Never a 500: what Schemathesis makes of the OpenAPI document of `/v1`, and hostile variants of each of its requests,
is answered as the document says; errors have their shape, and what is refused writes nothing.

`THINGSTEAD_SCHEMATHESIS_REQUESTS` is the number of requests: 20,000 in CI, 2,000 elsewhere. Making a case costs ten
times as much as sending it, so each is sent as it was made and then in four variants.
"""

import base64
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi import checks

from support.backend import ROOT_SECRET
from support.client import Client
from support.listening import Listening, listening
from thingstead.core.metrics import FINDS
from thingstead.doors import objects
from thingstead.doors.things import resources

REQUESTS = int(os.environ.get("THINGSTEAD_SCHEMATHESIS_REQUESTS") or (20_000 if os.environ.get("CI") else 2_000))
A_CASE = 5
SECONDS = 20
NOT_YET = {501}  # what the contract has and thingstead has not
NO_MAIL = {503}  # no mail server is set

KNOWN = {
    "type": (
        "dogs",
        "dog",
        "things",
        "thing",
        "tags",
        "app",
        "sensors",
        "addresses",
        "webhooks",
        "cats",
        "user",
        "links",
    ),
    "id": (
        "rex",
        "kit",
        "tag:a",
        "app:para",
        "para:kit",
        "search",
        "links",
        "_me",
        "a%2Fb",
        "%2e%2e",
        "%00",
        "%ff",
        "é",
    ),
    "id2": ("rex", "kit", "max", "none"),
    "other": ("dogs", "rex", "kit", "max", "sensors", "%20"),
    "kind": (*FINDS, "count", "other"),
    "method": ("newid", "timestamp", "formatdate", "formatmessage", "nospaces", "nosymbols", "md2html", "timeago"),
    "field": ("name", "a.b", "id", "%5C"),
    "name": ("required", "min", "max", "size", "pattern", "email", "future"),
    "key": ("k", "security", "%20"),
    "subject": ("*", "explain", "rex", "%20"),
    "resource": ("dogs", "*", "ZG9ncw", "dogs%2Frex", "%5C", "%25%00", "_settings", "="),
    "app": ("one", "app:two", "--", "para"),
}
QUERIES = (
    "q=%22", "q=%28", "q=a%20AND", "q=/[/", "q=*:*", "q=%5C", "q=a*b?~^(", "q=%ff", "q=" + "(" * 60,
    "q=" + "a%20" * 2000, "q=name:[1+TO", "sort=" + "a:desc," * 20, "sort=%00:asc", "page=99999999999999999999",
    "limit=-1", "limit=1e9",
    "lastKey=-9223372036854775808", "lastKey=9223372036854775807", "lastKey=9999999999999999999", "select=,,%00",
    "count", "childrenonly&count&q=*&field=%5C&term=x", "all", "terms=a:1&terms=b%3C:x&terms=:", "ids=&ids=rex&ids=%00",
    "ids=" + "&ids=".join(map(str, range(400))), "latlng=91,0&radius=1e400", "latlng=nan,nan", "like=id:rex&fields=%00",
    "field=nstd&q=a", "tags=%1f", "querytype=wildcard&field=name&q=%5B%5C", "prefix=%F0%9F%98%80&field=name", "&&==&=",
    "delta=-99999999999999999999", "format=yyyy%00'", "md=" + "[" * 500, "agg=avg&bucket=0s", "from=x", "cursor=AAAA",
    "message=%7B9999999999%7D&fields=a", "Authorization=Bearer%20x", "locale=%F0", "x" * 32_000,
)  # fmt: skip
BODIES = (
    b"", b" ", b"{", b"[]", b"[{}]", b"null", b"7", b'"x"', b"\xff\xfe", b'{"a":"\xc3"}', b'{"id":"a","id":7}',
    b'{"a":' * 70 + b"1" + b"}" * 70, b"[" * 100_000, b'{"a":' + b"9" * 200 + b"}", b'{"a":1e400}', b'{"a":"\\ud800"}',
    b'{"id":{},"type":[],"name":7,"tags":{"a":1}}', b'{"type":"thing","name":"x","deviceState":[]}', b'{"value":null}',
    b'{"_voteup":[]}', b'{"_voteup":"u","_vote_locked_after":-1}', b'{"timestamp":1e308,"version":-1,"votes":"x"}',
    b'{"name":"x","parentid":"rex","creatorid":{"a":[]}}', b'{"state":{"reported":{"a":[[[[[[[1]]]]]]]}}}',
    b'{"state":{"reported":7}}', b'{"\\u0000":1}', b'{"triggeredEvent":"x","customPayload":7,"targetUrl":"file:///"}',
    b'{"properties":{"a":1},"a":2}', b'{"csr":"x","overlapSeconds":1}', b'{"stored":"no","indexed":0,"cached":[]}',
    b'{"latlng":"x,y","address":7,"country":"US"}', b'{"a":-0.0,"b":1E-400,"c":18446744073709551616}',
)  # fmt: skip


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    directory = tmp_path_factory.mktemp("data")
    with listening(directory, lambda backend: objects.app(backend, resources.resources(backend))) as opened:
        client = Client(opened.url, opened.root)
        for path, body in (
            ("/v1/dog/rex", {"name": "Rex", "tags": ["a", "b"], "nstd": [{"name": "a"}]}),
            ("/v1/dog/max", {"name": "Max", "parentid": "rex", "age": 3}),
            ("/v1/thing/kit", {"name": "Kit"}),
            ("/v1/address/a1", {"address": "Street 1", "country": "US", "latlng": "1,2", "parentid": "rex"}),
        ):
            assert client.send("PUT", path, body).status_code in (200, 201)
        assert client.send("POST", "/v1/dog/rex/links/kit").status_code == 200
        yield opened


@schemathesis.serializer("application/zip")
def zipped(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else repr(value).encode()


class Sender:
    """Sends requests as root, whatever its secret is by now, and holds every answer to the promise."""

    def __init__(self, door: Listening) -> None:
        self.door = door
        self.sent: Counter[int] = Counter()
        self.session = requests.Session()
        self.connection = HTTPConnection(urlsplit(door.url).netloc, timeout=SECONDS)
        self.secret = ROOT_SECRET
        self.written = self.count()

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"app:para:{self.secret}".encode()).decode()}

    def count(self) -> tuple[int, int]:
        """Lines of the journal and of readings."""

        async def counted() -> tuple[int, int]:
            store = self.door.backend.store
            return await store.journal.last(), await store.readings.head()

        return self.door.run(counted())

    def close(self) -> None:
        self.session.close()
        self.connection.close()

    def case(self, case: Case) -> requests.PreparedRequest:
        """Send a case as it was made; the answer is as the document says. The request that it was."""
        reply = case.call(base_url=self.door.url, session=self.session, headers=self.headers)
        # A method that the document does not have, or a path that became another, is no request of the document's.
        if reply.status_code not in (404, 405):
            case.validate_response(reply, checks=[checks.content_type_conformance, checks.response_schema_conformance])
        self.check(
            reply.request.method or "", reply.request.url or "", reply.status_code, dict(reply.headers), reply.content
        )
        return reply.request

    def raw(self, method: str, target: str, body: bytes) -> None:
        """Send a variant, to the byte."""
        try:
            self.connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in {**self.headers, "Content-Length": str(len(body))}.items():
                self.connection.putheader(name, value)
            self.connection.endheaders(body or None)
            reply = self.connection.getresponse()
            content = reply.read()
        except (HTTPException, OSError) as error:
            self.connection.close()
            raise AssertionError(f"no answer to {method} {target} {body[:200]!r}") from error
        self.check(method, target, reply.status, {name.lower(): value for name, value in reply.getheaders()}, content)

    def check(self, method: str, target: str, status: int, headers: dict[str, str], content: bytes) -> None:
        self.sent[status] += 1
        where = (method, target[:500], status, content[:500])
        assert status < 500 or status in NOT_YET or (status in NO_MAIL and "_emails" in target), where
        written, self.written = self.written, self.count()
        if status >= 400:
            assert self.written == written, where
            if method != "HEAD":
                error = json.loads(content)
                assert error["code"] == status, where
                assert isinstance(error["message"], str), where
                assert error.keys() - {"timestamp", "clientToken"} == {"code", "message"}, where
        elif "_newkeys" in target:
            self.secret = json.loads(content)["secretKey"]


def variants(case: Case, request: requests.PreparedRequest, chance: random.Random) -> Iterator[tuple[str, str, bytes]]:
    """The same operation with known names, a hostile query, a hostile body, and damaged bytes."""
    method = case.method.upper()
    parts = urlsplit(request.url or "")
    query = f"?{parts.query}" if parts.query else ""
    made = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
    known = "/".join(
        chance.choice(KNOWN[part[1:-1]]) if part.startswith("{") else part for part in case.path.split("/")
    )
    known = quote(known, safe="/%:")
    yield method, known + query, made
    yield method, f"{known}?{chance.choice(QUERIES)}&{chance.choice(QUERIES)}", made
    yield method, known, chance.choice(BODIES)
    damaged = bytearray(made or chance.choice(BODIES))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(damaged) + 1)
        damaged[at : at + chance.randint(0, 2)] = chance.choice(
            (b"", b"\x00", b"\xff", b'"', b"{", b"]", b":", b"9", b",")
        )
    other = chance.choice((method, method, "PUT", "POST", "PATCH", "DELETE", "HEAD"))
    yield other, (parts.path if chance.random() < 0.5 else known) + query, bytes(damaged)


@pytest.mark.timeout(900)
def test_it_is_never_a_500(door: Listening) -> None:
    sender = Sender(door)
    load_all_checks()
    schema = schemathesis.openapi.from_dict(Client(door.url).send("GET", "/v1/_openapi").json())
    known = [result.ok() for result in schema.get_all_operations()]
    seen: set[str] = set()
    strategies = [operation.as_strategy(generation_mode=GenerationMode.POSITIVE) for operation in known]
    strategies += [
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
        for operation in known
        if operation.query or operation.body
    ]

    def run(strategy: st.SearchStrategy[Case], cases: int) -> None:
        @settings(
            max_examples=cases,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # what is left behind by one request decides about the next: nothing to shrink
        )
        @given(strategy, st.integers(0, 2**32))
        def sent(case: Case, seed: int) -> None:
            seen.add(case.operation.label)
            request = sender.case(case)
            for method, target, body in variants(case, request, random.Random(seed)):
                sender.raw(method, target, body)

        sent()

    with closing(sender):
        for strategy in strategies:
            run(strategy, 1)
        left = REQUESTS - sender.sent.total()
        run(st.sampled_from(strategies).flatmap(lambda strategy: strategy), max(1, -(-left // A_CASE)))
    assert sender.sent.total() >= REQUESTS
    assert seen == {operation.label for operation in known}
    assert {2, 4} <= {status // 100 for status in sender.sent}
