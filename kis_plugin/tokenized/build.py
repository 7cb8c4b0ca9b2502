"""Facts and passages to tokens, as a stream: while one batch is tokenized on all cores, the next is rendered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, repeat
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.facts import Fact, Passage
from kis_plugin.knowledge.sources.text_files import quoted
from kis_plugin.templates.protocols import Rendered, Renderer
from kis_plugin.tokenized.array_writer import ArrayWriter, TextBatch, TextWriter
from kis_plugin.tokenized.chunking import chunked, sections
from kis_plugin.tokenized.name_checks import control_token, control_tokens
from kis_plugin.tokenized.tokenizer import Encoded, TextTokenizer, flat

if TYPE_CHECKING:
    from kis_plugin.tokenized.infusion_split import InfusionSplit

__all__ = ["RenderOptions", "write_texts"]

_TEXTS = 1024  # tokenized at a time, at most: with more, memory for their encodings costs more than it saves
_CHARACTERS = 1 << 19  # of a document tokenized at a time, at most
_THREADS = 2  # one has the tokenizer's cores while the other takes the ids out
_AHEAD = 3  # batches that may be rendered or tokenized before the first of them is written
_SHOWN = 20  # problems


@dataclass(frozen=True)
class RenderOptions:
    """How texts are made.

    Attributes:
        renderer: Turns facts into text.
        most: Templates of a fact that are used, at most, the first ones; None for all.
        inline: Whether texts stand between base sentences: with a space before them and no EOS after.
        objects_only: Whether only tokens that reach into the object are training targets.
        begin: The token before each text; None for none.
        limit: Tokens a text, at most; BOS and EOS not counted.
        chunk_tokens: Tokens a piece of a passage, at most; not above ``limit``.
    """

    renderer: Renderer
    most: int | None
    inline: bool
    objects_only: bool
    begin: int | None
    limit: int
    chunk_tokens: int


def write_texts(writer: ArrayWriter, options: RenderOptions, split: InfusionSplit, tokenizer: TextTokenizer) -> None:
    """Write the arrays of ``TokenizedTexts`` (tokens, offsets, entry, own, perhaps targets), its templates and hash.

    Raises:
        KISError: Sentences, or words of passages, that are too long: the first 20 of them.
    """
    maker = _Maker(options, split, tokenizer)
    vocabulary = len(tokenizer.breaks()[0])
    eos = None if options.inline else tokenizer.eos
    output = TextWriter(writer, options.begin, eos, vocabulary, options.objects_only)
    problems: list[Problem] = []
    number = 0
    while number < maker.templates and not problems:
        for texts in _in_order(maker.jobs(number)):
            problems += texts.problems
            if len(problems) >= _SHOWN:
                break
            output.write(texts, first=number == 0)
        number += 1
    if problems:
        raise KISError(problems[:_SHOWN])
    writer.meta |= {"wordings": maker.templates, "fingerprint": output.fingerprint()}


class _Maker:
    """Renders in the caller's thread and hands out the tokenizing as jobs for others."""

    def __init__(self, options: RenderOptions, split: InfusionSplit, tokenizer: TextTokenizer) -> None:
        self._options, self._split, self._tokenizer = options, split, tokenizer
        self._own: dict[str, int] = {}
        # Some tokenizers begin every text with a space of their own.
        (probe,) = tokenizer.encode(["a"])
        spaced = bool(probe.ids) and bool(tokenizer.breaks()[1][probe.ids[0]])
        self._lead = " " if options.inline and not spaced else ""
        self._control = control_tokens(tokenizer)

    @property
    def templates(self) -> int:
        """The most templates of the facts seen so far: right once all facts are rendered in their first."""
        return max(self._own.values(), default=1)

    def jobs(self, number: int) -> Iterator[Callable[[], TextBatch]]:
        """Yield what makes the texts in template ``number``, batch after batch.

        A fact with n templates is rendered in template ``number % n``, so that every round shows every fact.
        """
        renderer, book, places = self._options.renderer, self._split.book, self._split.infused
        facts = iter(self._split.facts)
        for start in range(0, len(places), _TEXTS):
            entries = places[start : start + _TEXTS]
            batch = list(islice(facts, _TEXTS))
            own = [self._own_of(fact.relation) for fact in batch]
            rendered = [renderer.render(fact, number % n, book) for fact, n in zip(batch, own, strict=True)]
            yield self._fact_job(entries.astype(np.int32), batch, np.array(own, dtype=np.int32), rendered)
        for texts in self._passage_batches():
            yield self._passage_job(texts)

    def _own_of(self, relation: str) -> int:
        if relation not in self._own:
            options = self._options
            own = options.renderer.template_count(relation, self._split.book)
            self._own[relation] = own if options.most is None else min(own, options.most)
        return self._own[relation]

    def _fact_job(
        self,
        entries: npt.NDArray[np.int32],
        facts: Sequence[Fact],
        own: npt.NDArray[np.int32],
        rendered: list[Rendered],
    ) -> Callable[[], TextBatch]:
        lead, tokenizer = self._lead, self._tokenizer
        sentences = [lead + one.text for one in rendered] if lead else [one.text for one in rendered]

        def job() -> TextBatch:
            if self._options.objects_only:
                encoded = tokenizer.encode(sentences)
                ids, lengths = flat([one.ids for one in encoded])
                targets_of = [one.target or one.object for one in rendered]
                spans = [(first + len(lead), end + len(lead)) for first, end in targets_of]
                targets = reaching(encoded, spans)
            else:
                ids, lengths = tokenizer.encode_ids(sentences)
                targets = None
            problems = [*self._unfit(facts, sentences, lengths), *self._control_text(sentences, ids, lengths)]
            return TextBatch(entries, own, ids, lengths, targets, problems)

        return job

    def _unfit(self, facts: Sequence[Fact], sentences: Sequence[str], lengths: IntArray) -> list[Problem]:
        limit = self._options.limit
        problems = []
        for at in np.flatnonzero((lengths < 1) | (lengths > limit)).tolist():
            sentence = sentences[at].strip()
            found = f"a sentence of {lengths[at]} tokens: {sentence[:60]!r}"
            hint = "Shorten it, or train with longer rows; a sentence is never cut."
            problems.append(Problem(f"fact {facts[at].id or sentence[:40]}", found, f"1 to {limit} tokens", hint))
        return problems

    def _control_text(self, texts: Sequence[str], ids: npt.NDArray[np.int32], lengths: IntArray) -> Iterator[Problem]:
        """Yield a problem for the first text of which a part becomes a control token."""
        if found := control_token(ids, lengths, self._control):
            at, token = found
            hint = "Write it another way, or give the tokenizer no such token."
            expected = "text without special tokens"
            yield Problem("tokenizer", f"the token {token!r} in {quoted(texts[at].strip())}", expected, hint)

    def _passage_batches(self) -> Iterator[list[tuple[int, Passage, str]]]:
        """Yield entries and passages with texts of bounded length: whole passages, or sections of long ones."""
        knowledge, places = self._split.knowledge, self._split.passages_infused
        batch: list[tuple[int, Passage, str]] = []
        room = _CHARACTERS
        for index, passage in zip(_each(places), self._split.passages, strict=True):
            for text in sections(passage.text, _CHARACTERS):
                if batch and (len(text) > room or len(batch) == _TEXTS):
                    yield batch
                    batch, room = [], _CHARACTERS
                batch.append((len(knowledge.facts) + index, passage, text))
                room -= len(text)
        if batch:
            yield batch

    def _passage_job(self, batch: Sequence[tuple[int, Passage, str]]) -> Callable[[], TextBatch]:
        texts = [text if text[:1].isspace() else self._lead + text for _, _, text in batch]

        def job() -> TextBatch:
            entries: list[int] = []
            pieces: list[Sequence[int]] = []
            problems: list[Problem] = []
            whole = self._tokenizer.encode(texts)
            problems += self._control_text(texts, *flat([one.ids for one in whole]))
            for (entry, passage, _), text, encoded in zip(batch, texts, whole, strict=True):
                try:
                    found = list(chunked(text, encoded, self._options.chunk_tokens, f"passage {passage.id}"))
                except KISError as error:
                    problems += error.problems
                    continue
                entries += repeat(entry, len(found))
                pieces += found
            ids, lengths = flat(pieces)
            own = np.ones(len(pieces), dtype=np.int32)
            return TextBatch(np.array(entries, dtype=np.int32), own, ids, lengths, problems=problems)

        return job


def reaching(encoded: Sequence[Encoded], spans: Sequence[tuple[int, int]]) -> npt.NDArray[np.uint8]:
    """Return 1 for each token that reaches into its text's span of characters (first, end): (total,)."""
    ends, lengths = flat([one.ends for one in encoded])
    starts, _ = flat([one.starts or (0, *one.ends[:-1])[: len(one.ends)] for one in encoded])
    first, end = (np.repeat([span[side] for span in spans], lengths) for side in (0, 1))
    return ((starts < end) & (ends > first)).astype(np.uint8)


def _each(places: IntArray) -> Iterator[int]:
    """Yield the places as plain integers without making all of them at once."""
    for start in range(0, len(places), _TEXTS):
        yield from places[start : start + _TEXTS].tolist()


def _in_order(jobs: Iterable[Callable[[], TextBatch]]) -> Iterator[TextBatch]:
    """Yield what the jobs make, in their order; they run while the caller prepares the next and writes the last."""
    with ThreadPoolExecutor(_THREADS) as worker:
        waiting: deque[Future[TextBatch]] = deque()
        for job in jobs:
            waiting.append(worker.submit(job))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
