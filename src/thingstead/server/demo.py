"""The demo: a simulated plant kit that reports every second through the real MQTT path, and what to open to see it.

The kit is an ordinary client: it connects over TLS with the certificate that `POST /v1/things` gave it.
"""

import asyncio
import json
import math
import random
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from thingstead.core.kinds.base import Draft
from thingstead.model.principals import Principal
from thingstead.model.values import JsonObject
from thingstead.server.running import Running

KIT = "demo-kit"
SECOND = 1.0


def kit(seconds: int) -> Callable[[Running, Callable[[str], None]], Awaitable[None]]:
    """What runs beside the server: the kit, for `seconds` (0: until the server ends)."""

    async def play(running: Running, told: Callable[[str], None]) -> None:
        details = await _provision(running)
        client = await asyncio.to_thread(_connect, details)
        try:
            _say(running, told, str(details["thingName"]))
            step = 0
            while not seconds or step < seconds:
                report = json.dumps({"state": {"reported": measure(step)}})
                client.publish(f"$aws/things/{details['thingName']}/shadow/update", report, qos=1)
                step += 1
                await asyncio.sleep(SECOND)
        finally:
            client.disconnect()
            client.loop_stop()

    return play


def measure(step: int) -> dict[str, float]:
    """What the kit's four sensors say in its `step`-th second: a day that passes in ten minutes, with some noise."""
    day = math.sin(step * 2 * math.pi / 600)
    noise = random.Random(step)  # noqa: S311  a simulation, repeatable
    return {
        "temperature": round(21 + 4 * day + noise.gauss(0, 0.1), 2),
        "humidity": round(58 - 12 * day + noise.gauss(0, 0.5), 1),
        "light": round(max(0.0, 900 * day) + abs(noise.gauss(0, 3)), 1),
        "co2": round(420 - 60 * max(0.0, day) + noise.gauss(0, 4), 1),
    }


async def _provision(running: Running) -> JsonObject:
    """The kit's thing, under a site of its own; a kit of an earlier demo gets new credentials."""
    backend = running.backend
    app = backend.tenants.default
    actor = Principal("app", app, root=True)
    present = [thing for thing in await backend.objects.list(app, type="thing") if thing.custom.get("kitId") == KIT]
    if present:
        return await backend.things.credentials(app, present[0].id, actor)
    site = await backend.objects.create(app, Draft(type="site", body={"name": "Greenhouse"}), actor)
    units: JsonObject = {"temperature": "celsius", "humidity": "percent", "light": "lux", "co2": "ppm"}
    body: JsonObject = {
        "name": "Plant kit",
        "parentid": site.object.id,
        "kitId": KIT,
        "description": "Simulated plant kit",
        "sensorUnits": units,
    }
    made = await backend.objects.create(app, Draft(type="thing", body=body, credentials=True), actor)
    details = made.once["deviceDetails"]
    assert isinstance(details, dict)
    return details


def _connect(details: JsonObject) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=str(details["clientId"]))
    context = ssl.create_default_context(cadata=str(details["caCert"]))
    with tempfile.TemporaryDirectory(prefix="thingstead-kit-") as folder:  # the ssl module reads keys from files only
        certificate, key = Path(folder, "cert.pem"), Path(folder, "key.pem")
        certificate.write_text(str(details["clientCert"]))
        key.touch(mode=0o600)
        key.write_text(str(details["privateKey"]))
        context.load_cert_chain(certificate, key)
    client.tls_set_context(context)
    client.connect(str(details["host"]), int(str(details["port"])))
    client.loop_start()
    return client


def _say(running: Running, told: Callable[[str], None], name: str) -> None:
    assert running.ready is not None
    ready = running.ready
    told(f"a plant kit ({name}) reports temperature, humidity, light and CO2 every second; look at it through")
    told(f"  kits          {ready.http}/kits/{KIT}/data")
    told(f"  hypermedia    {ready.http}/sites/")
    told(f"  context       {ready.context}/v2/entities")
    told(f"  health        {ready.http}/v1/_health")
    told("Ctrl-C ends the demo")
