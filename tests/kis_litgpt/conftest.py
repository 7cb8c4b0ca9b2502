"""Tests of the LitGPT adapter import their small world by name and need the extra."""

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
# Skipping here would stop pytest where this folder alone is asked for.
collect_ignore_glob = [] if importlib.util.find_spec("litgpt") else ["test_*.py"]


@pytest.fixture
def seen(monkeypatch):
    """Everything that LitGPT trains on, as pairs of inputs and targets, (B, T) each."""
    from lit_world import watch_training

    return watch_training(monkeypatch)
