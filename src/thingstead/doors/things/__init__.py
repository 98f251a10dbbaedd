"""Things door: shadows over MQTT and REST, readings, credentials (spec/things.md)."""
