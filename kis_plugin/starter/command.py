"""The command ``kis init``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kis_plugin.registry import find, registered
from kis_plugin.storage.terminal import console

if TYPE_CHECKING:
    from kis_plugin.starter.project import NewProject

__all__ = ["init"]

_PATH = click.Path(path_type=Path)
_DEFAULT = "hf"


@click.command()
@click.argument("folder", type=_PATH, default=Path())
@click.option("--for", "framework", metavar="NAME", help="Framework: hf, trl, torch, litgpt.  [default: hf]")
@click.option("--facts", type=_PATH, help="Your facts, a file or folder.  [default: a table to fill in]")
@click.option("--subject", metavar="COLUMN", help="Column of the subjects of --facts, where its name is another one.")
@click.option("--relation", metavar="COLUMN", help="Column of the relations.")
@click.option("--object", metavar="COLUMN", help="Column of the objects.")
@click.option("--text", type=_PATH, help="Base text: .txt, a file or folder.  [default: the text that comes with KIS]")
def init(folder: Path, framework: str | None, facts: Path | None, text: Path | None, **columns: str | None) -> None:
    """Begin a project in FOLDER, by default the current one.

    Writes a commented kis.yaml, a table of facts to fill in, sentences for every relation of the facts, and a training
    script that runs as it stands. Nothing is written over.

    \b
    Examples:
      kis init first-run
      kis init geography --facts mine.csv --subject country --relation property --object value
      kis init lit-run --for litgpt
    """  # noqa: D301 - click reads the character, not its escape
    from kis_plugin.starter.project import make_project

    named = {part: column for part, column in columns.items() if column is not None}
    if named and facts is None:
        raise click.UsageError(f"--{next(iter(named))} names a column of --facts: give both.")
    starter = find("starters", framework or _first(), "--for")
    _show(make_project(folder, starter, facts, named, text))


def _first() -> str:
    """Return the framework of a project that names none."""
    names = list(registered("starters"))
    return _DEFAULT if _DEFAULT in names or not names else names[0]


def _show(made: NewProject) -> None:
    out = console()
    out.print(f"{made.folder}: {', '.join(made.files)}")
    if made.columns:
        out.print("Columns: " + ", ".join(f"{part} is {column}" for part, column in made.columns.items()) + ".")
    relations = f"{made.relations:,} relation{'' if made.relations == 1 else 's'}"
    out.print(f"{made.facts:,} facts of {relations}. Read templates.yaml: your own sentences are better.")
    go = "" if Path(made.folder) == Path() else f"cd {shlex.quote(made.folder)} && "
    out.print(f"Next: {go}kis check kis.yaml && {made.command}")
