"""Counts what a host reads: exposures of each fact, torn ones, and controls that must not be there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.tokenized.document_start import start_token
from kis_plugin.tokenized.infusion_split import InfusionSplit, load_split
from kis_plugin.tokenized.texts import TokenizedTexts, load_texts
from kis_plugin.tokenized.tokenizer import TextTokenizer
from kis_write.text_index import TextIndex

__all__ = ["AuditReport", "Sought", "audit_rows", "sought_of_config", "sought_of_sentences"]

_LISTED = 20  # names of facts that a report lists
Rows = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Sought:
    """What an audit looks for.

    Attributes:
        texts: (tokens,) each, without what separates them.
        item: (texts,) which item each states.
        names: Of the items: facts, pieces of passages, or sentences.
        control: (items,) whether an item must not occur.
    """

    texts: Sequence[Rows]
    item: IntArray
    names: Sequence[str]
    control: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        rows: Rows that were read.
        tokens: Tokens that were read.
        items: Facts and pieces of passages that are counted, controls left out.
        exposures: (items,) how often each stands whole.
        requested: (items,) how often each should; None where nothing is expected.
        torn: Exposures that a row's end tears apart.
        leaked: Whole exposures of controls.
        leaks: Names of the first controls that occur.
        missing: Names of the first items that stand less often than they should, or never.
        wrong: How many items stand more or less often than they should.
        changed: Files of the data set that are gone, or not as the manifest has them.
    """

    rows: int
    tokens: int
    items: int
    exposures: Sequence[int]
    requested: Sequence[int] | None
    torn: int
    leaked: int
    leaks: Sequence[str]
    missing: Sequence[str]
    wrong: int
    changed: Sequence[str] = ()

    @property
    def ok(self) -> bool:
        """Whether every count is as requested, no control occurs, and the files are as they were written."""
        return not self.wrong and not self.leaked and not self.changed

    @property
    def histogram(self) -> Mapping[int, int]:
        """How many items stand how often."""
        return dict(sorted(Counter(self.exposures).items()))

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        counts = np.array(self.exposures or [0])
        summary = {"min": int(counts.min()), "max": int(counts.max()), "mean": float(counts.mean())}
        histogram = {str(number): items for number, items in self.histogram.items()}
        return {"status": "ok" if self.ok else "wrong", **asdict(self), "summary": summary, "histogram": histogram}


def audit_rows(sought: Sought, batches: Iterable[Rows], requested: IntArray | float | None = None) -> AuditReport:
    """Count what stands in batches of rows.

    Args:
        sought: What to look for.
        batches: (rows, T) token ids each, as a model is given them.
        requested: Exposures of each item that is no control, (items,), or of all alike; None: none in particular.

    Raises:
        KISError: A batch that is no two-dimensional array of token ids.
    """
    index = TextIndex(sought.texts)
    counts = np.zeros(len(sought.names), dtype=np.int64)
    rows = tokens = cut = resumed = 0
    for number, batch in enumerate(batches):
        ids = np.asarray(batch)
        if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
            found = f"batch {number}: shape {ids.shape}, type {ids.dtype}"
            raise KISError(Problem("audit", found, "token ids, (rows, tokens)"))
        found_here = index.find(ids)
        np.add.at(counts, sought.item[list(found_here.whole)], 1)
        rows, tokens = rows + len(ids), tokens + ids.size
        cut, resumed = cut + found_here.cut, resumed + found_here.resumed
    wanted = ~sought.control
    exposures = counts[wanted]
    names = [name for name, keep in zip(sought.names, wanted.tolist(), strict=True) if keep]
    due = None if requested is None else np.broadcast_to(np.asarray(requested), exposures.shape)
    less = exposures < due if due is not None else exposures == 0
    return AuditReport(
        rows=rows,
        tokens=tokens,
        items=len(exposures),
        exposures=exposures.tolist(),
        requested=None if due is None else due.tolist(),
        torn=max(cut, resumed),
        leaked=int(counts[sought.control].sum()),
        leaks=[sought.names[place] for place in np.flatnonzero(sought.control & (counts > 0)).tolist()[:_LISTED]],
        missing=[names[place] for place in np.flatnonzero(less).tolist()[:_LISTED]],
        wrong=0 if due is None else int((exposures != due).sum()),
    )


def sought_of_config(config: Config, tokenizer: TextTokenizer, sequence_length: int) -> Sought:
    """Return the texts of a run's facts and passages in all their templates, and those of its controls.

    Raises:
        KISError: Bad knowledge or templates, or a sentence longer than a row.
    """
    split = load_split(config)
    infused = load_texts(config, split, tokenizer, sequence_length)
    none = np.zeros(0, dtype=np.int64)
    held_back = replace(split, infused=split.control, passages_infused=none)
    control = load_texts(config, held_back, tokenizer, sequence_length) if len(split.control) else None
    begin = start_token(config, tokenizer)
    texts, item = _texts(infused, tokenizer.eos, begin)
    names = _names(split, infused)
    flags = [False] * len(names)
    if control is not None:
        more, its_item = _texts(control, tokenizer.eos, begin)
        texts, item = [*texts, *more], np.concatenate([item, its_item + len(names)])
        names = [*names, *_names(held_back, control)]
        flags += [True] * len(control)
    return Sought(texts, item, names, np.array(flags, dtype=np.bool_))


def sought_of_sentences(sentences: Sequence[str], tokenizer: TextTokenizer) -> Sought:
    """Return sentences of any origin, each as it stands at the start of a document and after a space.

    Raises:
        KISError: There are none.
    """
    sentences = list(dict.fromkeys(line for line in sentences if line.strip()))
    if not sentences:
        raise KISError(Problem("--sentences", "no sentence", "one a line"))
    encoded = [*tokenizer.encode(sentences), *tokenizer.encode([f" {sentence}" for sentence in sentences])]
    numbers = np.arange(len(sentences), dtype=np.int64)
    texts = [np.array(one.ids, dtype=np.int64) for one in encoded]
    return Sought(texts, np.concatenate([numbers, numbers]), sentences, np.zeros(len(sentences), dtype=np.bool_))


def _texts(texts: TokenizedTexts, eos: int, begin: int | None) -> tuple[list[Rows], IntArray]:
    """Return the tokens of each text without those that separate it from others, and its item."""
    offsets = texts.offsets
    found: list[Rows] = []
    for first, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        ends = stop - 1 if stop > first + 1 and texts.tokens[stop - 1] == eos else stop
        begins = first + 1 if texts.tokens[first] == begin and ends > first + 1 else first
        found.append(np.asarray(texts.tokens[begins:ends]))
    return found, np.arange(len(found), dtype=np.int64) % len(texts)


def _names(split: InfusionSplit, texts: TokenizedTexts) -> list[str]:
    """Return a name for each item."""
    facts = split.knowledge.facts
    names = []
    for entry in texts.entry.tolist():
        if entry < len(facts):
            fact = facts[entry]
            names.append(f"{fact.subject} / {fact.relation} / {fact.object}")
        else:
            names.append(f"passage {entry - len(facts)}")
    return names
