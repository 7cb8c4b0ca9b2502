"""Runs beyond the collapse: continued on general text or with few facts, and with guards that act."""
