"""Rules for templates: placeholders, and no held-out template that repeats a trained one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from kis_plugin.errors import Problem
from kis_plugin.knowledge.facts import Templates
from kis_plugin.storage.text_rules import ONE_LINE, is_one_line

__all__ = ["distinct", "normal", "problems_of"]

PLACES = ("{subject}", "{object}")
RELATION = "{relation}"


def normal(template: str) -> str:
    """Return a template without case, punctuation and surplus white space; two templates must differ in the rest."""
    text = unicodedata.normalize("NFKC", template).casefold()
    return " ".join(re.sub(r"[^\w\s{}]|_", " ", text).split())


def distinct(templates: Iterable[str]) -> tuple[str, ...]:
    """Return the templates, stripped and in order, without repetitions."""
    first: dict[str, str] = {}
    for template in templates:
        first.setdefault(normal(template), template.strip())
    return tuple(first.values())


def problems_of(
    templates: Templates, where: str, places: Sequence[str] | None = None, generic: bool = False
) -> list[Problem]:
    """Return everything wrong with the templates of one relation.

    Args:
        templates: The templates to check.
        where: Their name in errors about all of them.
        places: The name of each in errors, statements first, then questions, then reversed sentences; by default
            ``where`` and its number.
        generic: Whether they may use ``{relation}``, as those under ``*`` do.
    """
    problems = []
    parts = {"statements": templates.statements, "questions": templates.questions, "reversed": templates.reversed}
    texts = [text for part in parts.values() for text in part]
    names = [f"{kind}[{n}]" for kind, part in parts.items() for n in range(len(part))]
    kinds = [kind for kind, part in parts.items() for _ in part]
    spots = [f"{where} {name}" for name in names] if places is None else places
    if len(templates.statements) < 2:
        found = f"{len(templates.statements)} statement{'' if len(templates.statements) == 1 else 's'}"
        problems.append(Problem(where, found, "two or more", "The first half is trained on, the rest held out."))
    first: dict[str, int] = {}
    for number, (text, spot) in enumerate(zip(texts, spots, strict=True)):
        problems += _problems_of_one(text, spot, generic, kinds[number])
        other = first.setdefault(normal(text), number)
        if other != number:  # compared by number, since several may be on one line
            hint = "Case and punctuation do not count: held-out templates must be new to the model."
            where_other = names[other] if spots[other] == spot else f"at {spots[other]}"
            problems.append(Problem(spot, f"{text!r} again", f"another sentence than {where_other}", hint))
    return problems


def _problems_of_one(text: str, where: str, generic: bool, kind: str) -> list[Problem]:
    problems = []
    whole = all(text.count(place) == 1 for place in PLACES)
    for place in PLACES:
        if text.count(place) != 1:
            problems.append(Problem(where, f"{place} {text.count(place)} times in {text!r}", "it exactly once"))
    rest = text.replace("{subject}", "").replace("{object}", "")
    if generic:
        rest = rest.replace(RELATION, "")
    if "{" in rest or "}" in rest:
        only = "Only templates under '*' may use {relation}." if RELATION in rest else ""
        allowed = ", ".join((*PLACES, RELATION) if generic else PLACES)
        problems.append(Problem(where, f"other braces in {text!r}", f"no braces but {allowed}", only))
    if not is_one_line(text):
        problems.append(Problem(where, repr(text), ONE_LINE))
    if kind == "questions" and text.count("{object}") == 1 and not text.endswith("{object}"):
        problems.append(Problem(where, repr(text), "a question with its answer {object} at the end"))
    if kind == "reversed" and whole and text.index("{object}") > text.index("{subject}"):
        problems.append(Problem(where, repr(text), "a sentence with {object} before {subject}"))
    return problems
