"""Retention: probes, their scoring, and the series that go to the run log."""
