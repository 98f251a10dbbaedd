"""The command line: `thingstead serve`, `thingstead demo`, `thingstead settings`, `thingstead --version`."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import cyclopts
import msgspec
import uvloop
from cyclopts import Parameter

from thingstead import __version__
from thingstead.model.errors import ThingsteadError

if TYPE_CHECKING:
    from thingstead.server.running import Addresses, Running

    Beside: TypeAlias = Callable[[Running, Callable[[str], None]], Awaitable[None]]

app = cyclopts.App(name="thingstead", help="An IoT backend in one process.", version=__version__)

Port = Annotated[int, Parameter(validator=cyclopts.validators.Number(gte=0, lte=65535))]
GC_THRESHOLD = (50_000, 20, 50)  # requests make thousands of short-lived containers; few of them are cycles
SWITCH_INTERVAL = 0.0005  # a busy thread then delays the loop by about 1 ms instead of 10 (stack.md)


def main() -> None:
    """Run the command that the arguments name."""
    app()


@app.command
def serve(
    *,
    data: Path = Path("data"),
    host: str = "127.0.0.1",
    port: Port = 8080,
    mqtt_port: Port = 8883,
    mqtt_plain_port: Port = 1883,
    agent_port: Port = 4041,
    south_port: Port = 7896,
    context_port: Port = 1026,
    set: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Start the server; it ends on SIGTERM or SIGINT, within 10 seconds, with nothing acknowledged lost.

    Parameters
    ----------
    data
        Data directory; made if it is not there. One server at a time may use it.
    host
        Address to bind to. Beyond loopback nothing is open without credentials until it is set so.
    port
        Main HTTP port: /v1, /kits, hypermedia, WebSockets. 0 takes a free one, here and below.
    mqtt_port
        MQTT over TLS.
    mqtt_plain_port
        MQTT without TLS, on loopback only.
    agent_port
        Agent: /iot.
    south_port
        Agent: measures of devices.
    context_port
        Context broker: /v2.
    set
        A setting, KEY=VALUE; may be repeated. `thingstead settings` lists them.
    json
        Print one JSON line on standard output once every listener answers, and nothing else.
    """
    from thingstead.server.running import Addresses

    addresses = Addresses(
        host=host,
        port=port,
        mqtt_port=mqtt_port,
        mqtt_plain_port=mqtt_plain_port,
        agent_port=agent_port,
        south_port=south_port,
        context_port=context_port,
    )
    _run(data, set or [], addresses, json=json)


@app.command
def demo(
    *,
    data: Annotated[Path | None, Parameter(help="Data directory; a temporary one if not given.")] = None,
    port: Port = 8080,
    seconds: Annotated[int, Parameter(help="End by itself after this many seconds; 0: run on.")] = 0,
) -> None:
    """Start a server with a simulated plant kit that reports every second over MQTT, and say what to open."""
    import tempfile

    from thingstead.server.demo import kit
    from thingstead.server.running import Addresses

    free = 0  # the demo may run beside a real server
    addresses = Addresses(
        port=port, mqtt_port=free, mqtt_plain_port=free, agent_port=free, south_port=free, context_port=free
    )
    with tempfile.TemporaryDirectory(prefix="thingstead-demo-") as folder:
        _run(data or Path(folder), ["kits.access=open"], addresses, json=False, beside=kit(seconds))


@app.command
def settings() -> None:
    """List every setting: key, default, meaning."""
    from thingstead.model.keys import keys

    for key in keys().values():
        without = "" if key.field else " (no effect here)"
        print(f"{key.name} = {msgspec.json.encode(key.default).decode()}  # {key.about}{without}")


def _run(
    directory: Path, sets: list[str], addresses: "Addresses", *, json: bool, beside: "Beside | None" = None
) -> None:
    try:
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        uvloop.run(_serve(directory, sets, addresses, json=json, beside=beside))
    except ThingsteadError as error:
        sys.exit(f"thingstead: {error.message}")
    except OSError as error:
        sys.exit(f"thingstead: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def _serve(
    directory: Path, sets: list[str], addresses: "Addresses", *, json: bool, beside: "Beside | None"
) -> None:
    from thingstead.server import logs
    from thingstead.server.data import DataDirectory
    from thingstead.server.running import start
    from thingstead.server.settings import load

    logs.configure()
    sys.setswitchinterval(SWITCH_INTERVAL)
    values = load(sets, directory, lambda line: _tell(f"thingstead: {line}")).settings
    data = DataDirectory(directory)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = await start(data, values, addresses, os.getpid(), _tell)
    try:
        assert running.ready is not None
        if json:
            print(msgspec.json.encode(running.ready).decode(), flush=True)
        elif beside is None:
            _tell(f"thingstead {__version__} is ready, data in {directory}")
            for name in ("http", "mqtts", "mqtt", "agent", "south", "context"):
                _tell(f"  {name:8}{getattr(running.ready, name)}")
        if beside is None:
            await stop.wait()
        else:
            waiting = loop.create_task(stop.wait())
            playing = asyncio.ensure_future(beside(running, _tell))
            await asyncio.wait([waiting, playing], return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                playing.result()
            playing.cancel()
            waiting.cancel()
    finally:
        await running.close()
