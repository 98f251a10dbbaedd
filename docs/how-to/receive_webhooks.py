"""A receiver of webhooks: checks the signature, forgets what it has seen before, prints the events.

WEBHOOK_SECRET=... python receive_webhooks.py 8900
"""

import base64
import hashlib
import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

SECRET = os.environ["WEBHOOK_SECRET"].encode()
seen: set[str] = set()  # a real receiver keeps this in its database, together with what it made of the event


def payload_of(body: bytes, content_type: str) -> bytes:
    """The JSON text that was signed, whichever form it came in."""
    if content_type == "application/x-www-form-urlencoded":
        return parse_qs(body.decode()).get("payload", [""])[0].encode()
    return body


def genuine(payload: bytes, signature: str) -> bool:
    """True if whoever sent this knows the secret."""
    expected = base64.b64encode(hmac.new(SECRET, payload, hashlib.sha256).digest())
    return hmac.compare_digest(expected, signature.encode())


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        payload = payload_of(body, self.headers["Content-Type"])
        signature = self.headers.get("X-Webhook-Signature", "")
        if not genuine(payload, signature):
            self.send_response(403)
            self.end_headers()
            return
        if signature not in seen:  # the same event may come twice
            seen.add(signature)
            event = json.loads(payload)
            for item in event["items"]:
                print(event["event"], item.get("type"), item.get("id"), flush=True)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Print events only."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
