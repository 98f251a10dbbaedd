"""Promise: the receiver of the how-to page, as it stands there, accepts what the server sends and nothing else."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from support.client import Client
from support.server import Server

RECEIVER = Path(__file__).parent.parent / "docs" / "how-to" / "receive_webhooks.py"
SECONDS = 15


def test_the_receiver_of_the_page(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"para.webhooks_enabled": "true", "para.outbound_allow": "127.0.0.0/8"}
    environment = {**os.environ, "WEBHOOK_SECRET": "s3cret"}
    command = [sys.executable, RECEIVER, str(port)]
    with (
        Server(tmp_path, settings) as server,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as receiver,
    ):
        try:
            assert receiver.stdout is not None
            client = Client(server.http, server.root)
            for encoded in (True, False):
                body = {"targetUrl": f"http://127.0.0.1:{port}/hook", "secret": "s3cret", "create": True}
                body |= {"typeFilter": "cat", "urlEncoded": encoded, "id": "hook"}
                assert client.send("POST", "/v1/webhooks", body).status_code == 201
                assert client.send("POST", "/v1/cat", {"id": f"tom-{encoded}"}).status_code == 201
                assert receiver.stdout.readline() == f"create cat tom-{encoded}\n"
            forged = urllib.request.Request(f"http://127.0.0.1:{port}/hook", b"{}", {"X-Webhook-Signature": "x"})
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(forged, timeout=SECONDS)
        finally:
            receiver.kill()
