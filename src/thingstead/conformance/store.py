"""What every Store promises (`thingstead.ports.store`), as checks to run against any engine.

An engine author calls `run_check` for each of `CHECKS`, and for each of `HISTORY` at each of `STAGES`, with a function
that opens (or opens again) the store of a directory; a check raises AssertionError where a promise is broken. The
stage says how far the head is merged whenever a check asks for it. Faults of the disk are the engine's own tests.
"""

from thingstead.conformance import store_objects, store_readings
from thingstead.conformance.store_bench import (
    CHECKS,
    HISTORY,
    STAGES,
    Bench,
    Check,
    Opener,
    Stage,
    no_stray_errors,
    run_check,
)

PARTS = (store_objects, store_readings)
"""Where the promises stand; importing them fills the lists."""

__all__ = ["CHECKS", "HISTORY", "PARTS", "STAGES", "Bench", "Check", "Opener", "Stage", "no_stray_errors", "run_check"]
