"""The agent door (agent.md): provisioning on the north port, measures on the south port and over MQTT.

`north` answers `/iot/*`, `south` takes measures over HTTP, `topics` over MQTT. Not there yet: expressions, commands,
lazy attributes, other context brokers, changing and deleting of groups and devices.
"""

from thingstead.doors.agent.routes import north
from thingstead.doors.agent.south import south
from thingstead.doors.agent.topics import topics

__all__ = ["north", "south", "topics"]
