"""Floor 1: the few interfaces the core needs from an engine."""
