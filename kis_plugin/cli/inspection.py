"""What a run would infuse, before it begins: the report of ``kis inspect``, from the plan that the run would follow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.cli.check import amount_of
from kis_plugin.config.load import load_config
from kis_plugin.config.schema import Config
from kis_plugin.hashing import IntArray
from kis_plugin.infusion.build_plan import plan_infusion
from kis_plugin.infusion.inputs import load_inputs
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.infusion.template_order import TemplateOrder
from kis_plugin.knowledge.fact_codes import coded
from kis_plugin.tokenized.infusion_split import InfusionSplit
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["ExampleRow", "InspectReport", "RelationShare", "Stretch", "inspect_config"]

PARTS = 64  # of the run, for the schedule's picture
EXAMPLES = 10
MOST_ROWS = 1 << 21  # that are looked at one by one; of a longer run every n-th
STAND_IN = " This stands for base text."
PASSAGES = "(passages)"


@dataclass(frozen=True)
class RelationShare:
    """What one relation gets of the infusion.

    Attributes:
        relation: Its name in the file; ``(passages)`` for documents.
        label: Its name in words.
        told: Facts of it that are told; pieces, of documents.
        exposures: How often they are shown, together.
        tokens: Tokens of these exposures.
        share: The same as a fraction of all infused tokens.
    """

    relation: str
    label: str
    told: int
    exposures: int
    tokens: int
    share: float


@dataclass(frozen=True)
class Stretch:
    """A part of an example row.

    Attributes:
        told: Whether it is infused; else it is base text.
        tokens: Its length, EOS included.
        text: What is told; empty for base text.
        id: The fact's or passage's id; empty for base text.
    """

    told: bool
    tokens: int
    text: str = ""
    id: str = ""


@dataclass(frozen=True)
class ExampleRow:
    """One infused row: its number in the run, and what stands in it, from its start."""

    row: int
    stretches: tuple[Stretch, ...]

    @property
    def infused(self) -> int:
        """Infused tokens."""
        return sum(stretch.tokens for stretch in self.stretches if stretch.told)


@dataclass(frozen=True)
class InspectReport:
    """All that ``kis inspect`` says.

    Attributes:
        config: The file.
        asked: The amount it asks for, as ``{"frequency": 64.0}``.
        rows: Rows of the run.
        sequence_length: Tokens a row.
        tokens: Token budget D.
        facts: Facts that are told.
        passages: Passages that are told.
        items: Texts that one round tells: a fact is one, a long passage several.
        wordings: In how many ways a fact is worded, at most.
        frequency: Mean exposures per item.
        fewest: Least exposures of an item.
        most: Greatest.
        exposures: Of all items together.
        infused_tokens: Tokens of all exposures.
        share: The same as a fraction of D.
        infused_rows: Rows that carry something.
        settings: The other keys of ``infusion`` that matter here, as text.
        relations: What each relation gets, most tokens first.
        density: For each of 64 equal parts of the run the fraction of its rows that are infused.
        every: Of so many rows one is looked at for the density; 1 for all rows.
        examples: Some infused rows, ten by default, evenly over the infused ones.
        schedule_hash: As the run log will have it.
        warnings: What one should know, one line each.
    """

    config: str
    asked: dict[str, float]
    rows: int
    sequence_length: int
    tokens: int
    facts: int
    passages: int
    items: int
    wordings: int
    frequency: float
    fewest: int
    most: int
    exposures: int
    infused_tokens: int
    share: float
    infused_rows: int
    settings: dict[str, str]
    relations: tuple[RelationShare, ...]
    density: tuple[float, ...]
    every: int
    examples: tuple[ExampleRow, ...]
    schedule_hash: str
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {"status": "ok", **asdict(self)}


def inspect_config(
    path: Path, tokenizer: TextTokenizer, rows: int, sequence_length: int, examples: int = EXAMPLES
) -> InspectReport:
    """Plan a run of ``rows`` rows of ``sequence_length`` tokens and say what it would infuse, with some example rows.

    Raises:
        KISError: Whatever would end such a run before its first step.
    """
    config = load_config(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inputs = load_inputs(config, tokenizer, sequence_length)
        plan = plan_infusion(inputs, rows)
        material = inputs.split
    notes = [str(warning.message) for warning in caught]
    if config.infusion.skip_known:
        notes.append("skip_known: the run asks the model first; here every fact counts as unknown.")
    every = -(-rows // MOST_ROWS)
    seen = np.arange(0, rows, every)
    infused = np.fromiter(map(plan.infused, seen.tolist()), dtype=np.bool_, count=len(seen))
    counts = plan.counts
    return InspectReport(
        config=str(path),
        asked=amount_of(config),
        rows=rows,
        sequence_length=sequence_length,
        tokens=rows * sequence_length,
        facts=len(material.infused),
        passages=len(material.passages_infused),
        items=len(plan),
        wordings=plan.texts.templates,
        frequency=plan.frequency,
        fewest=int(counts.min(initial=np.iinfo(np.int64).max)) if len(counts) else 0,
        most=int(counts.max(initial=0)),
        exposures=int(counts.sum()),
        infused_tokens=plan.infused_tokens,
        share=plan.infused_tokens / (rows * sequence_length),
        infused_rows=plan.infused_rows,
        settings=_settings(config),
        relations=_relations(config, material, plan),
        density=tuple(float(part.mean()) for part in np.array_split(infused, min(PARTS, len(seen)))),
        every=every,
        examples=tuple(_examples(material, plan, tokenizer, seen[infused], examples)),
        schedule_hash=plan.schedule_hash,
        warnings=tuple(note.removeprefix("warning: ") for note in notes),
    )


def tokens_shown(config: Config, plan: InfusionPlan) -> IntArray:
    """Return the tokens that all exposures of each item take: (items,)."""
    order = TemplateOrder(plan.texts, config.infusion.template_order == "random", config.seed)
    counts = plan.counts
    shown = np.zeros(len(plan), dtype=np.int64)
    for count in np.unique(counts).tolist():  # a few: whole rounds, one more, and those of known facts
        members = np.flatnonzero(counts == count)
        cycles, rest = divmod(count, order.cycle)
        for turn in range(min(count, order.cycle)):
            shown[members] += (cycles + (turn < rest)) * order.lengths(turn, members)
    return shown


def _relations(config: Config, material: InfusionSplit, plan: InfusionPlan) -> tuple[RelationShare, ...]:
    entry = np.asarray(plan.texts.entry, dtype=np.int64)
    codes = coded(material.knowledge.facts)
    names = (*codes.relations, PASSAGES)
    which = np.full(len(entry), len(codes.relations), dtype=np.int64)
    is_fact = entry < len(material.knowledge.facts)
    which[is_fact] = codes.relation[entry[is_fact]]
    told, counts, tokens = np.bincount(which, minlength=len(names)), plan.counts, tokens_shown(config, plan)
    shares = []
    for code in np.flatnonzero(told).tolist():
        mine = which == code
        name, shown = names[code], int(tokens[mine].sum())
        label = "documents" if name == PASSAGES else material.book.label(name)
        share = shown / max(plan.infused_tokens, 1)
        shares.append(RelationShare(name, label, int(told[code]), int(counts[mine].sum()), shown, share))
    return tuple(sorted(shares, key=lambda item: -item.tokens))


def _examples(
    material: InfusionSplit, plan: InfusionPlan, tokenizer: TextTokenizer, infused: npt.NDArray[np.int64], most: int
) -> Iterator[ExampleRow]:
    """Yield some rows, evenly from the infused ones."""
    if not len(infused) or not most:
        return
    base = _stand_in(tokenizer, plan.sequence_length)
    for place in np.unique(np.linspace(0, len(infused) - 1, most).round().astype(np.int64)).tolist():
        row = int(infused[place])
        texts, placed = plan.texts_in(row), plan.place(row, base)
        if texts is None or placed is None:
            raise AssertionError(f"row {row} is infused")
        ids, ends = placed.tokens.tolist(), np.cumsum(placed.lengths).tolist()
        stretches: list[Stretch] = []
        for told, first, stop in placed.pieces:
            if not told:
                stretches += [Stretch(False, stop - first)] if stop > first else []
                continue
            for number, (end, length) in enumerate(zip(ends, placed.lengths, strict=True)):
                if first <= end - length and end <= stop:
                    item = int(texts[number]) % len(plan)
                    text = _text(tokenizer, ids[end - length : end])
                    stretches.append(Stretch(True, length, text, _id(material, int(plan.texts.entry[item]))))
        yield ExampleRow(row, tuple(stretches))


def _stand_in(tokenizer: TextTokenizer, sequence_length: int) -> npt.NDArray[np.int32]:
    """Return a row of sentences, for the places between them."""
    ids, _ = tokenizer.encode_ids([STAND_IN])
    return np.resize(ids, sequence_length)


def _text(tokenizer: TextTokenizer, ids: Sequence[int]) -> str:
    return tokenizer.decode(ids[:-1] if ids and ids[-1] == tokenizer.eos else ids).strip()


def _id(material: InfusionSplit, entry: int) -> str:
    facts = material.knowledge.facts
    return facts[entry].id if entry < len(facts) else material.knowledge.passages[entry - len(facts)].id


def _settings(config: Config) -> dict[str, str]:
    infusion = config.infusion
    keys = ("placement", "schedule", "rendering", "selection", "template_order", "loss", "attention")
    return {"window": "{:g} to {:g}".format(*infusion.window), **{key: str(getattr(infusion, key)) for key in keys}}
