"""Floor 4: one package per API, wire format <-> core calls."""
