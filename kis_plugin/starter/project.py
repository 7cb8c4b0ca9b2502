"""Plans the files of a new project and writes them, over nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.facts import Fact
from kis_plugin.starter.amount import exposures_of
from kis_plugin.starter.configuration import EVERY, configuration
from kis_plugin.starter.facts import sample_facts, users_facts
from kis_plugin.starter.protocols import Project, Starter
from kis_plugin.starter.templates import template_file
from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.storage.shipped_data import sample_text

__all__ = ["NewProject", "make_project"]

_TEXT = "text.txt"
_CHARACTERS = 2_000_000  # of the shipped text
# Of a sentence about a fact, beside its names, and of a token of a vocabulary of 2,048, which is trained on the text.
_SENTENCE_CHARACTERS, _TOKEN_CHARACTERS = 30, 2.6


@dataclass(frozen=True)
class NewProject:
    """What was written.

    Attributes:
        folder: The project's folder.
        files: Names of the files in it, as they were written.
        facts: How many facts it has.
        relations: How many relations.
        columns: Columns of the facts by part, where they were mapped.
        command: The shell command that trains.
    """

    folder: str
    files: tuple[str, ...]
    facts: int
    relations: int
    columns: Mapping[str, str]
    command: str


def make_project(
    folder: Path, starter: Starter, facts: Path | None, columns: Mapping[str, str], text: Path | None
) -> NewProject:
    """Write a new project: all of its files, or none.

    Args:
        folder: Its folder; made if it does not exist.
        starter: Writes the training script.
        facts: The user's facts; None for a file to fill in.
        columns: Columns of a table of facts by part, as the user named them.
        text: The base text, a file or folder; None for the text that comes with KIS.

    Raises:
        KISError: A file is there already; the facts cannot be read; there is no such text.
    """
    if text is not None and not text.exists():
        raise KISError(Problem(f"--text {text}", "no such file or folder", "plain text to train on"))
    found = sample_facts() if facts is None else users_facts(facts, folder, columns)
    tokens = sum(map(_tokens, found.knowledge.facts))
    exposures = exposures_of(tokens)
    project = Project(
        text=_TEXT if text is None else Path(os.path.relpath(text, folder)).as_posix(),
        infused_tokens=tokens * exposures,
        every=EVERY,
    )
    files = {
        "kis.yaml": configuration(
            found.path, found.columns, len(found.knowledge.facts), exposures, project.infused_tokens, project.every
        ),
        "templates.yaml": template_file(found.knowledge),
        **({found.path: found.content} if found.content else {}),
        **({} if text is not None else {_TEXT: sample_text(_CHARACTERS)}),
        **starter.files(project),
    }
    _write(folder, files)
    return NewProject(
        folder=str(folder),
        files=tuple(sorted(files)),
        facts=len(found.knowledge.facts),
        relations=len(found.knowledge.relations),
        columns=found.columns,
        command=starter.command(project),
    )


def _tokens(fact: Fact) -> int:
    """Return about how many tokens a sentence about a fact has."""
    return round((_SENTENCE_CHARACTERS + len(fact.subject) + len(fact.object)) / _TOKEN_CHARACTERS)


def _write(folder: Path, files: Mapping[str, str]) -> None:
    there = [name for name in files if os.path.lexists(folder / name)]
    if there:
        hint = "Nothing was written. Choose another folder, or move them away."
        raise KISError([Problem(str(folder / name), "a file that is there already", "none", hint) for name in there])
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(folder / name, content, overwrite=False)
            written.append(folder / name)
    except BaseException as error:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise KISError(Problem(str(folder), str(error.strerror or error), "a folder that can be made")) from error
        raise
