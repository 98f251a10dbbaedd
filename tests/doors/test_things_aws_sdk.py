"""A stock AWS IoT SDK, configured with what create returned, speaks to the shadow as to AWS (things.md 1.2, 7)."""

from collections.abc import Generator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import awsiot
import pytest
from awscrt import mqtt5, mqtt_request_response
from awsiot import iotshadow, mqtt5_client_builder

from support.devices import Site, site

SECONDS = 10


@pytest.fixture
def here(tmp_path: Path) -> Generator[Site]:
    with site(tmp_path) as started:
        yield started


def connected(here: Site, details: dict[str, Any]) -> mqtt5.Client:
    """Its MQTT 5 client over TLS, with the certificate; the user name it sends means nothing here."""
    success: Future[Any] = Future()

    def failed(event: Any) -> None:
        if not success.done():
            success.set_exception(AssertionError(f"not connected: {event.exception}"))

    client = mqtt5_client_builder.mtls_from_bytes(
        cert_bytes=details["clientCert"].encode(),
        pri_key_bytes=details["privateKey"].encode(),
        ca_bytes=details["caCert"].encode(),
        endpoint="localhost",
        port=here.tls,
        client_id=details["clientId"],
        on_lifecycle_connection_success=lambda event: success.done() or success.set_result(event),
        on_lifecycle_connection_failure=failed,
    )
    client.start()
    success.result(SECONDS)
    return client


def test_update_get_delta_delete(here: Site) -> None:
    details = here.thing()["deviceDetails"]
    name = details["thingName"]
    client = connected(here, details)
    options = mqtt_request_response.ClientOptions(
        max_request_response_subscriptions=2, max_streaming_subscriptions=2, operation_timeout_in_seconds=SECONDS
    )
    shadow = iotshadow.IotShadowClientV2(client, options)
    listening: Future[Any] = Future()
    delta: Future[Any] = Future()
    stream = shadow.create_shadow_delta_updated_stream(
        iotshadow.ShadowDeltaUpdatedSubscriptionRequest(thing_name=name),
        awsiot.ServiceStreamOptions(
            incoming_event_listener=lambda event: delta.done() or delta.set_result(event),
            subscription_status_listener=lambda event: listening.done() or listening.set_result(event),
        ),
    )
    stream.open()
    listening.result(SECONDS)
    try:
        state = iotshadow.ShadowState(reported={"a": 1}, desired={"a": 2})
        updated = shadow.update_shadow(iotshadow.UpdateShadowRequest(thing_name=name, state=state)).result(SECONDS)
        assert (updated.version, updated.state.reported, updated.state.desired) == (1, {"a": 1}, {"a": 2})
        assert delta.result(SECONDS).state == {"a": 2}
        got = shadow.get_shadow(iotshadow.GetShadowRequest(thing_name=name)).result(SECONDS)
        assert (got.version, got.state.desired, got.state.delta) == (1, {"a": 2}, {"a": 2})
        stale = iotshadow.UpdateShadowRequest(thing_name=name, state=state, version=7)
        with pytest.raises(awsiot.V2ServiceException) as refused:
            shadow.update_shadow(stale).result(SECONDS)
        assert refused.value.modeled_error.code == 409
        deleted = shadow.delete_shadow(iotshadow.DeleteShadowRequest(thing_name=name)).result(SECONDS)
        assert deleted.version == 2
        with pytest.raises(awsiot.V2ServiceException) as missing:
            shadow.get_shadow(iotshadow.GetShadowRequest(thing_name=name)).result(SECONDS)
        assert missing.value.modeled_error.code == 404
    finally:
        client.stop()
