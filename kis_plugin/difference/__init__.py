"""Difference sampling: facts chosen by the gap between a large and a small model."""
