"""Chooses a sweep for a target and a budget, and simulates what its prediction would be worth."""
