"""Prints what a WebSocket stream of the hypermedia door says, one message a line.

    python docs/tutorial/listen.py ws://127.0.0.1:8080/ws/site-greenhouse [COUNT]

Ends after COUNT messages, else runs until Ctrl-C. Needs websockets.
"""

import json
import sys

from websockets.sync.client import connect


def main(url: str, count: str = "0") -> None:
    left = int(count)
    with connect(url) as stream:
        print("listening", flush=True)
        for message in stream:
            document = json.loads(message)
            if "value" in document and "timestamp" in document:
                print("reading", document["value"], flush=True)
            else:
                print("changed", document["_links"]["self"]["href"], flush=True)
            left -= 1
            if left == 0:
                return


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: listen.py URL [COUNT]")
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
