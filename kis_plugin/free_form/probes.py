"""Probe kinds that are answered in words of the model's own: a sentence to be completed, and a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kis_plugin.free_form.matching import ends_plainly
from kis_plugin.knowledge.facts import Fact, Templates
from kis_plugin.retention.probes import Question, QuestionMaker

__all__ = ["ANSWERED", "AnswerProbe", "freely"]


@dataclass
class AnswerProbe:
    """A probe kind whose answers are decoded.

    Attributes:
        name: What ``kis.yaml`` and the run log call it.
        choice: Which of a relation's sentences it asks by; those in which more than punctuation follows the object
            are passed over.
    """

    name: str
    choice: Callable[[Templates], Sequence[str]]

    def questions(self, maker: QuestionMaker) -> list[Question]:
        """Return the questions of all facts, except of relations without such a sentence."""
        asked = maker.ask(self.name, lambda templates: list(filter(ends_plainly, self.choice(templates))))
        return [freely(question, maker.facts[question.fact]) for question in asked]


ANSWERED = (
    AnswerProbe("cloze", lambda templates: templates.held_out),
    AnswerProbe("answer", lambda templates: templates.questions),
)


def freely(question: Question, fact: Fact) -> Question:
    """Return a question with options as one without: the right one is kept as the draft of the answer."""
    names = tuple(dict.fromkeys((fact.object, *fact.aliases)))
    return replace(question, options=(question.options[question.answer],), answer=0, accepted=names)
