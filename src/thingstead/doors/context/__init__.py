"""The context door: NGSIv2 over the shadows of things and entities (agent.md 17; doors.md 14-18).

`app` answers `/v2` on a port of its own. Not there yet: queries (`q`, `mq`, geo, patterns, order), attribute paths,
types, batch operations, subscriptions, registrations, NGSI-LD.
"""

from thingstead.doors.context.routes import app

__all__ = ["app"]
