"""Measures a real server beside real peers, as ratios. `bench/run` runs it (docs/explanation/performance.md)."""
