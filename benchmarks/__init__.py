"""Paired measurements against the other ways of doing the same job. Run with ``python -m benchmarks``."""
