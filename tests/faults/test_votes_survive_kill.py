"""Promise: an answered vote is there after SIGKILL, and no kill leaves a count without its vote or the reverse."""

import os
import threading
from pathlib import Path

import pytest

from support.client import Client
from support.server import Server

ROUNDS = int(os.environ.get("THINGSTEAD_VOTE_ROUNDS", "2"))
VOTERS = 6

pytestmark = [pytest.mark.faults, pytest.mark.timeout(60 + 20 * ROUNDS)]


def test_counts_and_votes_agree_after_each_kill(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        assert Client(server.http, server.root).send("PUT", "/v1/post/p", {"name": "p"}).status_code == 200
        told: set[str] = set()
        for round in range(ROUNDS):
            enough = threading.Event()

            def vote(name: str, enough: threading.Event = enough) -> None:
                client, number = Client(server.http, server.root), 0
                while True:
                    voter, number = f"{name}-{number}", number + 1
                    try:
                        reply = client.send("PATCH", "/v1/post/p", {"_voteup": voter})
                    except (OSError, ValueError):  # ValueError: half a head; http.client raises it and OSError
                        return
                    if reply.status_code == 200 and reply.content == b"true":
                        told.add(voter)
                    if number == 15:
                        enough.set()

            threads = [threading.Thread(target=vote, args=(f"{round}-{n}",), daemon=True) for n in range(VOTERS)]
            for thread in threads:
                thread.start()
            assert enough.wait(30)
            server.kill()
            for thread in threads:
                thread.join(30)
                assert not thread.is_alive()
            server.restart()
            client = Client(server.http, server.root)
            votes = client.send("GET", "/v1/post/p").json()["votes"]
            counted = client.send("GET", "/v1/post/p/links/vote?childrenonly&count").json()["totalHits"]
            assert votes == counted
            assert len(told) <= votes <= len(told) + VOTERS * (round + 1)
            for voter in sorted(told)[:: max(1, len(told) // 20)]:
                assert client.send("GET", f"/v1/vote/vote%3A{voter}%3Ap").status_code == 200, voter
