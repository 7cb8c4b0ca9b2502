"""The beginning of held-out general text as tokens, documents joined as a run trains on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kis_plugin.errors import KISError, Problem
from kis_plugin.seeded import IntArray
from kis_plugin.sentences import TextTokenizer
from kis_plugin.sources.documents import DocumentSource

__all__ = ["documents", "opening"]

_CHARACTERS = 32  # of a document for each token that is still wanted: what is beyond is not tokenized


def documents(path: Path) -> Iterator[str]:
    """Yield the documents of some text, as the document source reads them.

    Raises:
        KISError: It does not read such a file, or everything wrong with it, after the last document.
    """
    source = DocumentSource()
    if not source.claims(path):
        found = f"{path}, which holds no documents"
        raise KISError(Problem("retention.text", found, "JSONL with text, .txt or a folder of .txt, also .gz and .xz"))
    return (passage.text for passage in source.stream(path))


def opening(path: Path, tokenizer: TextTokenizer, wanted: int) -> tuple[IntArray, int]:
    """Return the first ``wanted`` tokens of documents, EOS before each and after the last, and what they are of.

    Returns:
        (tokens,) ids, fewer where there is no more text, and the UTF-8 bytes of the text that they are.

    Raises:
        KISError: No token in it, or anything wrong with what is read.
    """
    ids, size = [tokenizer.eos], 0
    for text in documents(path):
        left = wanted - len(ids)
        (found,) = tokenizer.encode([text[: _CHARACTERS * left]])
        kept = min(len(found.ids), left)
        size += len(text[: found.ends[kept - 1]].encode()) if kept else 0
        ids += [*found.ids[:kept], tokenizer.eos]
        if len(ids) >= wanted:
            break
    if not size:
        raise KISError(Problem("retention.text", f"no token in {path}", "text that the tokenizer knows"))
    return np.array(ids[:wanted], dtype=np.int64), size
