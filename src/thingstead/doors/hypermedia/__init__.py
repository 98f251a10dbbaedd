"""Hypermedia door: HAL+JSON and streams for Chain clients (spec/hypermedia.md)."""
