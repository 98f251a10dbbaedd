"""Service broker Local: a CA of our own and device certificates."""
