"""Benchmarks: one question each, the peers beside us, ratios in one run.  `make bench` runs all."""
