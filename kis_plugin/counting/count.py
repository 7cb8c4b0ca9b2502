"""Counts knowledge and background facts in the base text, from files to a file of counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kis_plugin.config.load import load_config
from kis_plugin.counting.counts_file import COUNTS, write_counts
from kis_plugin.counting.name_rules import AS_WRITTEN, NameRules
from kis_plugin.counting.names import Names, names_of
from kis_plugin.counting.places import Place, identity_of
from kis_plugin.counting.pool import Counted, count_pieces
from kis_plugin.counting.texts import pieces_of, text_files
from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.facts import Fact
from kis_plugin.knowledge.per_entry_file import entry_key
from kis_plugin.knowledge.store.load import Loaded, load_knowledge
from kis_plugin.storage.artifact_cache import cache_folder

if TYPE_CHECKING:
    from kis_plugin.counting.engine import Engine

__all__ = ["CountReport", "count_facts"]


@dataclass(frozen=True)
class CountReport:
    """The result of counting.

    Attributes:
        output: The file that was written.
        facts: Number of facts counted.
        found: Facts whose subject and object occur together in at least one window.
        window: The unit of text: sentence, paragraph or document.
        documents: Documents in the text.
        windows: Windows in the text.
        bytes: Bytes of the text, as UTF-8.
    """

    output: str
    facts: int
    found: int
    window: str
    documents: int
    windows: int
    bytes: int


def count_facts(
    knowledge: Path,
    texts: Sequence[Place],
    output: Path,
    window: str,
    workers: int,
    watch: Callable[[int, int], None],
    engine: Engine | None = None,
    rules: NameRules = AS_WRITTEN,
) -> CountReport | None:
    """Count the windows of the base text that hold each fact's subject, its object, and both.

    Args:
        knowledge: Facts, or a ``kis.yaml``, whose ``retention.background`` is counted too.
        texts: Files and folders of text, or their URLs.
        output: The file to write.
        window: One of ``kis_plugin.counting.windows.WINDOWS``.
        workers: Number of processes.
        watch: Called with the bytes of the files read so far, and their total.
        engine: Where to count, in place of processes of this machine.
        rules: How names are compared with the text.

    Returns:
        What was counted; None where the engine's tasks are queued and still to come.

    Raises:
        KISError: Anything wrong with the knowledge, the text or the output; nothing is written then.
    """
    if rules.folds and window != "sentence":
        found = f"{window}, with --names {rules.name}"
        raise KISError(Problem("--window", found, "sentence: the paper counts sentences"))
    COUNTS.refuse_other(output)
    files = text_files(texts)
    if identity_of(output) in {identity_of(file) for file in files}:
        raise KISError(Problem("--output", f"{output}, which is part of the base text", "a file outside the base text"))
    pieces = pieces_of(files)
    total = sum(piece.stop - piece.start for piece in pieces)
    loaded = _loaded(knowledge)
    names = names_of(_facts(loaded), rules)
    if not len(names.subject):
        raise KISError(Problem(str(knowledge), "no facts", "facts: documents have no subject and object"))
    if engine is None:
        counted = count_pieces(names, pieces, window, workers, lambda done: watch(done, total))
    else:
        from kis_plugin.counting.engine import CountTask, count_on_engine

        task = CountTask(partial(_names, rules=rules), knowledge.resolve(), window, engine.work)
        on_engine = count_on_engine(names, pieces, task, engine)
        if on_engine is None:
            return None
        counted = on_engine
    if not counted.size.documents:
        raise KISError(Problem(", ".join(map(str, texts)), "no text in it", "the base text"))
    about = {
        "knowledge": [part.fingerprint for part in loaded],
        "facts": len(names.subject),
        "names": len(names.patterns),
        "name_rules": rules.name,
        "window": window,
        "texts": [str(path) for path in texts],
        "files": len(files),
        **asdict(counted.size),
        "sample": list(counted.sample),
    }
    write_counts(output, about, _facts(loaded), counted.subject, counted.object, counted.both)
    return _report(output, window, counted)


def _names(knowledge: Path, rules: NameRules) -> Names:
    return names_of(_facts(_loaded(knowledge)), rules)


def _loaded(path: Path) -> list[Loaded]:
    """Return the knowledge, and the background if a configuration names one."""
    if path.suffix.lower() not in (".yaml", ".yml"):
        return [load_knowledge(path, cache_folder(None))]
    config = load_config(path, to_be_made="corpus_counts")
    cache = cache_folder(config.cache)
    loaded = [load_knowledge(config.knowledge, cache, columns=config.columns.mapping)]
    background = config.retention.background
    return loaded if background is None else [*loaded, load_knowledge(background, cache)]


def _facts(loaded: Sequence[Loaded]) -> Iterable[Fact]:
    """Yield all facts; those that knowledge and background share once."""
    if len(loaded) == 1:
        return loaded[0].knowledge.facts
    keys = {entry_key(fact) for fact in loaded[0].knowledge.facts}
    return chain(loaded[0].knowledge.facts, _others(loaded[1].knowledge.facts, keys))


def _others(facts: Iterable[Fact], keys: set[int]) -> Iterator[Fact]:
    return (fact for fact in facts if entry_key(fact) not in keys)


def _report(output: Path, window: str, counted: Counted) -> CountReport:
    size: dict[str, Any] = asdict(counted.size)
    return CountReport(str(output), len(counted.both), int(np.count_nonzero(counted.both)), window, **size)
