"""Runs a coroutine as the server does, on uvloop, and never for ever; shared with the conformance suites."""

from thingstead.conformance.aio import run, until

__all__ = ["run", "until"]
