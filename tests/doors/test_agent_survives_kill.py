"""Promise: a measure answered 200, or acknowledged over MQTT, survives SIGKILL, and so does the device it made."""

from pathlib import Path

import requests
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from support.server import Server

TENANT = {"fiware-service": "smartgondor", "fiware-servicepath": "/gardens"}
GROUP = {"resource": "/iot/json", "apikey": "123456", "entity_type": "T"}
ALL = "/v2/entities?options=keyValues"


def test_acknowledged_measures_survive(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        made = requests.post(f"{server.agent}/iot/services", json={"services": [GROUP]}, headers=TENANT, timeout=10)
        assert made.status_code == 200
        host, _, port = server.mqtt.rpartition("/")[2].partition(":")
        client = Client(CallbackAPIVersion.VERSION2)
        client.connect(host, int(port))
        client.loop_start()
        for n in range(20):
            measure = requests.post(f"{server.south}/iot/json?k=123456&i=h", json={"n": n}, timeout=10)
            assert measure.status_code == 200
        sent = [client.publish("/json/123456/m/attrs", b'{"n":%d}' % n, qos=1) for n in range(20)]
        for one in sent:
            one.wait_for_publish(10)
            assert one.is_published()
        server.kill()
        client.disconnect()
        client.loop_stop()
        server.restart()
        entities = requests.get(server.context + ALL, headers=TENANT, timeout=10).json()
        assert entities == [{"id": f"T:{device}", "type": "T", "n": 19} for device in "hm"]
        again = requests.post(f"{server.south}/iot/json?k=123456&i=h", json={"n": 20}, timeout=10)
        assert again.status_code == 200
        listed = requests.get(f"{server.agent}/iot/devices", headers=TENANT, timeout=10).json()
        assert (listed["count"], [device["device_id"] for device in listed["devices"]]) == (2, ["h", "m"])
