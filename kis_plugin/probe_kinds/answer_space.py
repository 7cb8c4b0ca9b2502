"""Every fact against all objects of its relation, by every template, as BEAR asks: figures beside LM Pub Quiz's.

Wiland, Ploner, Akbik 2024, arXiv 2404.04113: the model's answer is the option that makes the whole statement likeliest.
There is no balance here: preferring frequent objects lifts accuracy, and how far depends on the relation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kis_plugin.knowledge.facts import Fact
from kis_plugin.retention.probes import Question, QuestionMaker
from kis_plugin.tokenized.tokenizer import render

__all__ = ["MOST", "AnswerSpaceProbe"]

MOST = 1000
"""Relations with more answers than this are not asked: each fact takes a pass over all of them."""


@dataclass(frozen=True)
class _Known:
    """What is true, names in lower case.

    Attributes:
        spaces: The answers of each relation by their names in lower case, in order.
        true: The objects of each relation and subject that is asked about.
    """

    spaces: Mapping[str, dict[str, str]]
    true: Mapping[tuple[str, str], set[str]]


@dataclass
class AnswerSpaceProbe:
    """Asks by each statement of the relation in a series of its own: ``answer_space/0``, ``/1`` and so on.

    Statement 0 is one that infusion trains on and the last one is not, so they are never one series.
    """

    name: str = "answer_space"
    balanced: bool = False
    """It asks all facts that may be asked, whether or not they form balanced sets."""

    def questions(self, maker: QuestionMaker) -> list[Question]:
        """Return a question for each fact and statement."""
        asked = [(index, maker.facts[index]) for index in maker.among.tolist()]
        known = _known([fact for _, fact in asked], maker)
        wide = {relation: len(space) for relation, space in known.spaces.items() if len(space) > MOST}
        if wide:
            some = ", ".join(list(wide)[:5])
            maker.notes.append(
                f"warning: {self.name}: relations with more than {MOST:,} answers are not asked ({some})"
            )
        return [
            question
            for index, fact in asked
            if fact.relation not in wide
            for question in self._about(index, fact, known, maker.templates_of(fact.relation).statements)
        ]

    def _about(self, index: int, fact: Fact, known: _Known, statements: Sequence[str]) -> Iterator[Question]:
        options = _options(fact, known)
        for number, statement in enumerate(statements):
            head, _ = statement.split("{object}")
            prefix = head.replace("{subject}", fact.subject)
            texts = [render(statement, fact, option)[len(prefix) :] for option in options]
            if prefix:
                prefix = _capital(prefix)
            else:
                texts = [_capital(text) for text in texts]
            yield Question(
                fact=index,
                prefix=prefix,
                options=tuple(texts),
                answer=options.index(fact.object),
                series=f"{self.name}/{number}",
                relation=fact.relation,
                mates=(index,),
            )


def _options(fact: Fact, known: _Known) -> list[str]:
    """Return the relation's answers without what else is true of the fact's subject."""
    mine = fact.object.casefold()
    true = known.true[fact.relation, fact.subject.casefold()]
    space = known.spaces[fact.relation].items()
    return [fact.object if name == mine else answer for name, answer in space if name == mine or name not in true]


def _known(asked: Sequence[Fact], maker: QuestionMaker) -> _Known:
    """Gather answers and truths: a source's own answers first, then all other objects as they come."""
    spaces = {fact.relation: _by_name(maker.answer_spaces.get(fact.relation, ())) for fact in asked}
    true: dict[tuple[str, str], set[str]] = {(fact.relation, fact.subject.casefold()): set() for fact in asked}
    for fact in maker.facts:
        if (space := spaces.get(fact.relation)) is None:
            continue
        name = fact.object.casefold()
        if len(space) <= MOST:
            space.setdefault(name, fact.object)
        if (objects := true.get((fact.relation, fact.subject.casefold()))) is not None:
            objects.add(name)
    return _Known(spaces, true)


def _by_name(answers: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for answer in answers:
        found.setdefault(answer.casefold(), answer)
    return found


def _capital(text: str) -> str:
    """Begin a sentence with a capital letter, as LM Pub Quiz does."""
    return text[:1].upper() + text[1:]
