"""Imports run one way: between packages, between the folders of a package, and between files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "kis_plugin": ROOT / "kis_plugin",
    "kis_torch": ROOT / "adapters" / "kis_torch",
    "kis_hf": ROOT / "adapters" / "kis_hf",
    "kis_litgpt": ROOT / "adapters" / "kis_litgpt",
    "kis_write": ROOT / "adapters" / "kis_write",
    "kis_predict": ROOT / "predictor" / "kis_predict",
    "kis_sweep": ROOT / "predictor" / "kis_sweep",
}
# What each package may import of the others. kis_predict reads logs and never needs torch; the sweep trains.
MAY_IMPORT = {
    "kis_plugin": set(),
    "kis_torch": {"kis_plugin", "kis_sweep"},
    "kis_hf": {"kis_plugin", "kis_torch", "kis_sweep"},
    "kis_litgpt": {"kis_plugin", "kis_torch", "kis_sweep"},
    "kis_write": {"kis_plugin"},
    "kis_predict": {"kis_plugin"},
    "kis_sweep": {"kis_plugin", "kis_predict"},
}
# Folders of the core that register what they add through hooks; none but the command line knows them.
ADDED = {"counting", "difference", "free_form", "probe_kinds", "starter", "summary", "synthetic"}
SCORING = "kis_plugin.retention.scoring"
"""The one part of the core that computes with tensors: imported when a model is probed."""
FILES_AT_ROOT, FILES_IN_FOLDER, LINES_IN_FILE = 10, 20, 400


def module_of(path: Path) -> str:
    """Return the dotted name of a file of one of the packages."""
    for name, folder in PACKAGES.items():
        if path.is_relative_to(folder):
            parts = path.relative_to(folder).with_suffix("").parts
            return ".".join([name, *(part for part in parts if part != "__init__")])
    raise AssertionError(path)


FILES = {module_of(path): path for folder in PACKAGES.values() for path in sorted(folder.rglob("*.py"))}


def imports_of(module: str, run: bool = True) -> Iterator[str]:
    """Yield the modules of ours that a module imports; those for types alone only with ``run=False``."""
    for node in _statements(ast.parse(FILES[module].read_text("utf-8")), run):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in FILES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _statements(node: ast.AST, run: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if run and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _statements(child, run)


def graph(of: str | None = None) -> dict[str, set[str]]:
    """Return which module imports which, of one package or of all."""
    return {
        module: {found for found in imports_of(module) if found in FILES and found != module}
        for module in FILES
        if of is None or module.split(".")[0] == of
    }


def room_of(module: str) -> str:
    """Return the folder of a package that a module is in, or the module where it stands at the package's root."""
    return ".".join(module.split(".")[:2])


def assert_no_circle(edges: dict[str, set[str]]) -> None:
    try:
        list(TopologicalSorter(edges).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_file_imports_itself_by_way_of_others():
    assert_no_circle(graph())


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_folders_import_each_other(package):
    edges: dict[str, set[str]] = {}
    for module, found in graph(package).items():
        rooms = edges.setdefault(room_of(module), set())
        rooms |= {room_of(one) for one in found if one.startswith(f"{package}.")} - {room_of(module), package}
    assert_no_circle(edges)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_those_below_it(package):
    ours = {found.split(".")[0] for module in graph(package) for found in imports_of(module, run=False)} & set(PACKAGES)
    assert ours - {package} <= MAY_IMPORT[package]


def test_the_core_knows_no_folder_that_registers_itself():
    for module in graph("kis_plugin"):
        if module.split(".")[1:2] and module.split(".")[1] in {*ADDED, "cli"}:
            continue
        known = {found.split(".")[1] for found in imports_of(module, run=False) if found.startswith("kis_plugin.")}
        assert not known & ADDED, (module, known & ADDED)


def test_the_core_and_the_predictor_import_no_framework():
    for package in ("kis_plugin", "kis_predict", "kis_sweep"):
        for module, path in FILES.items():
            if module.split(".")[0] != package or module.startswith(SCORING):
                continue
            top = {found.split(".")[0] for found in _top_level(path)}
            assert not top & {"torch", "transformers", "litgpt", "lightning"}, module


def _top_level(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_folders_and_files_stay_small():
    assert len(list(PACKAGES["kis_plugin"].glob("*.py"))) <= FILES_AT_ROOT
    for folder in PACKAGES.values():
        for inside in {path.parent for path in folder.rglob("*.py")} - {folder}:
            assert len(list(inside.glob("*.py"))) <= FILES_IN_FOLDER, inside
    assert not [path for path in FILES.values() if len(path.read_text("utf-8").splitlines()) > LINES_IN_FILE]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(package):
    assert (PACKAGES[package] / "py.typed").is_file()
