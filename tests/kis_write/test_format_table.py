"""The table of formats in the documentation: every format has a row, and every row a test that reads it back."""

from __future__ import annotations

import re
from pathlib import Path

from kis_plugin.registry import registered

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/any-framework.md"


def rows() -> list[list[str]]:
    """Return the cells of the table's rows."""
    _, _, table = PAGE.read_text(encoding="utf-8").partition("| format | framework |")
    lines = table.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_format_has_a_row():
    assert {re.search(r"`(\w+)", cells[0])[1] for cells in rows()} == set(registered("formats"))


def test_every_row_names_tests_that_name_its_format():
    for name, *_, tests in rows():
        files = re.findall(r"`(tests/[\w/]+\.py)`", tests)
        assert files, name
        form = re.search(r"`(\w+)", name)[1]
        wanted = "side" if "side" in name else form
        for file in files:
            assert f'"{wanted}"' in (ROOT / file).read_text(encoding="utf-8"), f"{file} does not test {wanted}"
