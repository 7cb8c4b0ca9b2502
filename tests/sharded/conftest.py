"""Tests of ZeRO need DeepSpeed, which CI has in an environment of its own."""

from __future__ import annotations

import importlib.util

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("transformers") else ["test_*.py"]


def pytest_collection_modifyitems(items):
    if importlib.util.find_spec("deepspeed") is None:
        for item in items:
            if item.get_closest_marker("deepspeed"):
                item.add_marker(pytest.mark.skip(reason="deepspeed is not installed"))
