"""Fictional facts whose information is known exactly, for calibration: ``kis synth``."""
