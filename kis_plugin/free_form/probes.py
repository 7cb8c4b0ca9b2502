"""Free-form probe kinds: a sentence to be completed, and a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kis_plugin.free_form.cloze_spans import span_facts, span_templates
from kis_plugin.free_form.matching import ends_plainly
from kis_plugin.hashing import mix
from kis_plugin.knowledge.facts import Templates
from kis_plugin.retention.questions.passages import PassageMaker
from kis_plugin.retention.questions.question import Question, free_form_question
from kis_plugin.retention.questions.question_maker import QuestionMaker

__all__ = ["CLOZE", "FREE_FORM_KINDS", "AnswerProbe", "ClozeProbe"]

CLOZE = "cloze"


@dataclass
class AnswerProbe:
    """A probe kind whose answers are generated.

    Attributes:
        name: The name in ``kis.yaml`` and in the run log.
        choice: Selects the templates of a relation. Those in which more than punctuation follows the object are passed
            over.
    """

    name: str
    choice: Callable[[Templates], Sequence[str]]

    def questions(self, maker: QuestionMaker) -> list[Question]:
        """Return the questions about all facts, except of relations without such a template."""
        found = maker.for_objects(self.name, lambda templates: list(filter(ends_plainly, self.choice(templates))))
        return [free_form_question(question, maker.true_with(question.fact)) for question in found]


class ClozeProbe(AnswerProbe):
    """A held-out template to be completed. In documents, names, numbers and years in their sentences, with options."""

    def __init__(self) -> None:
        super().__init__(CLOZE, lambda templates: templates.held_out)

    def passage_questions(self, maker: PassageMaker) -> list[Question]:
        """Return multiple-choice questions about spans: passages do not say which other answers would be right."""
        facts = span_facts(maker.passages, 2 * maker.limit, mix(maker.seed, 7))
        of_facts = maker.sets_of(facts, span_templates, 8)
        if not of_facts.sets:
            maker.notes.append(
                f"warning: series {CLOZE}: no {maker.options} names, numbers or years of different passages"
            )
        return of_facts.for_objects(CLOZE, lambda templates: templates.statements)


FREE_FORM_KINDS = (ClozeProbe(), AnswerProbe("answer", lambda templates: templates.questions))
