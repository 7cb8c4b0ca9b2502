"""Across model sizes: scaling laws, their fit, and their selection."""
