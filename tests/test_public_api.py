"""What users and authors of plugins import: declared in each package, lazily loaded, and documented."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "python-api.md").read_text(encoding="utf-8")
PACKAGES = {
    "kis_plugin": None, "kis_plugin.testing": "pytest", "kis_predict": None, "kis_sweep": None, "kis_write": None,
    "kis_torch": "torch", "kis_hf": "transformers", "kis_litgpt": "litgpt",
}  # fmt: skip
"""The packages, with what their names need installed."""


@pytest.mark.parametrize("package", PACKAGES)
def test_every_declared_name_is_there(package):
    if PACKAGES[package]:
        pytest.importorskip(PACKAGES[package])
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))
    assert all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing


@pytest.mark.parametrize("package", PACKAGES)
def test_every_declared_name_is_documented(package):
    (section,) = re.findall(rf"^## [^\n]*`{package}`\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)
    documented = {path.rpartition(".")[2] for path in re.findall(r"^::: ([\w.]+)$", section, re.M)}
    assert documented == set(importlib.import_module(package).__all__) - {"__version__"}


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_imports_nothing_heavy(package):
    code = f"import {package}, sys; print(*sorted({{'torch', 'transformers', 'litgpt', 'scipy'}} & set(sys.modules)))"
    path = [entry for entry in sys.path if entry]
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == ""
