"""Loads the templates that a configuration selects."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.facts import Knowledge, Templates
from kis_plugin.knowledge.template_rules import problems_of
from kis_plugin.registry import find
from kis_plugin.templates.book import Layer, TemplateBook
from kis_plugin.templates.file import GENERIC, TemplateFile, read_template_file
from kis_plugin.templates.protocols import TemplateSet

__all__ = ["BuiltInTemplates", "load_templates"]


class BuiltInTemplates:
    """Templates for common Wikidata properties, and generic ones for all other relations."""

    name = "built_in"

    def templates(self) -> Mapping[str, Templates]:
        """Return the templates by property."""
        return _built_in().templates


def load_templates(selection: str | None, knowledge: Knowledge, where: str = "templates") -> TemplateBook:
    """Collect the templates for some knowledge.

    Args:
        selection: ``templates`` of the configuration: a ``.yaml`` file, the name of a template set, or None.
        knowledge: The facts, with the templates that came with them.
        where: Name of the selection in errors.

    Raises:
        KISError: The file or set does not exist, or templates are wrong; all problems at once.
    """
    layers = [_selected(selection, where)] if selection is not None else []
    if knowledge.templates or knowledge.domains:
        layers.append(_checked(Layer("knowledge", knowledge.templates, domains=knowledge.domains)))
    built_in = _built_in()
    layers.append(_layer(BuiltInTemplates.name, built_in))
    book = TemplateBook(layers)
    problems: list[Problem] = []
    for relation in knowledge.relations:
        try:
            book.of(relation)
        except KISError as error:
            problems += error.problems
    if problems:
        raise KISError(problems)
    return book


def _selected(selection: str, where: str) -> Layer:
    if selection.endswith((".yaml", ".yml")):
        read = read_template_file(Path(selection))
        return _layer(selection, read)
    chosen: TemplateSet = find("templates", selection, where)
    if isinstance(chosen, BuiltInTemplates):
        return _layer(f"template set {chosen.name}", _built_in())
    return _checked(Layer(f"template set {chosen.name}", chosen.templates()))


@cache
def _built_in() -> TemplateFile:
    with resources.as_file(resources.files("kis_plugin") / "data" / "templates.yaml") as path:
        return read_template_file(path)


def _layer(origin: str, read: TemplateFile) -> Layer:
    return Layer(origin, read.templates, read.labels, read.domains, read.nouns, read is _built_in())


def _checked(layer: Layer) -> Layer:
    problems: list[Problem] = []
    for relation, found in layer.templates.items():
        problems += problems_of(found, f"{layer.origin} {relation}", generic=relation == GENERIC)
    if problems:
        raise KISError(problems)
    return layer
