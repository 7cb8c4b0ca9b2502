"""Facts and templates from a folder laid out like the BEAR probe (Wiland, Ploner, Akbik 2024, arXiv 2404.04113)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kis_plugin.errors import nearest
from kis_plugin.escapes import escaped
from kis_plugin.knowledge.facts import Fact, Knowledge, Templates
from kis_plugin.knowledge.sources.fact_records import FACT_RULES, FactRecords
from kis_plugin.knowledge.sources.text_files import Problems, json_value, lines, quoted, records
from kis_plugin.knowledge.sources.unique_entries import yield_unique
from kis_plugin.knowledge.template_rules import distinct, problems_of
from kis_plugin.storage.text_rules import is_one_line

__all__ = ["BearSource"]

METADATA = "metadata_relations.json"
DOMAINS = "relation_info.json"  # beside the published folders


class BearSource:
    """A folder with metadata_relations.json (templates with [X] and [Y]) and one <relation>.jsonl a relation."""

    name = "bear"

    def claims(self, path: Path) -> bool:
        """Return whether this is a folder with the metadata file."""
        return (path / METADATA).is_file()

    def read(self, path: Path) -> Knowledge:
        """Read facts and templates of all relations. Relations without a file have no facts.

        Warns:
            UserWarning: Entities without a label (the published BEAR-big has one) are left out.

        Raises:
            KISError: Everything wrong with the folder, each with file and line.
        """
        templates: dict[str, Templates] = {}
        domains: dict[str, tuple[str, ...]] = {}
        spaces: dict[str, tuple[str, ...]] = {}
        facts = yield_unique(
            lambda problems: _all_facts(path, templates, domains, spaces, problems),
            FACT_RULES,
            Problems(path),
            lambda place: (f"{place[0]}:{place[1]}", f"in line {place[1]}"),
            ("no facts", "a file <relation>.jsonl with facts"),
        )
        return Knowledge(facts=tuple(facts), templates=templates, domains=domains, answer_spaces=spaces)


def _all_facts(
    path: Path,
    templates: dict[str, Templates],
    domains: dict[str, tuple[str, ...]],
    spaces: dict[str, tuple[str, ...]],
    problems: Problems,
) -> Iterator[tuple[tuple[Path, int], Fact]]:
    """Yield the facts of all relations with file and line, and fill the mappings by relation."""
    metadata = _json_object(path / METADATA, problems)
    templates |= {relation: _templates(path, relation, entry, problems) for relation, entry in metadata.items()}
    domains |= _domains(path, problems)
    for relation, entry in metadata.items():
        if answers := _answers(path, relation, entry, problems):
            spaces[relation] = answers
    for file in sorted(path.glob("*.jsonl")):
        if file.stem in templates:
            yield from _facts(file, problems)
        elif metadata:
            problems.add(str(file), "facts of an unknown relation", f"one in {METADATA}", nearest(file.stem, metadata))


def _domains(folder: Path, problems: Problems) -> dict[str, tuple[str, ...]]:
    """Return the domains of relations from the file in or beside the folder; empty if there is none."""
    path = next((place / DOMAINS for place in (folder, folder.resolve().parent) if (place / DOMAINS).is_file()), None)
    domains = {}
    for relation, entry in (_json_object(path, problems) if path else {}).items():
        listed = entry.get("domains", []) if isinstance(entry, dict) else None
        if isinstance(listed, list) and all(isinstance(name, str) and name.strip() for name in listed):
            domains[relation] = tuple(dict.fromkeys(name.strip() for name in listed))
        else:
            problems.add(f"{path} {relation}", quoted(listed), '"domains", a list of names')
    return domains


def _json_object(path: Path, problems: Problems) -> dict[str, Any]:
    before = len(problems)
    text = "".join(line for _, line in lines(path, problems))
    if len(problems) > before:
        return {}
    metadata = json_value(text, str(path), problems, expected="a JSON object")
    if len(problems) > before:
        return {}
    if not isinstance(metadata, dict) or not metadata:
        problems.add(str(path), quoted(metadata), "a JSON object of relations")
        return {}
    return metadata


def _templates(folder: Path, relation: str, entry: Any, problems: Problems) -> Templates:
    where = f"{folder / METADATA} {relation}"
    listed = entry.get("templates") if isinstance(entry, dict) else None
    if not isinstance(listed, list) or not all(isinstance(template, str) for template in listed):
        problems.add(where, quoted(listed), '"templates", a list of text')
        return Templates(())
    if any("{" in template or "}" in template for template in listed):
        problems.add(where, "a template with braces", "[X] and [Y] as its only places")
        return Templates(())
    # BEAR repeats some templates (P101, P103): a held-out copy of a trained template would measure nothing.
    found = Templates(distinct(text.replace("[X]", "{subject}").replace("[Y]", "{object}") for text in listed))
    for problem in problems_of(found, where):
        problems.add(problem.where, problem.found, problem.expected, "Here [X] stands for {subject}, [Y] for {object}.")
    return found


def _answers(folder: Path, relation: str, entry: Any, problems: Problems) -> tuple[str, ...]:
    """Return the relation's closed answer space, in file order; empty if there is none."""
    listed = entry.get("answer_space_labels") if isinstance(entry, dict) else None
    if listed is None:
        return ()
    if not isinstance(listed, list) or not all(isinstance(answer, str) and is_one_line(answer) for answer in listed):
        where = f"{folder / METADATA} {relation}"
        problems.add(where, quoted(listed), '"answer_space_labels", a list of text, each in one line')
        return ()
    return tuple(dict.fromkeys(answer.strip() for answer in listed if answer.strip()))


def _facts(file: Path, problems: Problems) -> Iterator[tuple[tuple[Path, int], Fact]]:
    relation = file.stem
    read = FactRecords(file, problems).facts
    nameless = []
    for line, record in records(file, problems):
        subject, obj = record.get("sub_id"), record.get("obj_id")
        if "" in (record.get("sub_label"), record.get("obj_label")) and subject and obj:
            nameless.append(line)
            continue
        name = f"{relation}:{subject}:{obj}" if subject and obj else f"{relation}:{line}"
        for fact in read(line, {**record, "relation": relation, "id": name}):
            yield (file, line), fact
    if nameless:
        shown = ", ".join(map(str, nameless[:5])) + (", ..." if len(nameless) > 5 else "")
        plural = "facts" if len(nameless) > 1 else "fact"
        left_out = f"{file}:{shown}: left out {len(nameless)} {plural} about entities without a label"
        warnings.warn(escaped(left_out), stacklevel=2)
