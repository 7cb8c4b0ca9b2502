"""Tests of the Trainer adapter import their small world by name and need the extra."""

import importlib.util

# Skipping here would stop pytest where this folder alone is requested.
collect_ignore_glob = [] if importlib.util.find_spec("transformers") else ["test_*.py"]
