"""Measuring time, memory and data paths; `tools/benchmark.py` is the front of it."""
