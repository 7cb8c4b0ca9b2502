"""Tests of the LitGPT adapter import their small world by name and need the extra."""

import importlib.util

import pytest

# Skipping here would stop pytest where this folder alone is requested.
collect_ignore_glob = [] if importlib.util.find_spec("litgpt") else ["test_*.py"]


@pytest.fixture
def seen(monkeypatch):
    """Everything that LitGPT trains on, as pairs of inputs and targets, (B, T) each."""
    from tests.world.litgpt import watch_training

    return watch_training(monkeypatch)
