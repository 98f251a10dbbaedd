"""Floor 2: one package per engine, each implementing a port."""
