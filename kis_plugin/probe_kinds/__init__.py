"""Probe kinds beyond single facts: answer space and two-hop."""
