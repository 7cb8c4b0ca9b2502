"""kis_torch stands below the other adapters: it needs torch and the core alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world.processes import ROOT, environment

ABOVE = {"kis_hf", "kis_litgpt", "transformers", "accelerate", "datasets", "litgpt", "lightning"}
BLOCKED = """
import importlib, pkgutil, sys
for name in {blocked}:
    sys.modules[name] = None
import kis_torch
for module in pkgutil.iter_modules(kis_torch.__path__, "kis_torch."):
    importlib.import_module(module.name)
from kis_torch import InfusedDataset, InfusedIterableDataset, InfusionSampler, KnowledgeInfusion
print(KnowledgeInfusion.__module__)
"""


def imported(path: Path) -> set[str]:
    """The packages that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "adapters" / "kis_torch").glob("*.py")), ids=lambda path: path.name)
def test_no_file_of_kis_torch_imports_a_layer_above(path):
    assert not imported(path) & ABOVE


@pytest.mark.parametrize(("package", "other"), [("kis_hf", "kis_litgpt"), ("kis_litgpt", "kis_hf")])
def test_the_adapters_above_do_not_import_each_other(package, other):
    files = list((ROOT / "adapters" / package).glob("*.py"))
    assert files
    assert not [path.name for path in files if other in imported(path)]


def test_kis_torch_works_where_transformers_is_not_installed():
    code = BLOCKED.format(blocked=sorted(ABOVE))
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "kis_torch.loop"), done.stderr
