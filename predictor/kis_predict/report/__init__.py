"""The answer on a terminal, as a figure, an HTML page, JSON, and a configuration."""
