"""The built-in probe kinds: multiple choice about single facts, and how passages continue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kis_plugin.knowledge.facts import Templates
from kis_plugin.retention.questions.passages import PassageMaker, passage_facts, passage_templates
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.retention.series import HELD_OUT, SEEN

__all__ = ["BUILT_IN", "ReversedProbe", "SeenProbe", "TemplateProbe"]


@dataclass
class TemplateProbe:
    """A probe kind that uses some of the relation's own templates.

    Attributes:
        name: The name in ``kis.yaml`` and in the run log.
        choice: Selects the templates.
    """

    name: str
    choice: Callable[[Templates], Sequence[str]]

    def questions(self, maker: QuestionMaker) -> list[Question]:
        """Return the questions about all facts, except of relations without such a template."""
        return maker.for_objects(self.name, self.choice)


class ReversedProbe:
    """A probe kind that gives the object; the answer is the subject."""

    name = "reversed"

    def questions(self, maker: QuestionMaker) -> list[Question]:
        """Return the questions about all facts, except of relations without a template for it."""
        return maker.for_subjects(self.name, lambda templates: templates.object_first)


class SeenProbe(TemplateProbe):
    """A probe kind that reuses the first training template; of documents it takes the text itself."""

    def __init__(self) -> None:
        super().__init__(SEEN, lambda templates: templates.statements[:1])

    def passage_questions(self, maker: PassageMaker) -> list[Question]:
        """Return questions about how passages continue; documents have no other template to probe by."""
        facts = passage_facts(maker.passages)
        of_facts = maker.sets_of(facts, passage_templates, 1)
        if not of_facts.sets:
            maker.notes.append(
                f"warning: series {SEEN}: no questions: {len(facts)} passages have 20 words or more, and "
                f"{maker.options} with different continuations are needed. To measure retention give longer passages, "
                "questions of your own (retention.qa), or facts as triples."
            )
            return []
        if not maker.own_questions:
            maker.notes.append(
                "warning: documents are probed by their own text (series seen), which shows no collapse. Retention "
                "proper needs facts, or questions of your own: give triples, or retention.qa."
            )
        return self.questions(of_facts)


BUILT_IN = (
    TemplateProbe(HELD_OUT, lambda templates: templates.held_out),
    TemplateProbe("question", lambda templates: templates.questions),
    ReversedProbe(),
    SeenProbe(),
)
