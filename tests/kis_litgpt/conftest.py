"""Tests of the LitGPT adapter import their small world by name and need the extra."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("litgpt")
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def seen(monkeypatch):
    """Everything that LitGPT trains on, as pairs of inputs and targets, (B, T) each."""
    from lit_world import watch_training

    return watch_training(monkeypatch)
