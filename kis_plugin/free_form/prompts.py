"""Free-form questions as rows of tokens, with drafts of their answers and what judges them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kis_plugin.free_form.matching import Matcher, Verdict, letters_of
from kis_plugin.hashing import IntArray
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.scoring.prefix_trees import Row
from kis_plugin.tokenized.document_start import first_token
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["PreparedPrompts", "Prompt", "prepare_prompts"]

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Prompt:
    """One question as the model sees it.

    Attributes:
        row: EOS or BOS and the prompt, without trailing white space, which is part of the answer's first token.
        drafts: Right answers, the object of the fact first, each with what ends it.
        limit: The most tokens of an answer.
        matcher: Judges the answer.
    """

    row: Row
    drafts: tuple[Row, ...]
    limit: int
    matcher: Matcher

    def next(self, generated: Row, sequence_length: int) -> Row:
        """Return the next input row: all tokens generated so far, and the rest of a draft that begins with them."""
        draft = next((draft for draft in self.drafts if draft[: len(generated)] == generated), generated)
        return (self.row + draft)[:sequence_length]


@dataclass(frozen=True)
class PreparedPrompts:
    """Free-form questions; the same at every evaluation of a run.

    Attributes:
        prompts: The questions.
        tokenizer: The run's own.
        tokens: How many token ids have a text; a model may have more, which pad its vocabulary.
    """

    prompts: tuple[Prompt, ...]
    tokenizer: TextTokenizer
    tokens: int

    @property
    def lengths(self) -> IntArray:
        """Tokens of each question with its right answer, EOS before it included: (questions,)."""
        return np.array([len(prompt.row) + len(prompt.drafts[0]) for prompt in self.prompts], dtype=np.int64)

    @property
    def spellable(self) -> BoolArray:
        """Whether the right answer, as the tokenizer gives it back, would count as right: (questions,)."""
        judged = [prompt.matcher.judge(self.text_of(prompt.drafts[0]), True) for prompt in self.prompts]
        return np.array([verdict >= Verdict.ALIAS for verdict in judged], dtype=np.bool_)

    def text_of(self, generated: Row) -> str:
        """Return the text of tokens as it reads after other text."""
        return _text_of(self.tokenizer, generated)

    def judged(self, place: int, generated: Row, sequence_length: int) -> tuple[Verdict, Row]:
        """Judge the answer to a question so far, and return it cut where it ends.

        Args:
            place: The question.
            generated: All tokens so far.
            sequence_length: The most tokens of a row, prompt and answer together.
        """
        prompt = self.prompts[place]
        limit = min(prompt.limit, sequence_length - len(prompt.row) + 1)  # the last token needs no place in the row
        generated = generated[:limit]
        stops = (n for n, token in enumerate(generated) if token == self.tokenizer.eos or not 0 <= token < self.tokens)
        stop = next(stops, len(generated))
        ended = generated[stop : stop + 1] == (self.tokenizer.eos,)
        verdict = prompt.matcher.judge(self.text_of(generated[:stop]), ended)
        is_last = stop < len(generated) or len(generated) == limit
        return (Verdict.WRONG if is_last and verdict is Verdict.OPEN else verdict), generated


def prepare_prompts(questions: Sequence[Question], tokenizer: TextTokenizer) -> PreparedPrompts:
    """Tokenize free-form questions, each in the way of infusion.

    The prompt contains nothing of the answer: it is encoded alone, up to its last letter. An answer may have twice as
    many tokens as the longest right one, and eight.
    """
    texts = [_drafted(question) for question in questions]
    heads = tokenizer.encode([question.prefix.rstrip() for question in questions])
    pairs = [(question.prefix, text) for question, drafts in zip(questions, texts, strict=True) for text in drafts]
    wholes = iter(tokenizer.encode([prefix + text for prefix, text in pairs]))
    alone = iter(tokenizer.encode([text for _, text in pairs]))
    prompts, begin = [], first_token(tokenizer)
    for question, drafted, head in zip(questions, texts, heads, strict=True):
        drafts = []
        for _ in drafted:
            whole, other = next(wholes).ids, next(alone).ids
            # If the answer changes how the prompt's end is tokenized, the sentence does not begin with the prompt's
            # tokens. The draft is then encoded alone: a poor draft costs passes, never a different answer.
            begins = whole[: len(head.ids)] == head.ids
            drafts.append(tuple(whole[len(head.ids) :] if begins else other))
        limit = 2 * max(map(len, drafts)) + 8
        prompts.append(Prompt((begin, *head.ids), tuple(drafts), limit, _matcher(question, tokenizer)))
    tokens = len(tokenizer.breaks()[0]) if questions else 0
    return PreparedPrompts(tuple(prompts), tokenizer, tokens)


def _drafted(question: Question) -> list[str]:
    """Return each right name with what ends it: what follows in the template, a full stop where nothing does."""
    closing = _closing(question)
    return [name + (closing or ("" if name[-1:] in tuple(".!?") else ".")) for name in question.accepted]


def _closing(question: Question) -> str:
    return question.options[0][len(question.accepted[0]) :]


def _matcher(question: Question, tokenizer: TextTokenizer) -> Matcher:
    spelled = [_spelled(name, tokenizer) for name in question.accepted]
    prompt = question.prefix.rstrip()
    glued = prompt != question.prefix and prompt[-1:].isalnum()
    exact = frozenset((*question.accepted[: question.objects], *spelled[: question.objects]))
    return Matcher(exact, frozenset((*question.accepted, *spelled)), _closing(question), glued)


def _spelled(name: str, tokenizer: TextTokenizer) -> str:
    """Return a name as the tokenizer gives it back, perhaps without capitals and accents."""
    (encoded,) = tokenizer.encode([name])
    spelled = _text_of(tokenizer, encoded.ids).strip()
    return spelled if letters_of(spelled) == letters_of(name) else name


def _text_of(tokenizer: TextTokenizer, ids: Sequence[int]) -> str:
    # Some tokenizers decode the first token of a text differently, so the tokens are decoded after an anchor.
    (anchor,) = tokenizer.encode(["a"])
    return tokenizer.decode([*anchor.ids, *ids])[len(tokenizer.decode(anchor.ids)) :]
