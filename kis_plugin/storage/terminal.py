"""Output for terminals, pipes and programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from kis_plugin.errors import KISError
from kis_plugin.escapes import escaped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn
    from rich.table import Table

__all__ = [
    "AS_JSON", "console", "echo", "escape_message", "escaped", "progress", "refusal_as_json", "safe_console", "table",
]  # fmt: skip

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON value on stdout instead of tables.")

_LAYOUT = "\n\t"
WIDEST = 10_000  # columns in a pipe, so that each row of a table stays on one line


def console() -> Console:
    """Return a console on stdout that interprets no markup."""
    width = None if sys.stdout.isatty() else WIDEST
    return safe_console(width=width, markup=False, highlight=False, emoji=False, soft_wrap=True)


def safe_console(**options: Any) -> Console:
    """Return a console that shows control characters in text as escapes; ``options`` are those of rich's console."""
    from rich.console import Console
    from rich.text import Text

    class SafeConsole(Console):
        def render_str(self, text: str, **kwargs: Any) -> Text:
            return super().render_str(escaped(text, keep=_LAYOUT), **kwargs)

        def render(self, renderable: Any, options: Any = None) -> Any:
            if isinstance(renderable, Text) and escaped(renderable.plain, keep=_LAYOUT) != renderable.plain:
                renderable = Text(escaped(renderable.plain, keep=_LAYOUT), style=renderable.style)
            return super().render(renderable, options)

    return SafeConsole(**options)


def escape_message(error: click.ClickException) -> None:
    """Escape the message of a usage error: it may quote names of files, which a shell has put on the command line."""
    vars(error)["message"] = escaped(error.message, keep=_LAYOUT)


def echo(line: str) -> None:
    """Print a line of a result to stdout."""
    click.echo(escaped(line))


def progress(*columns: ProgressColumn, **options: Any) -> Progress:
    """Return progress bars on stderr; without a terminal there they show nothing.

    Args:
        columns: What each bar shows; by default its name, the bar, how much is done, and the time left.
        options: Those of rich's ``Progress``.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    plain = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*(columns or plain), console=safe_console(stderr=True), disable=not sys.stderr.isatty(), **options)


def table(*columns: str, numbers: Sequence[int] = ()) -> Table:
    """Return an empty table; ``numbers`` are the indices of right-aligned columns."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number in numbers else "left", overflow="fold")
    return table


@contextmanager
def refusal_as_json(as_json: bool) -> Iterator[None]:
    """Print the problems of a KISError to stdout as JSON too, if ``as_json`` is set."""
    try:
        yield
    except KISError as error:
        if as_json:
            problems = [vars(problem) for problem in error.problems]
            click.echo(json.dumps({"status": "error", "problems": problems}, indent=2))
        raise
