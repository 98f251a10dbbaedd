"""MQTT 3.1.1 and 5 (things.md 6): an endpoint in the server's own process and event loop.

`broker` is what doors and the composition use, `contract` the words they share with it, `listeners` and `websocket`
the sockets; `codec`, `packets`, `properties`, `reasons` are the wire format; `connection`, `intake`, `session`,
`persister`, `throttle` the inside.
"""
