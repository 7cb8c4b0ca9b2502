"""The BEAR probe: every fact against all objects of its relation, in every template; comparable with LM Pub Quiz.

Wiland, Ploner, Akbik 2024, arXiv 2404.04113: the model's answer is the option that makes the whole statement likeliest.
The options are not balanced: preferring frequent objects raises accuracy, by an amount that depends on the relation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kis_plugin.knowledge.facts import Fact
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.storage.unicode_forms import folded
from kis_plugin.tokenized.tokenizer import render

__all__ = ["MAX_ANSWERS", "AnswerSpaceProbe"]

MAX_ANSWERS = 1000
"""Relations with more answers than this are not probed: each fact takes a pass over all of them."""


@dataclass(frozen=True)
class _Truth:
    """What is true, names in lower case.

    Attributes:
        spaces: The answers of each relation by their names in lower case, in order.
        true: The objects of each relation and subject among the probed facts.
    """

    spaces: Mapping[str, dict[str, str]]
    true: Mapping[tuple[str, str], set[str]]


@dataclass
class AnswerSpaceProbe:
    """Probes with each statement of the relation, in a series of its own: ``answer_space/0``, ``/1`` and so on.

    Statement 0 is one that infusion trains on and the last one is not, so they are never one series.
    """

    name: str = "answer_space"
    balanced: bool = False
    """It probes all candidates, whether or not they form balanced sets."""

    def questions(self, maker: QuestionMaker) -> list[Question]:
        """Return a question for each fact and statement."""
        facts = [(index, maker.facts[index]) for index in maker.candidates.tolist()]
        truth = _truth([fact for _, fact in facts], maker)
        wide = {relation: len(space) for relation, space in truth.spaces.items() if len(space) > MAX_ANSWERS}
        if wide:
            some = ", ".join(list(wide)[:5])
            maker.notes.append(
                f"warning: {self.name}: relations with more than {MAX_ANSWERS:,} answers are not probed ({some})"
            )
        return [
            question
            for index, fact in facts
            if fact.relation not in wide
            for question in self._about(index, fact, truth, maker.templates_of(fact.relation).statements)
        ]

    def _about(self, index: int, fact: Fact, truth: _Truth, statements: Sequence[str]) -> Iterator[Question]:
        options = _options(fact, truth)
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
                option_set=(index,),
            )


def _options(fact: Fact, truth: _Truth) -> list[str]:
    """Return the relation's answers without what else is true of the fact's subject."""
    mine = folded(fact.object)
    true = truth.true[fact.relation, folded(fact.subject)]
    space = truth.spaces[fact.relation].items()
    return [fact.object if name == mine else answer for name, answer in space if name == mine or name not in true]


def _truth(probed: Sequence[Fact], maker: QuestionMaker) -> _Truth:
    """Collect answers and truths: a source's own answers first, then all other objects in the order of facts."""
    spaces = {fact.relation: _by_name(maker.answer_spaces.get(fact.relation, ())) for fact in probed}
    true: dict[tuple[str, str], set[str]] = {(fact.relation, folded(fact.subject)): set() for fact in probed}
    for fact in maker.facts:
        if (space := spaces.get(fact.relation)) is None:
            continue
        name = folded(fact.object)
        if len(space) <= MAX_ANSWERS:
            space.setdefault(name, fact.object)
        if (objects := true.get((fact.relation, folded(fact.subject)))) is not None:
            objects.add(name)
    return _Truth(spaces, true)


def _by_name(answers: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for answer in answers:
        found.setdefault(folded(answer), answer)
    return found


def _capital(text: str) -> str:
    """Begin a sentence with a capital letter, as LM Pub Quiz does."""
    return text[:1].upper() + text[1:]
