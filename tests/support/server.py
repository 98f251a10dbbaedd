"""A real thingstead in a process of its own, on ports of its choosing, for tests that act from outside.

`Server` starts in a data directory, can be ended politely, killed, and started again over the same data. Its standard
error is kept in a file; it is printed when the server leaves its `with`, so that pytest shows it for a failed test.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from support.sign import Signer

ROOT_SECRET = "cm9vdCBzZWNyZXQgb2YgdGhlIHRlc3RzLCBmb3J0eSBieXRlcyE9PQ=="
STOP_SECONDS = 10
PORTS = {
    "http": "--port",
    "mqtts": "--mqtt-port",
    "mqtt": "--mqtt-plain-port",
    "agent": "--agent-port",
    "south": "--south-port",
    "context": "--context-port",
}


def forgetful(control: Path) -> list[str]:
    """A launcher over a VFS on which SIGKILL is a loss of power; the text of `control` is its fault, none at first."""
    control.write_text("")
    return ["-m", "support.forgetful", str(control)]


class Server:
    """A running thingstead; its addresses come from the ready line."""

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        ready_seconds: float = 30,
        launcher: Sequence[str] = ("-m", "thingstead"),
    ) -> None:
        """Starts at once; AssertionError with the end of its standard error if it is not ready in time.

        `launcher` are the interpreter's arguments before `serve`; see also `forgetful`.
        """
        self.data = directory / "data"
        self.root = Signer("app:para", ROOT_SECRET)
        self.ready: dict[str, str] = {}
        self._settings = dict(settings or {})
        self._environment = {
            **os.environ,
            "para_root_secret_override": ROOT_SECRET,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")))),
            **(environment or {}),
        }
        self._ready_seconds = ready_seconds
        self._launcher = list(launcher)
        self._out = directory / "server.out"
        self._err = directory / "server.err"
        self._process = self._start({})

    @property
    def http(self) -> str:
        """`http://127.0.0.1:PORT`: the main port."""
        return self.ready["http"]

    @property
    def mqtts(self) -> str:
        """`mqtts://127.0.0.1:PORT`: MQTT over TLS."""
        return self.ready["mqtts"]

    @property
    def mqtt(self) -> str:
        """`mqtt://127.0.0.1:PORT`: plain MQTT."""
        return self.ready["mqtt"]

    @property
    def agent(self) -> str:
        """The agent's north port."""
        return self.ready["agent"]

    @property
    def south(self) -> str:
        """The agent's south port, where devices send measures."""
        return self.ready["south"]

    @property
    def context(self) -> str:
        """The context broker's port."""
        return self.ready["context"]

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it wrote to standard error, over all its starts."""
        return self._err.read_text(errors="replace")

    def stop(self) -> int:
        """SIGTERM; its exit code. AssertionError (and SIGKILL) when it takes more than 10 s."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise AssertionError(f"SIGTERM did not end it in {STOP_SECONDS} s: {self._tail()}") from error

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def restart(self, kill: bool = False, same_ports: bool = True) -> None:
        """Ends it, unless it has ended, and starts it over the same data; clients can reconnect on the same ports."""
        if self._process.poll() is None:
            self.kill() if kill else self.stop()
        self._process = self._start(self.ready if same_ports else {})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._process.poll() is None:
                self.stop()
        finally:
            print(self.log)

    def _start(self, addresses: Mapping[str, str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, *self._launcher, "serve", "--json", "--data", str(self.data)]
        for name, option in PORTS.items():
            command += [option, addresses.get(name, ":0").rpartition(":")[2]]
        for name, value in self._settings.items():
            command += ["--set", f"{name}={value}"]
        with self._out.open("w") as out, self._err.open("a") as err:
            process = subprocess.Popen(command, env=self._environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        deadline = time.monotonic() + self._ready_seconds
        while not self._out.read_text().endswith("\n"):
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                process.kill()
                process.wait(STOP_SECONDS)
                how = f"exit {process.returncode}" if ended else f"not ready in {self._ready_seconds} s"
                raise AssertionError(f"{how}: {self._tail()}")
            time.sleep(0.01)
        self.ready = json.loads(self._out.read_text().splitlines()[0])
        assert self.ready.get("event") == "ready", self.ready
        return process

    def _tail(self) -> str:
        return "\n".join(self.log.splitlines()[-30:])
