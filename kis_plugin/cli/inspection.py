"""What a run would infuse, computed from the plan that the run would follow: the work behind ``kis inspect``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kis_plugin.cli.check import amount_of
from kis_plugin.cli.inspect_report import ExampleRow, InspectReport, RelationShare, Stretch
from kis_plugin.config.load import load_config
from kis_plugin.config.schema import Config
from kis_plugin.hashing import IntArray
from kis_plugin.infusion.build_plan import plan_infusion
from kis_plugin.infusion.inputs import load_inputs
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.infusion.rounds.template_order import TemplateOrder
from kis_plugin.knowledge.fact_codes import coded
from kis_plugin.tokenized.infusion_split import InfusionSplit
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["inspect_config", "tokens_shown"]

PARTS = 64
"""Parts of the run in the picture of the schedule."""
EXAMPLES = 10
MOST_ROWS = 1 << 21
"""Rows that are looked up one by one; in a longer run, one row in every few."""
STAND_IN = " This stands for base text."
PASSAGES = "(passages)"


def inspect_config(
    path: Path, tokenizer: TextTokenizer, rows: int, sequence_length: int, examples: int = EXAMPLES
) -> InspectReport:
    """Plan a run of ``rows`` rows of ``sequence_length`` tokens and report what it would infuse, with example rows.

    Raises:
        KISError: Any error that would end such a run before its first step.
    """
    config = load_config(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inputs = load_inputs(config, tokenizer, sequence_length)
        plan = plan_infusion(inputs, rows)
    split = inputs.split
    notes = [str(warning.message) for warning in caught]
    if config.infusion.skip_known:
        notes.append("skip_known: the run probes the model first; here every fact counts as unknown.")
    every = -(-rows // MOST_ROWS)
    seen = np.arange(0, rows, every)
    infused = np.fromiter(map(plan.infused, seen.tolist()), dtype=np.bool_, count=len(seen))
    counts = plan.counts
    return InspectReport(
        config=str(path),
        amount=amount_of(config),
        rows=rows,
        sequence_length=sequence_length,
        tokens=rows * sequence_length,
        facts=len(split.infused),
        passages=len(split.passages_infused),
        texts=len(plan),
        templates=plan.texts.templates,
        frequency=plan.frequency,
        fewest=int(counts.min(initial=np.iinfo(np.int64).max)) if len(counts) else 0,
        most=int(counts.max(initial=0)),
        exposures=int(counts.sum()),
        infused_tokens=plan.infused_tokens,
        share=plan.infused_tokens / (rows * sequence_length),
        infused_rows=plan.infused_rows,
        settings=_settings(config),
        relations=_relations(config, split, plan),
        density=tuple(float(part.mean()) for part in np.array_split(infused, min(PARTS, len(seen)))),
        every=every,
        examples=tuple(_examples(split, plan, tokenizer, seen[infused], examples)),
        schedule_hash=plan.schedule_hash,
        warnings=tuple(note.removeprefix("warning: ") for note in notes),
    )


def tokens_shown(config: Config, plan: InfusionPlan) -> IntArray:
    """Return the tokens that all exposures of each text take: (texts,)."""
    order = TemplateOrder(plan.texts, config.infusion.template_order == "random", config.seed)
    counts = plan.counts
    shown = np.zeros(len(plan), dtype=np.int64)
    # There are few distinct counts: whole rounds, one round more, and the count of known facts.
    for count in np.unique(counts).tolist():
        members = np.flatnonzero(counts == count)
        cycles, rest = divmod(count, order.cycle)
        for turn in range(min(count, order.cycle)):
            shown[members] += (cycles + (turn < rest)) * order.lengths(turn, members)
    return shown


def _relations(config: Config, split: InfusionSplit, plan: InfusionPlan) -> tuple[RelationShare, ...]:
    entry = np.asarray(plan.texts.entry, dtype=np.int64)
    codes = coded(split.knowledge.facts)
    names = (*codes.relations, PASSAGES)
    # (texts,): the relation of each text; the code after the last relation stands for passages.
    relation_of = np.full(len(entry), len(codes.relations), dtype=np.int64)
    is_fact = entry < len(split.knowledge.facts)
    relation_of[is_fact] = codes.relation[entry[is_fact]]
    infused = np.bincount(relation_of, minlength=len(names))
    counts, tokens = plan.counts, tokens_shown(config, plan)
    shares = []
    for code in np.flatnonzero(infused).tolist():
        members = relation_of == code
        name, shown = names[code], int(tokens[members].sum())
        label = "documents" if name == PASSAGES else split.book.label(name)
        share = shown / max(plan.infused_tokens, 1)
        shares.append(RelationShare(name, label, int(infused[code]), int(counts[members].sum()), shown, share))
    return tuple(sorted(shares, key=lambda share: -share.tokens))


def _examples(
    split: InfusionSplit, plan: InfusionPlan, tokenizer: TextTokenizer, infused: npt.NDArray[np.int64], most: int
) -> Iterator[ExampleRow]:
    """Yield at most ``most`` rows, evenly spaced among the infused ones."""
    if not len(infused) or not most:
        return
    base = _stand_in(tokenizer, plan.sequence_length)
    for place in np.unique(np.linspace(0, len(infused) - 1, most).round().astype(np.int64)).tolist():
        row = int(infused[place])
        yield ExampleRow(row, tuple(_stretches(split, plan, tokenizer, row, base)))


def _stretches(
    split: InfusionSplit, plan: InfusionPlan, tokenizer: TextTokenizer, row: int, base: npt.NDArray[np.int32]
) -> Iterator[Stretch]:
    """Yield the parts of an infused row in order: each infused text by itself, base text in one part."""
    texts, placed = plan.texts_in(row), plan.place(row, base)
    if texts is None or placed is None:
        raise AssertionError(f"row {row} is infused")
    ids, ends = placed.tokens.tolist(), np.cumsum(placed.lengths).tolist()
    for is_infused, first, stop in placed.pieces:
        if not is_infused:
            if stop > first:
                yield Stretch(False, stop - first)
            continue
        for number, (end, length) in enumerate(zip(ends, placed.lengths, strict=True)):
            if first <= end - length and end <= stop:
                entry = int(plan.texts.entry[int(texts[number]) % len(plan)])
                yield Stretch(True, length, _text(tokenizer, ids[end - length : end]), _id(split, entry))


def _stand_in(tokenizer: TextTokenizer, sequence_length: int) -> npt.NDArray[np.int32]:
    """Return a row of sentences that stands for base text, with places between sentences for inline infusion."""
    ids, _ = tokenizer.encode_ids([STAND_IN])
    return np.resize(ids, sequence_length)


def _text(tokenizer: TextTokenizer, ids: Sequence[int]) -> str:
    """Return the text of an infused text, without the tokens that begin and end it."""
    ids = ids[1:] if ids[:1] == [getattr(tokenizer, "bos", None)] else ids
    return tokenizer.decode(ids[:-1] if ids[-1:] == [tokenizer.eos] else ids).strip()


def _id(split: InfusionSplit, entry: int) -> str:
    facts = split.knowledge.facts
    return facts[entry].id if entry < len(facts) else split.knowledge.passages[entry - len(facts)].id


def _settings(config: Config) -> dict[str, str]:
    infusion = config.infusion
    keys = ("placement", "schedule", "rendering", "selection", "template_order", "loss", "attention")
    begin = {} if config.begin == "eos" else {"begin": config.begin}
    settings = {key: str(getattr(infusion, key)) for key in keys}
    return {"window": "{:g} to {:g}".format(*infusion.window), **settings, **begin}
