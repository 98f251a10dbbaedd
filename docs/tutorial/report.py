"""Reports values of a thing over MQTT, as the device itself would: TLS, the thing's certificate, QoS 1.

    python docs/tutorial/report.py thing.json temp=24.5 [NAME=VALUE ...]

`thing.json` is the answer to the creation of the thing (or of its credentials). Needs paho-mqtt. Ends once the server
has acknowledged the report; with 1 if it refuses, or says nothing for 10 seconds.
"""

import json
import ssl
import sys
import tempfile
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

SECONDS = 10


def value_of(text: str) -> object:
    """JSON if it is, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def tls(details: dict[str, str]) -> ssl.SSLContext:
    """Trust the server's authority only; show the thing's certificate."""
    context = ssl.create_default_context(cadata=details["caCert"])
    with tempfile.TemporaryDirectory() as folder:  # the ssl module reads keys from files only
        file = Path(folder, "device.pem")
        file.touch(mode=0o600)
        file.write_text(details["clientCert"] + details["privateKey"])
        context.load_cert_chain(file)
    return context


def main(file: str, *pairs: str) -> None:
    answer = json.loads(Path(file).read_text())
    details = answer.get("deviceDetails", answer)
    if "privateKey" not in details:
        sys.exit(f"{file} holds no credentials: they are shown once, when the thing is made")
    reported = {name: value_of(value) for name, _, value in (pair.partition("=") for pair in pairs)}
    topic = f"$aws/things/{details['thingName']}/shadow/update"
    document = json.dumps({"state": {"reported": reported}}, separators=(",", ":"))
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=details["clientId"])
    client.tls_set_context(tls(details))
    refused: list[str] = []
    client.on_connect = lambda *answer: refused.append(str(answer[3])) if answer[3].is_failure else None
    client.connect(details["host"], int(details["port"]))
    client.loop_start()
    sent = client.publish(topic, document, qos=1)
    end = time.monotonic() + SECONDS
    while not sent.is_published() and not refused and time.monotonic() < end:
        sent.wait_for_publish(0.1)
    client.disconnect()
    client.loop_stop()
    if not sent.is_published():
        sys.exit(f"not acknowledged: {refused[0] if refused else f'nothing heard for {SECONDS} s'}")
    print("acknowledged:", topic, document)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: report.py thing.json NAME=VALUE ...")
    main(*sys.argv[1:])
