"""Tests of the plain loop share the small world of the Trainer's tests."""

import importlib.util

# Skipping here would stop pytest where this folder alone is requested.
collect_ignore_glob = [] if importlib.util.find_spec("transformers") else ["test_*.py"]
