"""The command line. `serve` and `demo` run a server; `setup`, `new-app` and `new-keys` manage apps; `export`, `import`
and `reindex` work on all that an app has; `config`, `settings` and `doctor` look (objects.md 13, 19, 20).

Conventions: `--json` prints one JSON document on standard output and nothing else there; an error is one line on
standard error, `thingstead: ...`. Exit codes: 0 done, 1 it cannot be done (or `doctor` and `config --check` found
something), 2 arguments that make no sense. Nothing heavy is imported before it is needed.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import cyclopts
import msgspec
import uvloop
from cyclopts import Parameter

from thingstead import __version__
from thingstead.server.cli.apps import new_app, new_keys, setup
from thingstead.server.cli.archives import export, import_, reindex
from thingstead.server.cli.base import Flag, MainPort, Port, Sets, as_json, refusing, tell
from thingstead.server.cli.look import config, doctor, settings

if TYPE_CHECKING:
    from thingstead.model.settings import Settings
    from thingstead.server.data import DataDirectory
    from thingstead.server.logs.files import LogFiles
    from thingstead.server.running import Addresses, Running

    Beside: TypeAlias = Callable[[Running, Callable[[str], None]], Awaitable[None]]

app = cyclopts.App(name="thingstead", help="An IoT backend in one process.", version=__version__)

GC_THRESHOLD = (50_000, 20, 50)  # requests make thousands of short-lived containers; few of them are cycles
SWITCH_INTERVAL = 0.0005  # a busy thread then delays the loop by about 1 ms instead of 10 (stack.md)
_BEGAN = time.monotonic()
LOGO = r"""
  _   _    _              _              _
 | |_| |_ (_)_ _  __ _ __| |_ ___ __ _ _| |
 |  _| ' \| | ' \/ _` (_-<  _/ -_) _` / _` |
  \__|_||_|_|_||_\__, /__/\__\___\__,_\__,_|
                 |___/
""".strip("\n")

for _command in (setup, new_app, new_keys, export, reindex, config, settings, doctor):
    app.command(_command)
app.command(import_, name="import")


def main() -> None:
    """Run the command that the arguments name. Java's `-Dkey=value` is `--set key=value`, wherever it stands."""
    given = [text for text in sys.argv[1:] if text.startswith("-D") and len(text) > 2]
    others = [text for text in sys.argv[1:] if text not in given]
    app([*others, *(part for text in given for part in ("--set", text[2:]))])


@app.command
def serve(
    *,
    data: Path = Path("data"),
    host: str = "127.0.0.1",
    port: MainPort = None,
    mqtt_port: Port = 8883,
    mqtt_plain_port: Port = 1883,
    agent_port: Port = 4041,
    south_port: Port = 7896,
    context_port: Port = 1026,
    set: Sets = None,
    json: Flag = False,
) -> None:
    """Start the server; it ends on SIGTERM or SIGINT, within 10 seconds, with nothing acknowledged lost.

    Parameters
    ----------
    data
        Data directory; made if it is not there. One server at a time may use it.
    host
        Address to bind to. Beyond loopback nothing is open without credentials until it is set so.
    port
        Main HTTP port: /v1, /kits, hypermedia, WebSockets. 0 takes a free one, here and below. Default: para.port,
        8080.
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
        mqtt_port=mqtt_port,
        mqtt_plain_port=mqtt_plain_port,
        agent_port=agent_port,
        south_port=south_port,
        context_port=context_port,
    )
    _run(data, set or [], addresses, port, json=json)


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
    addresses = Addresses(mqtt_port=free, mqtt_plain_port=free, agent_port=free, south_port=free, context_port=free)
    with tempfile.TemporaryDirectory(prefix="thingstead-demo-") as folder:
        _run(data or Path(folder), ["kits.access=open"], addresses, port, json=False, beside=kit(seconds))


def _run(
    directory: Path,
    sets: list[str],
    addresses: "Addresses",
    port: int | None,
    *,
    json: bool,
    beside: "Beside | None" = None,
) -> None:
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    refusing(lambda: uvloop.run(_serve(directory, sets, addresses, port, json=json, beside=beside)))


async def _serve(
    directory: Path,
    sets: list[str],
    addresses: "Addresses",
    port: int | None,
    *,
    json: bool,
    beside: "Beside | None",
) -> None:
    from thingstead.server.data import DataDirectory
    from thingstead.server.logs import lines as logs
    from thingstead.server.logs.files import LogFiles
    from thingstead.server.settings import load

    logs.configure()
    sys.setswitchinterval(SWITCH_INTERVAL)
    warnings: list[str] = []
    loaded = load(sets, directory, warnings.append)
    values = loaded.settings
    if loaded.idle:
        warnings.append(loaded.idle)
    for warning in warnings:
        tell(f"thingstead: {warning}")
    addresses = msgspec.structs.replace(addresses, port=values.port if port is None else port)
    data = DataDirectory(directory)
    if values.print_logo and not json:
        tell(f"{LOGO}  {__version__ if values.print_version else ''}\n")
    files = LogFiles(Path(values.logs_dir) if values.logs_dir else directory / "logs", values.logs_name)
    try:
        logs.configure(files, values.file_logger_level)
        for warning in warnings:
            files.app.put(warning)
        await _serve_until_told(data, values, addresses, files, json=json, beside=beside)
    finally:
        logs.configure()
        files.close()


async def _serve_until_told(
    data: "DataDirectory",
    values: "Settings",
    addresses: "Addresses",
    files: "LogFiles",
    *,
    json: bool,
    beside: "Beside | None",
) -> None:
    from thingstead.server.running import start

    log = logging.getLogger("thingstead")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = await start(data, values, addresses, os.getpid(), tell, files=files)
    try:
        assert running.ready is not None
        started = (
            f"Started ParaServer in {time.monotonic() - _BEGAN:.1f} seconds"  # test set-ups of Para's clients wait
        )
        log.info("%s: thingstead %s, process %d, %s", started, __version__, os.getpid(), running.ready.http)
        if json:
            print(as_json(running.ready), flush=True)
            tell(started)
        elif beside is None:
            named = f"thingstead {__version__}" if values.print_version else "thingstead"
            tell(f"{named} is ready, data in {data.path}")
            for name in ("http", "mqtts", "mqtt", "agent", "south", "context"):
                tell(f"  {name:8}{getattr(running.ready, name)}")
            print(started, flush=True)
        if beside is None:
            await stop.wait()
        else:
            waiting = loop.create_task(stop.wait())
            playing = asyncio.ensure_future(beside(running, tell))
            await asyncio.wait([waiting, playing], return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                playing.result()
            playing.cancel()
            waiting.cancel()
    finally:
        await running.close()
        log.info("ended")
