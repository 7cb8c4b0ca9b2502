"""Probing documents: how the beginning of a passage continues."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from kis_plugin.hashing import mix
from kis_plugin.knowledge.facts import Fact, Passage, Templates
from kis_plugin.retention.questions.distractors import option_sets
from kis_plugin.retention.questions.question_maker import QuestionMaker

__all__ = ["PASSAGE", "PassageMaker", "passage_facts", "passage_templates"]

PASSAGE = "passage"
"""The relation between the beginning of a passage and its continuation."""
_CONTINUATION = 8  # words
_PREFIX = (12, 30)  # words, fewest and most


@dataclass(frozen=True)
class PassageMaker:
    """What a probe kind makes its questions about documents from.

    Attributes:
        passages: A sample of the infused passages.
        options: Options of a question.
        limit: The most questions to make.
        seed: For random choices.
        own_questions: Whether the user's own questions are evaluated too.
        notes: Receives what the user should know, one line each.
    """

    passages: Sequence[Passage]
    options: int
    limit: int
    seed: int
    own_questions: bool = False
    notes: list[str] = field(default_factory=list)

    def sets_of(self, facts: Sequence[Fact], templates_of: Callable[[str], Templates], salt: int) -> QuestionMaker:
        """Return the maker of questions about facts that were taken from the passages.

        Args:
            facts: The facts.
            templates_of: Returns the templates of a relation.
            salt: Keeps the random choices of one probe kind apart from those of another.
        """
        sets = option_sets(facts, np.arange(len(facts)), self.options, self.limit, mix(self.seed, salt))
        return QuestionMaker(facts, sets.sets, templates_of, self.seed)


def passage_facts(passages: Sequence[Passage]) -> list[Fact]:
    """Return for each passage how its beginning continues.

    The subject is the first 12 to 30 words with the space after them, the object the 8 words that follow. Passages of
    fewer than 20 words are left out.
    """
    facts = []
    for passage in passages:
        words = list(islice(re.finditer(r"\S+", passage.text), _PREFIX[1] + _CONTINUATION))
        prefix = len(words) - _CONTINUATION
        if prefix >= _PREFIX[0]:
            start, end = words[prefix].start(), words[-1].end()
            facts.append(Fact(passage.text[:start], PASSAGE, passage.text[start:end], passage.id))
    return facts


def passage_templates(relation: str) -> Templates:
    """Return the one template of ``PASSAGE``: the text as it was infused."""
    assert relation == PASSAGE, relation
    return Templates(("{subject}{object}",))
