"""Tests of the Trainer adapter import their small world by name and need the extra."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers")
sys.path.insert(0, str(Path(__file__).parent))
