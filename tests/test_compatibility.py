"""The compatibility table names tests that exist, and claims nothing without one."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from doc_compatibility import COLUMNS, TABLE, named_tests

ROOT = Path(__file__).parents[1]
CELLS = [(name, column, cell) for name, row in TABLE.items() for column, cell in zip(COLUMNS, row, strict=True)]


def needs(file):
    """The package without which the tests of a file are not collected."""
    return "litgpt" if "litgpt" in file else "transformers"


def test_every_cell_says_what_it_rests_on():
    for name, column, cell in CELLS:
        assert cell.says in ("yes", "refused", "host cannot", "not run"), (name, column)
        assert bool(cell.tests) == (cell.says in ("yes", "refused")), (name, column)
        assert cell.note or cell.says in ("yes", "not run"), (name, column)


def test_every_test_of_the_table_is_a_function_of_its_file():
    """Without the packages of a host too, where its tests are not collected."""
    for name in named_tests():
        file, function = name.split("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert function.split("[")[0] in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


@pytest.mark.slow
def test_every_test_of_the_table_is_collected_with_its_parameters():
    files = sorted({name.split("::")[0] for name in named_tests()})
    files = [file for file in files if importlib.util.find_spec(needs(file))]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    plain = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}  # -v changes the list
    done = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]
    found = {line.split("[")[0] for line in done.stdout.splitlines()} | set(done.stdout.splitlines())
    for name in named_tests():
        assert name in found or name.split("::")[0] not in files, name
