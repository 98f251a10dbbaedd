"""What it costs to know who is asking: each proof on its own, in this process, beside the check of a signature."""

import asyncio
import base64
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import bcrypt

from support.backend import open_backend, owner
from support.sign import Signer
from thingstead.core.backend import Backend
from thingstead.core.identity import SignedRequest
from thingstead.core.objects import Draft
from thingstead.model import tokens
from thingstead.model.users import Profile
from thingstead.model.values import JsonObject

ROUNDS = 5
URL = "http://localhost:8080/v1/_me"


def identity() -> str:
    """A Markdown table of the proofs: microseconds of the processor, and how many signatures that is."""
    return asyncio.run(_measured())


async def _measured() -> str:
    with tempfile.TemporaryDirectory(prefix="thingstead-bench-") as folder:
        async with open_backend(Path(folder)) as backend:
            rows = [(name, await _each(work, times)) for name, times, work in await _proofs(backend)]
    one = rows[0][1]
    lines = [f"| {name} | {seconds * 1e6:.1f} | {seconds / one:.2f} |" for name, seconds in rows]
    return "\n".join(["| proof | us | signatures |", "|---|---|---|", *lines])


async def _each(work: Callable[[], Awaitable[object]], times: int) -> float:
    """Seconds of one call: the median of some rounds."""
    found: list[float] = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            await work()
        found.append((time.process_time() - began) / times)
    return median(found)


async def _proofs(backend: Backend) -> list[tuple[str, int, Callable[[], Awaitable[object]]]]:
    app, secret = await backend.tenants.create("bench")
    signed_in = await backend.signin.with_profile(app, Profile(identifier="gh:1"))
    now = backend.clock.now() // 1_000_000
    of_app = tokens.issue(tokens.super_claims(app.object.id, now=now, expires=now + 3600), secret)
    body: JsonObject = {"identifier": "j@x.example", "email": "j@x.example", "active": True}
    await backend.objects.create("bench", Draft(type="user", body=body), owner("bench"))
    hash = bcrypt.hashpw(b"password", bcrypt.gensalt()).decode()
    await backend.objects.patch("bench", "j@x.example", {"password": hash}, owner("bench"))
    sent = {name.lower(): value for name, value in Signer(app.object.id, secret).headers("GET", URL, b"").items()}
    request = SignedRequest("GET", urlsplit(URL).path, "", {"host": "localhost:8080", **sent}, b"")
    basic = "Basic " + base64.b64encode(b"bench/j@x.example:password").decode()
    known = backend.identity
    verified = known._verified  # pyright: ignore[reportPrivateUsage]

    async def anew() -> object:
        verified.clear()
        return await known.bearer(signed_in.token)

    return [
        ("signature of an app", 1000, lambda: known.signed(request)),
        ("token of an app, known", 1000, lambda: known.bearer(of_app)),
        ("token of a user, known", 1000, lambda: known.bearer(signed_in.token)),
        ("token of a user, first seen", 300, anew),
        ("password of a user, known", 1000, lambda: known.basic(basic)),
        ("password, hashed", 1, lambda: asyncio.to_thread(bcrypt.checkpw, b"password", hash.encode())),
    ]
