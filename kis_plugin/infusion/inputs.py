"""What a run infuses, loaded: the split of the knowledge and its tokenized texts. Where they go is planned later."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.config.schema import Config
from kis_plugin.infusion.placement import Inline, InRows, Placement
from kis_plugin.tokenized.infusion_split import InfusionSplit, load_split
from kis_plugin.tokenized.texts import TokenizedTexts, load_texts
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["InfusionInputs", "load_inputs"]

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class InfusionInputs:
    """What a run infuses.

    Attributes:
        config: As given.
        tokenizer: The run's.
        sequence_length: Tokens a row, T.
        split: The knowledge, and which of its facts and passages are infused.
        texts: These as tokens, in every template.
    """

    config: Config
    tokenizer: TextTokenizer
    sequence_length: int
    split: InfusionSplit
    texts: TokenizedTexts

    def placement(self) -> Placement:
        """Return where in a row texts stand."""
        if self.config.infusion.placement == "rows":
            return InRows()
        ends, starts = self.tokenizer.breaks()
        return Inline(ends, starts, self.tokenizer.eos, self.config.seed)

    def validity(self) -> npt.NDArray[np.float64] | None:
        """Return from which to which fraction of the run each text is valid, (texts, 2); None if all are throughout."""
        if self.split.changing is None:
            return None
        of_entries = np.zeros((len(self.split.knowledge), 2))
        of_entries[:, 1] = 1.0
        facts = len(self.split.knowledge.facts)
        of_entries[:facts, 0], of_entries[:facts, 1] = self.split.changing
        of_texts: npt.NDArray[np.float64] = of_entries[self.texts.entry]
        return of_texts

    def known_texts(self, known_facts: BoolArray) -> BoolArray:
        """Return which texts state known facts, (texts,), from (infused facts,); pieces of passages never do."""
        of_entries = np.zeros(len(self.split.knowledge), dtype=np.bool_)
        of_entries[self.split.infused] = known_facts
        of_texts: BoolArray = of_entries[self.texts.entry]
        return of_texts

    def identity(self, known_facts: BoolArray | None) -> Mapping[str, Any]:
        """Return, by name, what the counts of a run depend on beside the amount, so that a resume can name a mismatch.

        The names and values enter the schedule hash.
        """
        return {
            "knowledge": self.split.fingerprint,
            "told": _digest(self.split.infused, self.split.passages_infused),
            "sentences": self.split.book.fingerprint(self.split.relations)[:16],
            "tokenizer": self.tokenizer.fingerprint,
            "rendering": str(self.config.infusion.rendering),
            "loss": self.config.infusion.loss,
            "attention": self.config.infusion.attention,
            "known": "" if known_facts is None else _digest(known_facts),
            **({} if self.config.begin == "eos" else {"begin": self.config.begin}),
        }


def load_inputs(config: Config, tokenizer: TextTokenizer, sequence_length: int) -> InfusionInputs:
    """Read, split, render and tokenize what a configuration infuses.

    Args:
        config: Names the knowledge and the templates.
        tokenizer: The run's.
        sequence_length: Tokens a row, T; no text is longer.

    Raises:
        KISError: Bad knowledge or templates, or a sentence longer than a row.
    """
    split = load_split(config)
    return InfusionInputs(
        config, tokenizer, sequence_length, split, load_texts(config, split, tokenizer, sequence_length)
    )


def _digest(*arrays: npt.NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
