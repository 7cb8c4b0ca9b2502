"""The processes of ``python -m benchmarks sharded``."""
