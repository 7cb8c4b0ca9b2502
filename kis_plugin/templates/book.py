"""Templates by relation, in layers: the user's file, those of the knowledge, the built-in set."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.facts import Templates
from kis_plugin.knowledge.template_rules import RELATION, normal
from kis_plugin.templates.file import GENERIC
from kis_plugin.templates.relation_names import PREDICATE_TEMPLATES, Reading, reading_of

__all__ = ["Layer", "TemplateBook", "in_words"]

_PREDICATE = f"{{subject}} {RELATION}"


@dataclass(frozen=True)
class Layer:
    """Templates from one origin.

    Attributes:
        origin: Its name.
        templates: By relation.
        labels: Relations in words.
        domains: Subject areas by relation.
        nouns: Nouns for objects by relation.
        reads_names: Whether its generic templates take a noun, and names that read as predicates get others.
    """

    origin: str
    templates: Mapping[str, Templates]
    labels: Mapping[str, str] = field(default_factory=dict)
    domains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    nouns: Mapping[str, str] = field(default_factory=dict)
    reads_names: bool = False


class TemplateBook:
    """Templates by relation. An earlier layer takes precedence over a later one.

    A relation that no layer lists gets the generic templates (``*``) of the first layer with any, in which the label
    of the relation, or its name in words, replaces ``{relation}``. The built-in ones are chosen by how that reads: "The
    capital of Italy is Rome." for ``capital`` and ``has capital``, "Rome is the capital of Italy." for ``capital of``.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = tuple(layers)

    def of(self, relation: str) -> Templates:
        """Return the templates of a relation, ``{relation}`` filled in.

        Reversed sentences may come from a later layer than the statements, and never repeat one of them.

        Raises:
            KISError: The relation has no templates of its own, and braces in its name.
        """
        layer, key = self._find(relation)
        reading = self._reading(relation)
        found, label = layer.templates[key], reading.words if layer.reads_names else self.label(relation)
        wordless = "{" in label or "}" in label
        if key == GENERIC:
            if wordless:
                raise KISError(
                    Problem(f"relation {relation!r}", "braces in its name", "a name without", "Give it a label.")
                )
            if layer.reads_names and reading.predicate:
                found = PREDICATE_TEMPLATES
            parts = (found.statements, found.questions)
            found = Templates(*(tuple(text.replace(RELATION, label) for text in part) for part in parts))
        back = self._reversed(relation, reading, "" if wordless else label)
        known = {normal(text) for text in (*found.statements, *found.questions)}
        return replace(found, reversed=tuple(text for text in back if normal(text) not in known))

    def origin(self, relation: str) -> str:
        """Return the origin of a relation's templates: a file, a template set, ``knowledge`` or ``built_in``."""
        layer, key = self._find(relation)
        return f"{layer.origin}, generic" if key == GENERIC else layer.origin

    def label(self, relation: str) -> str:
        """Return the relation in words."""
        return next((layer.labels[relation] for layer in self._layers if relation in layer.labels), in_words(relation))

    def misread(self, relation: str) -> bool:
        """Return whether a relation has generic templates in which its name is not to be expected to read well."""
        layer, key = self._find(relation)
        if key != GENERIC:
            return False
        reading = self._reading(relation)
        noun = not reading.predicate and reading.words == self.label(relation)
        # Generic templates of a user's own take one kind of name, nouns unless they have it behind the subject.
        fits = layer.reads_names or noun or any(_PREDICATE in text for text in layer.templates[key].statements)
        return not (reading.sure and fits)

    def noun(self, relation: str) -> str:
        """Return a noun phrase for what the object is to the subject: the noun if given, otherwise of the label."""
        for layer in self._layers:
            if relation in layer.nouns:
                return layer.nouns[relation]
            if relation in layer.labels:
                break
        reading = self._reading(relation)
        return self.label(relation) if reading.predicate else reading.words

    def domains_of(self, relation: str) -> tuple[str, ...]:
        """Return the domains of a relation from the first layer that lists any; empty if none does."""
        return next((layer.domains[relation] for layer in self._layers if relation in layer.domains), ())

    def fingerprint(self, relations: Iterable[str]) -> str:
        """Return a SHA-256 over the templates of some relations, in hexadecimal, independent of the order of relations.

        It covers statements and questions. Reversed sentences are only used by probes, so a run may resume with others.
        """
        used = {relation: self.of(relation) for relation in sorted(set(relations))}
        plain = {relation: [found.statements, found.questions] for relation, found in used.items()}
        return hashlib.sha256(json.dumps(plain, ensure_ascii=True, sort_keys=True).encode()).hexdigest()

    def _reading(self, relation: str) -> Reading:
        return reading_of(self.label(relation))

    def _reversed(self, relation: str, reading: Reading, label: str) -> tuple[str, ...]:
        """Return reversed sentences of the first layer with any, otherwise generic ones if there is a label."""
        for key in (relation, GENERIC) if label else (relation,):
            for layer in self._layers:
                if key in layer.templates and layer.templates[key].reversed:
                    generic = key == GENERIC and layer.reads_names
                    words = reading.words if generic else label
                    found = PREDICATE_TEMPLATES if generic and reading.predicate else layer.templates[key]
                    return tuple(text.replace(RELATION, words) for text in found.reversed)
        return ()

    def _find(self, relation: str) -> tuple[Layer, str]:
        for key in (relation, GENERIC):
            for layer in self._layers:
                if key in layer.templates:
                    return layer, key
        raise KISError(
            Problem(f"relation {relation!r}", "no templates", "statements for it, or generic ones under '*'")
        )


def in_words(relation: str) -> str:
    """Return a name as words: ``birth_place`` and ``birthPlace`` both as ``birth place``."""
    chunked = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", relation)
    words = re.sub(r"[_\-\s]+", " ", chunked).strip()
    return (
        words if chunked == relation else " ".join(word.lower() if word.istitle() else word for word in words.split())
    )
