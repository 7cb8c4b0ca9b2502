"""The facts of a new project: a file of the user's, or one to fill in."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.facts import Fact, Knowledge
from kis_plugin.knowledge.sources.read import read_knowledge
from kis_plugin.knowledge.sources.record_files import first_record
from kis_plugin.synthetic.domains import read_domain
from kis_plugin.synthetic.names import invented_names

__all__ = ["SAMPLE", "ProjectFacts", "mapped_columns", "sample_facts", "users_facts"]

SAMPLE = "facts.csv"
"""The facts file of a project that is made without one."""
_PEOPLE, _OBJECTS = 40, 8
_RELATIONS = ("birthplace",)
_NAMES: dict[str, tuple[str, ...]] = {
    "subject": ("subject", "sub_label", "subjectlabel", "head", "entity", "item", "subj", "name", "source"),
    "relation": ("relation", "predicate", "property", "rel", "attribute", "relation_name"),
    "object": ("object", "obj_label", "objectlabel", "tail", "value", "obj", "answer", "target"),
}
"""Names of columns that are taken for a part of a fact, the likeliest first."""
PARTS = tuple(_NAMES)


@dataclass(frozen=True)
class ProjectFacts:
    """The facts of a project.

    Attributes:
        path: As ``knowledge`` in kis.yaml names them, from the project's folder.
        knowledge: The facts themselves.
        columns: The columns of a table, where they are not named as KIS names them.
        content: The file to write; empty where the user brought one.
    """

    path: str
    knowledge: Knowledge
    columns: Mapping[str, str] = field(default_factory=dict)
    content: str = ""


def sample_facts() -> ProjectFacts:
    """Return a table of invented facts that shows the form, to be replaced: one about each of 40 people."""
    domain = read_domain("people")
    attributes = [attribute for attribute in domain.attributes if attribute.relation in _RELATIONS]
    assigned = [attribute.assigned(_PEOPLE, 0, number) % _OBJECTS for number, attribute in enumerate(attributes)]
    facts = [
        Fact(name, attribute.relation, attribute.objects[one[number]], f"{attribute.relation}:{number}")
        for number, name in enumerate(invented_names(_PEOPLE, domain.between, 0))
        for attribute, one in zip(attributes, assigned, strict=True)
    ]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(PARTS)
    writer.writerows((fact.subject, fact.relation, fact.object) for fact in facts)
    return ProjectFacts(SAMPLE, Knowledge(facts=tuple(facts)), content=table.getvalue())


def users_facts(path: Path, folder: Path, given: Mapping[str, str]) -> ProjectFacts:
    """Read a user's facts, with the columns of a table mapped.

    Args:
        path: A file or folder of facts, as kis.yaml takes it.
        folder: The project's folder.
        given: Columns by part, as the user named them.

    Raises:
        KISError: Everything wrong with the facts; columns that cannot be mapped; documents instead of facts.
    """
    columns = mapped_columns(path, given)
    knowledge = read_knowledge(path, columns)
    if not knowledge.facts:
        hint = "Documents need no templates: write knowledge: PATH into a kis.yaml, and see docs/how-to/documents.md."
        raise KISError(Problem(f"--facts {path}", "documents", "facts", hint))
    return ProjectFacts(Path(os.path.relpath(path, folder)).as_posix(), knowledge, columns)


def mapped_columns(path: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of a table by part; empty where KIS knows them by their names.

    Raises:
        KISError: A part has no column, or a column that was named does not exist.
    """
    record = first_record(path) if path.is_file() else None
    if record is None:
        if given:
            found = f"{path}, which is no table"
            raise KISError(Problem(f"--{next(iter(given))}", found, "a table with named columns"))
        return {}
    names = {column.lower(): column for column in record}
    own = [part for part in PARTS if any(name in names for name in (part, f"{part}label", f"{part[:3]}_label"))]
    if not given and (len(own) == len(PARTS) or "text" in names):
        return {}
    listed = ", ".join(record)
    problems, columns = [], {}
    for part in PARTS:
        column = given.get(part) or next((names[name] for name in _NAMES[part] if name in names), None)
        if column is None:
            hint = f"Name it: --{part} COLUMN."
            problems.append(Problem(f"--facts {path}", f"the columns {listed}", f"one that holds the {part}", hint))
        elif column not in record:
            problems.append(Problem(f"--{part}", repr(column), f"one of the columns of {path}: {listed}"))
        else:
            columns[part] = column
    if problems:
        raise KISError(problems)
    return columns
