"""Folders that only register hooks: the rest of the core must work, and import, without them."""

import ast
from pathlib import Path

import pytest

import kis_plugin

ROOT = Path(kis_plugin.__file__).parent
OPTIONAL = ("counting", "difference", "free_form", "probe_kinds", "summary")
CORE = ("config", "guard", "infusion", "knowledge", "plugins", "retention", "run", "storage", "templates", "tokenized")


def imported(path):
    """Return every module that a file imports, anywhere in it, also for types only."""
    package = ("kis_plugin", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", CORE)
def test_core_imports_no_folder_that_only_registers(room):
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in imported(path)
        if name.startswith(tuple(f"kis_plugin.{one}" for one in OPTIONAL))
    }
    assert found == set()


@pytest.mark.parametrize("room", OPTIONAL)
def test_every_optional_folder_registers_something(room):
    from kis_plugin.plugins.manager import BUILT_IN

    assert f"kis_plugin.{room}.builtin" in BUILT_IN


def test_relative_imports_are_found(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "retention" / "x.py"
    path.parent.mkdir()
    path.write_text("from ..counting import by_count\nimport kis_plugin.free_form.probes\n")
    assert list(imported(path)) == ["kis_plugin.counting.by_count", "kis_plugin.free_form.probes"]
