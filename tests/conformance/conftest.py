"""The table's rows stand on the small worlds of the adapters' own tests; each needs its host."""

import importlib.util

import pytest

# Of each adapter: the module with its row, and what it needs installed.
TABLE = {
    "hf": ("hf_rows", "Trainer", "transformers"),
    "hf-stream": ("hf_rows", "StreamTrainer", "transformers"),
    "torch": ("torch_row", "PlainLoop", "transformers"),
    "torch-stream": ("torch_row", "PlainStream", "transformers"),
    "litgpt": ("lit_row", "LitGPT", "litgpt"),
}
HERE = [name for name, (_, _, needs) in TABLE.items() if importlib.util.find_spec(needs)]
collect_ignore_glob = [] if HERE else ["test_*.py"]


def made(name, monkeypatch):
    module, cls, _ = TABLE[name]
    return getattr(importlib.import_module(f"tests.conformance.{module}"), cls)(monkeypatch)


@pytest.fixture(params=HERE)
def adapter(request, monkeypatch):
    return made(request.param, monkeypatch)


@pytest.fixture
def every_adapter(monkeypatch):
    return {name: made(name, monkeypatch) for name in HERE}
