"""Answers in words of the model's own: greedy decoding, many tokens a pass.

A question is shown with a draft of its right answer. One pass gives the likeliest token at every place; as long as that
is the draft's, the draft is what greedy decoding says (the idea of speculative decoding, Leviathan et al. 2023, arXiv
2211.17192, with the answer as the drafter). Where it leaves the draft the text says most often that the answer cannot
become right any more; where it still may (another spelling, another name), the next pass goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from kis_plugin.probing.matching import Matcher, Verdict, letters_of
from kis_plugin.probing.passes import BATCH_TOKENS, POSITIONS, bucket
from kis_plugin.probing.probes import Question
from kis_plugin.run import ModelView, Ranks
from kis_plugin.seeded import IntArray
from kis_plugin.sentences import TextTokenizer

__all__ = ["PreparedAnswers", "prepare_answers"]

_NONE = -1  # where logits are no numbers: no token

BoolArray = npt.NDArray[np.bool_]
Row = tuple[int, ...]


@dataclass(frozen=True)
class _Prompt:
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

    def next(self, said: Row, block: int) -> Row:
        """Return the row to show: all that was said, and the rest of a draft that begins so."""
        draft = next((draft for draft in self.drafts if draft[: len(said)] == said), said)
        return (self.row + draft)[:block]


@dataclass(frozen=True)
class PreparedAnswers:
    """Questions to be answered freely; the same at every evaluation of a run.

    Attributes:
        prompts: The questions.
        order: Their places, most tokens first.
        tokenizer: The run's own.
        tokens: How many tokens have a text; a model may have more, which pad its vocabulary.
        batch_tokens: Rows times padded length of one pass, at most; a single row may be longer.
    """

    prompts: tuple[_Prompt, ...]
    order: IntArray
    tokenizer: TextTokenizer
    tokens: int
    batch_tokens: int = BATCH_TOKENS

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

    def answer(self, model: ModelView, ranks: Ranks, block: int) -> tuple[BoolArray, BoolArray]:
        """Let the model answer all questions.

        Args:
            model: In evaluation mode.
            ranks: Those that share the questions; every rank must call this, all make the same number of passes and
                get the same.
            block: Tokens that the model sees at once, at most; no question is longer.

        Returns:
            (questions,) whether the answer is one of the names; (questions,) whether it is the object to the letter.
        """
        found = np.zeros(len(self.prompts), dtype=np.int64)
        said: dict[int, Row] = dict.fromkeys(self.order[ranks.rank :: ranks.size].tolist(), ())
        while True:
            batches = list(self._batches(said, block))
            passes = ranks.greatest(len(batches))
            if not passes:
                break
            for batch in batches:
                for place, tokens in self._more(model, batch, said, block):
                    verdict, said[place] = self._judged(place, said[place] + tokens, block)
                    if verdict is not Verdict.OPEN:
                        found[place] = verdict
                        del said[place]
            for _ in range(passes - len(batches)):  # a model that is parted over ranks runs on all or on none
                with torch.no_grad():
                    model.logits(torch.full((1, _width(1, block)), self.tokenizer.eos, dtype=torch.int64))
        found = ranks.sum(found)
        return found >= Verdict.ALIAS, found == Verdict.EXACT

    def _batches(self, said: dict[int, Row], block: int) -> Iterator[list[tuple[int, Row]]]:
        """Yield the rows of each pass with their questions, longest first."""
        rows = [(place, self.prompts[place].next(tokens, block)) for place, tokens in said.items()]
        rows.sort(key=lambda pair: (-len(pair[1]), pair[0]))
        start = 0
        while start < len(rows):
            size = _power(self.batch_tokens // _width(len(rows[start][1]), block))
            yield rows[start : start + size]
            start += size

    def _more(
        self, model: ModelView, batch: Sequence[tuple[int, Row]], said: dict[int, Row], block: int
    ) -> list[tuple[int, Row]]:
        """Return what the model says next to each question of a pass: one token at least."""
        rows = 1 << (len(batch) - 1).bit_length()  # a compiled model sees few numbers of rows, and few widths
        ids = torch.zeros((rows, _width(len(batch[0][1]), block)), dtype=torch.int64)  # (B, T)
        firsts: list[int] = []
        numbers: list[int] = []
        positions: list[int] = []
        for number, (place, row) in enumerate(batch):
            ids[number, : len(row)] = torch.tensor(row)
            firsts.append(len(self.prompts[place].row) + len(said[place]))
            positions += range(firsts[-1] - 1, len(row))
            numbers += [number] * (len(row) - firsts[-1] + 1)
        with torch.no_grad():
            likeliest = _likeliest(model.logits(ids), numbers, positions)
        found = []
        at = 0
        for (place, row), first in zip(batch, firsts, strict=True):
            draft = row[first:]
            tokens = likeliest[at : at + len(draft) + 1]
            at += len(draft) + 1
            kept = next((n for n, token in enumerate(draft) if token != tokens[n]), len(draft))
            found.append((place, (*draft[:kept], tokens[kept])))
        return found

    def _judged(self, place: int, said: Row, block: int) -> tuple[Verdict, Row]:
        """Judge what was said, cut where it ends."""
        prompt = self.prompts[place]
        said = said[: min(prompt.limit, block - len(prompt.row) + 1)]
        stops = (n for n, token in enumerate(said) if token == self.tokenizer.eos or not 0 <= token < self.tokens)
        stop = next(stops, len(said))
        ended = said[stop : stop + 1] == (self.tokenizer.eos,)
        verdict = prompt.matcher.judge(self.text_of(said[:stop]), ended)
        last = stop < len(said) or len(said) == min(prompt.limit, block - len(prompt.row) + 1)
        return (Verdict.WRONG if last and verdict is Verdict.OPEN else verdict), said


def prepare_answers(
    questions: Sequence[Question], tokenizer: TextTokenizer, batch_tokens: int = BATCH_TOKENS
) -> PreparedAnswers:
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
        prompts.append(_Prompt((tokenizer.eos, *head.ids), tuple(drafts), limit, _matcher(question, tokenizer)))
    lengths = [len(prompt.row) + len(prompt.drafts[0]) for prompt in prompts]
    order = np.argsort(-np.array(lengths, dtype=np.int64), kind="stable")
    tokens = len(tokenizer.breaks()[0]) if questions else 0
    return PreparedAnswers(tuple(prompts), order, tokenizer, tokens, batch_tokens)


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


def _width(length: int, block: int) -> int:
    return min(bucket(length), max(block, length))


def _power(number: int) -> int:
    """Return the greatest power of two that is not above; 1 at least."""
    return 1 << max(number.bit_length() - 1, 0)


def _likeliest(logits: torch.Tensor, rows: Sequence[int], positions: Sequence[int]) -> list[int]:
    """Return the first of the likeliest tokens at some places of (B, T, V) logits; ``_NONE`` where they are NaN."""
    found: list[int] = []
    for at in range(0, len(rows), POSITIONS):
        row, position = (torch.tensor(part[at : at + POSITIONS], device=logits.device) for part in (rows, positions))
        value, token = logits[row, position].max(dim=-1)  # (places,) each
        found += token.masked_fill(value.isnan(), _NONE).tolist()
    return found
