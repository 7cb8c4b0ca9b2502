"""Which facts and passages a run infuses and which it holds back as controls, read once for all plugins of the run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from kis_plugin.config.options import chosen
from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.control_split import split_control
from kis_plugin.knowledge.facts import Fact, Knowledge, Passage
from kis_plugin.knowledge.protocols import Selection
from kis_plugin.knowledge.store.columns import fingerprint
from kis_plugin.knowledge.store.load import Loaded, Progress, load_knowledge, no_progress
from kis_plugin.knowledge.store.tables import FactTable, Part, Table
from kis_plugin.storage.artifact_cache import Prepared, Writer, cache_folder, prepared
from kis_plugin.templates.book import TemplateBook
from kis_plugin.templates.load import load_templates

__all__ = ["InfusionSplit", "entries_at", "facts_hash", "load_split", "prepare_split"]

Stamps = tuple[tuple[str, int, int, int], ...]

_VERSION = 2  # of the split
_ALL = np.array([-1])  # stands for all passages until it is known how many there are


@dataclass(frozen=True)
class InfusionSplit:
    """The knowledge of a run and its split.

    Attributes:
        knowledge: All that the source gave; memory-mapped where it is large.
        book: The templates of every relation.
        infused: Indices of the facts that are infused, sorted: those that are selected and no controls.
        control: Indices of the facts that are never infused, sorted.
        passages_infused: Indices of the passages that are infused, sorted; by default all.
        fingerprint: Hash of the knowledge's content; computed if not given.
        cache: Where things made from this knowledge are kept; None while it is too small to be worth a file.
    """

    knowledge: Knowledge
    book: TemplateBook
    infused: IntArray
    control: IntArray
    passages_infused: IntArray = field(default_factory=lambda: _ALL)
    fingerprint: str = ""
    cache: Path | None = None

    def __post_init__(self) -> None:
        """Fill in the defaults."""
        if self.passages_infused is _ALL:
            object.__setattr__(self, "passages_infused", np.arange(len(self.knowledge.passages), dtype=np.int64))
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", fingerprint(self.knowledge))

    @property
    def facts(self) -> Sequence[Fact]:
        """The facts that are infused."""
        return entries_at(self.knowledge.facts, self.infused)

    @property
    def passages(self) -> Sequence[Passage]:
        """The passages that are infused."""
        return entries_at(self.knowledge.passages, self.passages_infused)

    @cached_property
    def relations(self) -> tuple[str, ...]:
        """The names of the relations of infused facts, sorted."""
        facts = self.knowledge.facts
        if isinstance(facts, FactTable):
            return tuple(sorted(facts.relations_of(self.infused)))
        return tuple(sorted({facts[index].relation for index in self.infused.tolist()}))

    @cached_property
    def changing(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """From and until which fraction of the run each fact is valid, (facts,) each; None if all are throughout."""
        facts = self.knowledge.facts
        if isinstance(facts, FactTable):
            return facts.changing()
        if all(fact.start == 0 and fact.until == 1 for fact in facts):
            return None
        return np.array([fact.start for fact in facts]), np.array([fact.until for fact in facts])


def load_split(config: Config) -> InfusionSplit:
    """Read knowledge and templates, select facts, split off the controls. The same files are not read twice in a row.

    Raises:
        KISError: Anything wrong with the files, or a cache folder that cannot be used.
    """
    return _load(config, _stamps(_files(config)))


def facts_hash(config: Config, split: InfusionSplit) -> str:
    """Return a hash of the facts and passages that a run infuses from, and of how they are selected.

    It depends on neither the amount nor the seed, which chooses the controls: runs of one sweep have the same.
    """
    selection = config.infusion.selection
    chosen_by = sorted((name, str(value)) for name, value in selection.options.items())
    return hashlib.sha256(repr((split.fingerprint, selection.name, chosen_by)).encode()).hexdigest()[:16]


def prepare_split(config: Config, watch: Progress = no_progress) -> InfusionSplit:
    """Do the same through the cache even where the knowledge is small.

    Args:
        config: What to read.
        watch: Called with the progress, as by ``kis_plugin.knowledge.store.load.load_knowledge``.

    Raises:
        KISError: Anything wrong with the files, or a cache folder that cannot be used.
    """
    return _made(
        config, load_knowledge(config.knowledge, cache_folder(config.cache), True, watch, config.columns.mapping)
    )


@lru_cache(maxsize=1)
def _load(config: Config, stamps: Stamps) -> InfusionSplit:
    return _made(config, load_knowledge(config.knowledge, cache_folder(config.cache), columns=config.columns.mapping))


def _made(config: Config, loaded: Loaded) -> InfusionSplit:
    book = load_templates(config.templates, loaded.knowledge)
    split = _split(config, loaded).arrays
    parts = (split["infused"], split["control"], split["passages_infused"])
    return InfusionSplit(loaded.knowledge, book, *parts, loaded.fingerprint, loaded.cache)


def _split(config: Config, loaded: Loaded) -> Prepared:
    """Return the facts that are infused, the controls, and the passages that are infused."""
    selection, options = config.infusion.selection, config.retention.probes.options
    where = f"{config.path or 'config'} infusion.selection"
    select: Selection = chosen("selections", selection, where)

    def build(writer: Writer) -> None:
        facts, passages = loaded.knowledge.facts, loaded.knowledge.passages
        rest, control = split_control(facts, config.retention.control, config.seed, options)
        writer.put("control", control)
        writer.put("infused", _selected(select, facts, rest, config.seed, where))
        everything = np.arange(len(passages), dtype=np.int64)
        writer.put("passages_infused", _selected(select, passages, everything, config.seed, where))

    key = {
        "knowledge": loaded.fingerprint,
        "version": _VERSION,
        "control": [config.retention.control, options, config.seed],
        "selection": [selection.name, {name: str(value) for name, value in selection.options.items()}],
        "files": _stamps(_named_files(selection.options.values())),
    }
    return prepared(loaded.cache, "split", key, build)


def _selected(
    select: Selection, entries: Sequence[Fact] | Sequence[Passage], rest: IntArray, seed: int, where: str
) -> IntArray:
    """Return which of ``rest``, indices into ``entries``, are selected."""
    if not len(rest):
        return rest
    picked = np.asarray(select.select(entries_at(entries, rest), seed))
    whole = picked.ndim == 1 and (np.issubdtype(picked.dtype, np.integer) or not len(picked))
    if not whole or (
        len(picked) and (picked[0] < 0 or picked[-1] >= len(rest) or not (picked[1:] > picked[:-1]).all())
    ):
        expected = f"places in range({len(rest)}), sorted, each once"
        raise KISError(Problem(where, f"other numbers from {select.name}", expected))
    return rest if len(picked) == len(rest) else rest[picked.astype(np.int64)]


@overload
def entries_at(entries: Sequence[Fact], places: IntArray) -> Sequence[Fact]: ...
@overload
def entries_at(entries: Sequence[Passage], places: IntArray) -> Sequence[Passage]: ...
def entries_at(entries: Sequence[Any], places: IntArray) -> Sequence[Any]:
    """Return the entries at ``places``; of a table each is made when it is looked at."""
    return Part(entries, places) if isinstance(entries, Table) else [entries[place] for place in places.tolist()]


def _files(config: Config) -> list[Path]:
    """Return every file that a split is read from, so that an edited one is read again."""
    found = _named_files(config.infusion.selection.options.values())
    for root in (config.knowledge, Path(config.templates or "")):
        found += [root, *(sorted(root.rglob("*")) if root != Path() and root.is_dir() else [])]
    return found


def _named_files(values: Any) -> list[Path]:
    return [Path(value) for value in values if isinstance(value, (str, Path)) and Path(value).is_file()]


def _stamps(paths: Sequence[Path]) -> Stamps:
    """Return path, times and size of each file."""
    found = [(str(path.resolve()), path.stat()) for path in paths if path.is_file()]
    return tuple((name, stat.st_mtime_ns, stat.st_size, stat.st_ctime_ns) for name, stat in found)
