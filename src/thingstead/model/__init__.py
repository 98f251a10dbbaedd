"""Floor 0: pure data and rules. No I/O, no async, no clock of its own."""
