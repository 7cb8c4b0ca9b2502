"""Tables and lines as a terminal or a pipe shows them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["console", "table"]

WIDEST = 10_000  # columns of a pipe: rows of a table stay in one line


def console() -> Console:
    """Return stdout, for text in which nothing is markup."""
    from rich.console import Console

    # Names come from files: nothing in them is markup.
    width = None if sys.stdout.isatty() else WIDEST
    return Console(width=width, markup=False, highlight=False, emoji=False, soft_wrap=True)


def table(*columns: str, numbers: Sequence[int] = ()) -> Table:
    """Return an empty table; ``numbers`` are the places of columns aligned to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number in numbers else "left", overflow="fold")
    return table
