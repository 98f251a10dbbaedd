"""What carries bytes: HTTP and MQTT."""
