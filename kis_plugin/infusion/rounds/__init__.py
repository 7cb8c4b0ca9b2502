"""Rounds: in which order and in which bins of a row the texts of each exposure stand."""
