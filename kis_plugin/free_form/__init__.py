"""Free-form probes: questions that a model answers in its own words."""
