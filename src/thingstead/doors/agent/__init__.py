"""Agent door: /iot, south HTTP and MQTT for FIWARE devices (spec/agent.md)."""
