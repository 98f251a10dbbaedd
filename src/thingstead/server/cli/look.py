"""`config`, `settings`, `doctor`: commands that look and change nothing."""

import sys
from pathlib import Path
from typing import Any

from thingstead.model.errors import ThingsteadError
from thingstead.server.cli.base import Flag, MainPort, Port, Sets, as_json, tell

HIDDEN = "***"


def config(*, data: Path = Path("data"), set: Sets = None, check: Flag = False, json: Flag = False) -> None:
    """Print the settings in force, each with its source; secrets are hidden.

    Parameters
    ----------
    data
        Data directory, whose thingstead.toml or application.conf is read.
    set
        A setting, KEY=VALUE; may be repeated.
    check
        Only look for what is wrong: exit 1 if there is something, unknown keys included.
    json
        Print JSON.
    """
    from thingstead.model.keys import keys
    from thingstead.server.settings import load

    warnings: list[str] = []
    try:
        loaded = load(set or [], data, warnings.append)
    except ThingsteadError as error:
        if not (check and json):
            sys.exit("\n".join(f"thingstead: {line}" for line in (*warnings, error.message)))
        print(as_json({"ok": False, "problems": [*warnings, error.message]}))
        sys.exit(1)
    if not (json and check):
        for warning in warnings:
            tell(f"thingstead: {warning}")
    if check:
        print(as_json({"ok": not warnings, "problems": warnings}) if json else "ok" if not warnings else "not ok")
        sys.exit(1 if warnings else 0)
    shown: dict[str, dict[str, Any]] = {}
    for key in keys().values():
        given = loaded.given.get(key.name)
        if given is None and not key.field:
            continue
        value, source = (given.value, given.source) if given is not None else (key.default, "default")
        masked = HIDDEN if key.secret and value != "" else value
        shown[key.name] = {"value": masked, "source": source, "effect": not key.idle}
    if json:
        print(as_json({"settings": shown, "warnings": warnings}))
        return
    for name, entry in shown.items():
        print(f"{name} = {as_json(entry['value'])}  # {entry['source']}{'' if entry['effect'] else '; no effect here'}")


def doctor(
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
    """Look whether this machine, this data directory and these settings are fit to serve; exit 1 if something fails.

    Parameters
    ----------
    data
        Data directory.
    host
        Address that `serve` will bind to; the ports as for `serve`.
    port
        Main HTTP port. Default: para.port, 8080.
    mqtt_port
        MQTT over TLS.
    mqtt_plain_port
        MQTT without TLS.
    agent_port
        Agent: /iot.
    south_port
        Agent: measures of devices.
    context_port
        Context broker: /v2.
    set
        A setting, KEY=VALUE; may be repeated.
    json
        Print JSON.
    """
    from thingstead.server.cli.doctor import Place, examine
    from thingstead.server.environment import SystemClock
    from thingstead.server.running import Addresses
    from thingstead.server.settings import load

    warnings: list[str] = []
    loaded, refusal = None, ""
    try:
        loaded = load(set or [], data, warnings.append)
    except ThingsteadError as error:
        refusal = error.message
    addresses = Addresses(
        host=host,
        port=port if port is not None else loaded.settings.port if loaded is not None else 8080,
        mqtt_port=mqtt_port,
        mqtt_plain_port=mqtt_plain_port,
        agent_port=agent_port,
        south_port=south_port,
        context_port=context_port,
    )
    findings = list(examine(Place(data, addresses, loaded, tuple(warnings), refusal, SystemClock())))
    failed = any(finding.level == "fail" for finding in findings)
    if json:
        print(as_json({"ok": not failed, "findings": findings}))
    else:
        for finding in findings:
            print(
                f"{finding.level:5}{finding.check:13}{finding.seen}"
                + (f" -> {finding.advice}" if finding.advice else "")
            )
    sys.exit(1 if failed else 0)


def settings(*, json: Flag = False) -> None:
    """List every setting: key, default, meaning.

    Parameters
    ----------
    json
        Print JSON.
    """
    from thingstead.model.keys import keys

    if json:
        print(as_json([*keys().values()]))
        return
    for key in keys().values():
        without = " (no effect here)" if key.idle else ""
        print(f"{key.name} = {as_json(key.default)}  # {key.about}{without}")
