"""Tests of the plain loop share the small world of the Trainer's tests."""

import importlib.util
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "kis_hf"))
# Skipping here would stop pytest where this folder alone is asked for.
collect_ignore_glob = [] if importlib.util.find_spec("transformers") else ["test_*.py"]
