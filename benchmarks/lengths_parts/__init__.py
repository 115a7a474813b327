"""The parts of benchmarks/lengths.py."""
