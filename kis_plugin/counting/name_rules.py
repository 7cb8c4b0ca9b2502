"""How names are compared with text: as written, or as From Data to Knowledge compares them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.facts import Fact

__all__ = ["AS_WRITTEN", "NAME_RULES", "NameRules", "lowered", "read_aliases"]


@dataclass(frozen=True)
class NameRules:
    """How names are compared.

    Attributes:
        name: Of these rules, as the option ``--names`` calls them.
        subject_folded: Characters from which the case of a subject is ignored; None for never.
        object_folded: Characters from which the case of an object is ignored; None for never.
        aliases: Other names of an entity, by its name or its id.
    """

    name: str
    subject_folded: int | None = None
    object_folded: int | None = None
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def folds(self) -> bool:
        """Whether any name is compared without case."""
        return self.subject_folded is not None

    def of_subject(self, fact: Fact) -> Iterator[tuple[str, bool]]:
        """Yield the names of a fact's subject, and whether each is compared without case."""
        return self._folded((fact.subject, *self._others(fact.subject, fact, 1)), self.subject_folded)

    def of_object(self, fact: Fact) -> Iterator[tuple[str, bool]]:
        """Yield the names of a fact's object, its aliases among them, and whether each is compared without case."""
        aliases: tuple[str, ...] = getattr(fact, "aliases", ())
        return self._folded((fact.object, *aliases, *self._others(fact.object, fact, 2)), self.object_folded)

    def _others(self, name: str, fact: Fact, place: int) -> tuple[str, ...]:
        # Facts of BEAR are called P19:Q42:Q84, by relation and entities.
        parts = fact.id.split(":")
        number = parts[place] if len(parts) == 3 and parts[0] == fact.relation else ""
        return (*self.aliases.get(name, ()), *self.aliases.get(number, ()))

    @staticmethod
    def _folded(names: Sequence[str], since: int | None) -> Iterator[tuple[str, bool]]:
        return ((name, since is not None and len(name) >= since) for name in names)


AS_WRITTEN = NameRules("as-written")
"""Case counts, and a name ends where a word does."""
NAME_RULES: Mapping[str, NameRules] = {
    rules.name: rules
    for rules in (
        AS_WRITTEN,
        # FactMatcherSimple of the paper's code: subjects of 4 characters and more, objects of 5 and more.
        NameRules("from-data-to-knowledge", subject_folded=4, object_folded=5),
    )
}
"""By name. The second are those of Christoph et al. 2025 (arXiv 2506.16912): no letter, digit or underscore stands
beside a name."""


def lowered(text: str) -> str:
    """Return text in lower case, of the same length: a letter that would become two stays."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in text)


def read_aliases(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Read other names of entities: a JSON object from names or ids to lists, or to objects with ``aliases``.

    Raises:
        KISError: The file cannot be read, or holds something else.
    """
    where, expected = f"--aliases {path}", "an object from names or ids to lists of other names"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KISError(Problem(where, str(error.strerror or error), "a file that can be read")) from error
    except (ValueError, RecursionError) as error:
        raise KISError(Problem(where, f"no JSON ({error})", expected)) from error
    if not isinstance(found, dict):
        raise KISError(Problem(where, f"a {type(found).__name__}", expected))
    aliases: dict[str, tuple[str, ...]] = {}
    for key, value in found.items():
        names: Any = value.get("aliases") if isinstance(value, dict) else value
        if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
            raise KISError(Problem(f"{where} {key!r}", repr(names)[:60], "a list of names"))
        aliases[key] = tuple(names)
    return aliases
