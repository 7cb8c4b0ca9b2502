"""What is infused, as tokens: every fact in each of its templates, and documents in pieces that fit a row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.config.options import chosen
from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.storage.artifact_cache import Writer, prepared
from kis_plugin.templates.protocols import Renderer
from kis_plugin.tokenized.build import RenderOptions, write_texts
from kis_plugin.tokenized.document_start import start_token
from kis_plugin.tokenized.infusion_split import InfusionSplit
from kis_plugin.tokenized.name_checks import refuse_unreadable_names
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["TokenizedTexts", "load_texts", "refuse_passages_without_object", "texts_key"]

_FORMAT = 2  # of the cache; goes up with every change to what is written


@dataclass(frozen=True)
class TokenizedTexts:
    """Token sequences of all texts, end to end.

    An *item* is what exposures are counted for: a fact, or a piece of a passage. A *text* is an item in one of its
    templates. Text ``template * items + item`` is item ``item`` in template ``template``.

    Attributes:
        tokens: (total,) token ids, uint16 where the vocabulary allows, else int32.
        offsets: (texts + 1,); text t is ``tokens[offsets[t]:offsets[t + 1]]``.
        entry: (items,) which fact of the knowledge an item is; ``len(facts) + p`` for a piece of passage p.
        own_templates: (items,) how many templates the item has; template t of an item with fewer is its template
            ``t % own_templates`` again.
        templates: Templates of the items that have most.
        targets: (total,) 1 where a token is a training target, or None if all are.
        fingerprint: Hash of all of this.
    """

    tokens: npt.NDArray[np.integer]
    offsets: IntArray
    entry: npt.NDArray[np.integer]
    own_templates: npt.NDArray[np.integer]
    templates: int
    targets: npt.NDArray[np.uint8] | None
    fingerprint: str

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.entry)

    @property
    def lengths(self) -> IntArray:
        """Tokens of each text, its EOS included where it has one: (templates, items)."""
        return np.diff(self.offsets).reshape(self.templates, len(self))


def load_texts(config: Config, split: InfusionSplit, tokenizer: TextTokenizer, sequence_length: int) -> TokenizedTexts:
    """Render and tokenize everything that is infused.

    Args:
        config: Its ``infusion`` says how facts are rendered, what is a target, and how documents are cut.
        split: What is infused.
        tokenizer: The run's.
        sequence_length: Tokens a row. With placement ``rows`` a text with its EOS, and BOS if it has one, fits into
            one; ``inline`` half of one, without either.

    Raises:
        KISError: Sentences, or words of passages, that do not fit, the first 20 of them; documents with ``loss:
            object``; ``begin: bos`` with a tokenizer that has no BOS.
    """
    infusion, where = config.infusion, f"{config.path or 'config'} infusion"
    refuse_passages_without_object(config, split)
    renderer: Renderer = chosen("renderers", infusion.rendering, f"{where}.rendering")
    inline = infusion.placement == "inline"
    start = start_token(config, tokenizer)
    begin = None if inline else start  # a text between sentences begins no document
    limit = sequence_length // 2 if inline else sequence_length - 1 - (begin is not None)
    options = RenderOptions(
        renderer=renderer,
        most=infusion.templates_used,
        inline=inline,
        objects_only=infusion.loss == "object",
        begin=begin,
        limit=limit,
        chunk_tokens=min(infusion.chunk_tokens or limit, limit),
    )
    key = texts_key(config, split, tokenizer, sequence_length)

    def build(writer: Writer) -> None:
        refuse_unreadable_names(split.knowledge.facts, split.knowledge.passages, split.book, tokenizer)
        write_texts(writer, options, split, tokenizer)

    made = prepared(split.cache, "items", key, build)
    arrays = made.arrays
    return TokenizedTexts(
        tokens=arrays["tokens"],
        offsets=arrays["offsets"],
        entry=arrays["entry"],
        own_templates=arrays["own"],
        templates=made.meta["wordings"],
        targets=arrays.get("targets"),
        fingerprint=made.meta["fingerprint"],
    )


def refuse_passages_without_object(config: Config, split: InfusionSplit) -> None:
    """Refuse ``loss: object`` where passages are infused."""
    if config.infusion.loss == "object" and len(split.passages_infused):
        found = f"object, with {len(split.passages_infused)} passages to infuse"
        where = f"{config.path or 'config'} infusion.loss"
        raise KISError(Problem(where, found, "all", "Passages have no object."))


def texts_key(
    config: Config, split: InfusionSplit, tokenizer: TextTokenizer, sequence_length: int
) -> Mapping[str, Any]:
    """Return all that the texts depend on, as JSON values: the key of their cache."""
    infusion = config.infusion
    infused = hashlib.sha256()
    for indices in (split.infused, split.passages_infused):
        infused.update(np.ascontiguousarray(indices, dtype=np.int64).data)
        infused.update(b"\n")
    return {
        "format": _FORMAT,
        "knowledge": split.fingerprint,
        "told": infused.hexdigest(),
        "rendering": [infusion.rendering.name, dict(infusion.rendering.options)],
        "most_wordings": infusion.templates_used,
        "templates": split.book.fingerprint(split.relations),
        "tokenizer": tokenizer.fingerprint,
        "block": sequence_length,
        "placement": infusion.placement,
        "chunk": infusion.chunk_tokens,
        "loss": infusion.loss,
        **({} if config.begin == "eos" else {"begin": start_token(config, tokenizer)}),
    }
