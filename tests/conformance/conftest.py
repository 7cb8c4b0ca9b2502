"""The adapters that are held to one suite; each needs its host."""

import importlib
import importlib.util

import pytest

# Of each adapter: the module and class of its host, and what it needs installed.
HOSTS = {
    "hf": ("hf_hosts", "TrainerHost", "transformers"),
    "hf-stream": ("hf_hosts", "StreamTrainerHost", "transformers"),
    "torch": ("torch_hosts", "LoopHost", "transformers"),
    "torch-stream": ("torch_hosts", "StreamLoopHost", "transformers"),
    "litgpt": ("lit_host", "LitHost", "litgpt"),
}
HERE = [name for name, (_, _, needs) in HOSTS.items() if importlib.util.find_spec(needs)]
collect_ignore_glob = [] if HERE else ["test_*.py"]


def made(name, monkeypatch):
    module, cls, _ = HOSTS[name]
    return getattr(importlib.import_module(f"tests.conformance.{module}"), cls)(monkeypatch)


@pytest.fixture
def every_host(monkeypatch):
    return {name: made(name, monkeypatch) for name in HERE}


@pytest.fixture(params=HERE)
def host_name(request):
    return request.param
