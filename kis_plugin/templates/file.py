"""Reads templates from a YAML file: those that come with KIS, or a user's own.

Each key is a relation; ``*`` stands for relations that are not listed::

    P36:
      label: capital
      domain: Place
      statements: ["The capital of {subject} is {object}.", "{subject} is governed from {object}."]
      questions: ["Which city is the capital of {subject}? {object}"]
      reversed: ["{object} is the capital of {subject}."]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kis_plugin.errors import KISError, Problem, nearest
from kis_plugin.knowledge.facts import Templates
from kis_plugin.knowledge.template_rules import RELATION, problems_of
from kis_plugin.storage.text_rules import ONE_LINE, is_one_line
from kis_plugin.storage.yaml_nodes import Node, read_yaml

__all__ = ["GENERIC", "TemplateFile", "read_template_file"]

GENERIC = "*"
KEYS = ("label", "noun", "domain", "statements", "questions", "reversed")
_SENTENCES = ("statements", "questions", "reversed")


@dataclass(frozen=True)
class TemplateFile:
    """The content of a file.

    Attributes:
        templates: Templates by relation, without relations that only have a label or a domain.
        labels: The relation in words, which replaces ``{relation}``.
        domains: Subject areas of the relation.
        nouns: A noun for the object where the label is not one: "time zone" for "located in time zone".
    """

    templates: Mapping[str, Templates]
    labels: Mapping[str, str]
    domains: Mapping[str, tuple[str, ...]]
    nouns: Mapping[str, str]


def read_template_file(path: Path) -> TemplateFile:
    """Read a file of templates.

    Raises:
        KISError: Everything wrong with it, each with its line.
    """
    root = read_yaml(path, "a file of templates")
    if not isinstance(root.value, dict) or not root.value:
        raise KISError(Problem(root.where, "no relations", "a mapping from relations to their templates"))
    problems: list[Problem] = []
    templates: dict[str, Templates] = {}
    labels: dict[str, str] = {}
    nouns: dict[str, str] = {}
    domains: dict[str, tuple[str, ...]] = {}
    for relation, node in root.value.items():
        where = f"{node.key_where} {relation}"
        if not isinstance(node.value, dict) or not {"label", "noun", "domain", "statements"} & node.value.keys():
            keys = list(node.value) if isinstance(node.value, dict) else []
            found = f"only the keys {', '.join(map(repr, keys[:8]))}" if keys else "no statements"
            problems.append(Problem(where, found, f"a mapping with {', '.join(KEYS)}"))
            continue
        for key, child in node.value.items():
            if key not in KEYS:
                hint = nearest(key, KEYS)
                problems.append(Problem(f"{child.key_where} {relation}.{key}", "an unknown key", "a known one", hint))
        for key, words in (("label", labels), ("noun", nouns)):
            phrase = node.value.get(key)
            if phrase is not None and _is_text(phrase, f"{relation}.{key}", problems):
                words[relation] = phrase.value.strip()
                if "{" in phrase.value or "}" in phrase.value:
                    problems.append(
                        Problem(f"{phrase.where} {relation}.{key}", repr(phrase.value), "words without braces")
                    )
        if "domain" in node.value:
            domains[relation] = _domains(node.value["domain"], f"{relation}.domain", problems)
        if set(_SENTENCES) & node.value.keys():
            templates[relation] = _templates(relation, node.value, where, problems)
    if problems:
        raise KISError(problems)
    return TemplateFile(templates, labels, domains, nouns)


def _templates(relation: str, entry: Mapping[str, Node], where: str, problems: list[Problem]) -> Templates:
    before = len(problems)
    nodes = [_texts(entry.get(key), f"{relation}.{key}", problems) for key in _SENTENCES]
    found = Templates(*(tuple(node.value.strip() for node in listed) for listed in nodes))
    if len(problems) == before:
        places = [f"{node.where} {relation}" for listed in nodes for node in listed]
        problems += problems_of(found, where, places, generic=relation == GENERIC)
    return found


def _domains(node: Node, key: str, problems: list[Problem]) -> tuple[str, ...]:
    """Return one or several distinct domains."""
    nodes = node.value if isinstance(node.value, list) else [node]
    return tuple(dict.fromkeys(item.value.strip() for item in nodes if _is_text(item, key, problems)))


def _texts(node: Node | None, key: str, problems: list[Problem]) -> list[Node]:
    if node is None:
        return []
    if not isinstance(node.value, list):
        problems.append(Problem(f"{node.where} {key}", repr(node.plain())[:60], "a list of templates"))
        return []
    return [item for item in node.value if _is_text(item, key, problems)]


def _is_text(node: Node, key: str, problems: list[Problem]) -> bool:
    if isinstance(node.value, str) and node.value.strip() and is_one_line(node.value.strip()):
        return True
    hint = f"Put the template in quotes: a bare {RELATION} or a colon means something else in YAML."
    hint = hint if isinstance(node.value, dict) else ""
    problems.append(Problem(f"{node.where} {key}", repr(node.plain())[:60], ONE_LINE, hint))
    return False
