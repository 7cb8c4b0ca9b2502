"""Questions that are answered in words of the model's own, as it is shown them, and what its words are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kis_plugin.free_form.matching import Matcher, Verdict, letters_of
from kis_plugin.hashing import IntArray
from kis_plugin.retention.probes import Question
from kis_plugin.retention.scoring.prefix_trees import Row
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["PreparedAnswers", "Prompt", "prepare_answers"]

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Prompt:
    """One question as the model is shown it.

    Attributes:
        row: EOS and the prompt, without white space at its end, which the answer brings along.
        drafts: What the model may say, the object first, then its other names, each with what ends it.
        limit: Tokens that it may say at most.
        matcher: Judges what it says.
    """

    row: Row
    drafts: tuple[Row, ...]
    limit: int
    matcher: Matcher

    def next(self, said: Row, sequence_length: int) -> Row:
        """Return the row to show: all that was said, and the rest of a draft that begins so."""
        draft = next((draft for draft in self.drafts if draft[: len(said)] == said), said)
        return (self.row + draft)[:sequence_length]


@dataclass(frozen=True)
class PreparedAnswers:
    """Questions to be answered freely; the same at every evaluation of a run.

    Attributes:
        prompts: The questions.
        tokenizer: The run's own.
        tokens: How many tokens have a text; a model may have more, which pad its vocabulary.
    """

    prompts: tuple[Prompt, ...]
    tokenizer: TextTokenizer
    tokens: int

    @property
    def lengths(self) -> IntArray:
        """Tokens of each question with its right answer, EOS before it included: (questions,)."""
        return np.array([len(prompt.row) + len(prompt.drafts[0]) for prompt in self.prompts], dtype=np.int64)

    @property
    def spelled(self) -> BoolArray:
        """Whether the right answer would count as right, as the tokenizer spells it: (questions,)."""
        judged = [prompt.matcher.judge(self.text_of(prompt.drafts[0]), True) for prompt in self.prompts]
        return np.array([verdict >= Verdict.ALIAS for verdict in judged], dtype=np.bool_)

    def text_of(self, said: Row) -> str:
        """Return the text of tokens as they read after others."""
        return _text_of(self.tokenizer, said)

    def judged(self, place: int, said: Row, sequence_length: int) -> tuple[Verdict, Row]:
        """Judge what was said to a question in rows of ``sequence_length`` tokens, and return it cut where it ends."""
        prompt = self.prompts[place]
        said = said[: min(prompt.limit, sequence_length - len(prompt.row) + 1)]
        stops = (n for n, token in enumerate(said) if token == self.tokenizer.eos or not 0 <= token < self.tokens)
        stop = next(stops, len(said))
        ended = said[stop : stop + 1] == (self.tokenizer.eos,)
        verdict = prompt.matcher.judge(self.text_of(said[:stop]), ended)
        last = stop < len(said) or len(said) == min(prompt.limit, sequence_length - len(prompt.row) + 1)
        return (Verdict.WRONG if last and verdict is Verdict.OPEN else verdict), said


def prepare_answers(questions: Sequence[Question], tokenizer: TextTokenizer) -> PreparedAnswers:
    """Tokenize questions that are answered freely, each on the path of infusion.

    The prompt holds nothing of the answer: it is encoded alone, up to its last letter. A model may say twice as many
    tokens as the longest of the names has, and eight.
    """
    texts = [_drafted(question) for question in questions]
    heads = tokenizer.encode([question.prefix.rstrip() for question in questions])
    pairs = [(question.prefix, text) for question, drafts in zip(questions, texts, strict=True) for text in drafts]
    wholes = iter(tokenizer.encode([prefix + text for prefix, text in pairs]))
    alone = iter(tokenizer.encode([text for _, text in pairs]))
    prompts = []
    for question, drafted, head in zip(questions, texts, heads, strict=True):
        drafts = []
        for _ in drafted:
            whole, other = next(wholes).ids, next(alone).ids
            begins = whole[: len(head.ids)] == head.ids  # else the answer changes how the prompt's end is tokenized
            drafts.append(tuple(whole[len(head.ids) :] if begins else other))
        limit = 2 * max(map(len, drafts)) + 8
        prompts.append(Prompt((tokenizer.eos, *head.ids), tuple(drafts), limit, _matcher(question, tokenizer)))
    tokens = len(tokenizer.breaks()[0]) if questions else 0
    return PreparedAnswers(tuple(prompts), tokenizer, tokens)


def _drafted(question: Question) -> list[str]:
    """Return each name with what ends it: what follows in the sentence, a full stop where nothing does."""
    closing = _closing(question)
    return [name + (closing or ("" if name[-1:] in tuple(".!?") else ".")) for name in question.accepted]


def _closing(question: Question) -> str:
    return question.options[0][len(question.accepted[0]) :]


def _matcher(question: Question, tokenizer: TextTokenizer) -> Matcher:
    spelled = [_spelled(name, tokenizer) for name in question.accepted]
    told = question.prefix.rstrip()
    glued = told != question.prefix and told[-1:].isalnum()
    exact = frozenset((question.accepted[0], spelled[0]))
    return Matcher(exact, frozenset((*question.accepted, *spelled)), _closing(question), glued)


def _spelled(name: str, tokenizer: TextTokenizer) -> str:
    """Return a name as the tokenizer gives it back, which may have no capitals and no accents."""
    (encoded,) = tokenizer.encode([name])
    spelled = _text_of(tokenizer, encoded.ids).strip()
    return spelled if letters_of(spelled) == letters_of(name) else name


def _text_of(tokenizer: TextTokenizer, ids: Sequence[int]) -> str:
    (anchor,) = tokenizer.encode(["a"])
    return tokenizer.decode([*anchor.ids, *ids])[len(tokenizer.decode(anchor.ids)) :]
