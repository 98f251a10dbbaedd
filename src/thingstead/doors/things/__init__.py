"""The things door: MQTT shadow and data topics, who may connect, and the resources below `/v1/things` (things.md).

`shadows` is the hot path; `connect` says who connects, `people` what users and apps reach; `resources` and `rest` the
shadow, readings and credentials over HTTP; `read`, `render`, `errors` the documents.
"""

from collections.abc import Sequence

from thingstead.core.backend import Backend
from thingstead.core.resources import Resources
from thingstead.doors.things import resources, rest
from thingstead.doors.things.connect import authenticate, close_sessions, end_user, follow
from thingstead.doors.things.shadows import Shadows
from thingstead.transports.http import AsgiApp
from thingstead.transports.mqtt.broker import Broker
from thingstead.transports.mqtt.contract import Handler

__all__ = ["Door", "authenticate", "close_sessions", "end_user"]


class Door:
    """Everything of the door that is wired by the server."""

    def __init__(self, backend: Backend, broker: Broker) -> None:
        self._backend = backend
        self.shadows = Shadows(backend, broker)
        follow(backend, broker)

    def topics(self) -> Sequence[tuple[str, Handler]]:
        """MQTT topics and their handlers, for `Broker.route`."""
        return self.shadows.topics()

    def resources(self) -> Resources:
        """Resources below `/v1/things`, for the objects door."""
        return resources.resources(self._backend)

    def app(self) -> AsgiApp:
        """The shadow as AWS's data plane has it, for `/things/...` and `/api/...`."""
        return rest.app(self._backend)
