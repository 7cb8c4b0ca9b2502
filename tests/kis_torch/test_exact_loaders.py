"""Real DataLoaders over random runs: what is shown depends on the plan, not on ranks, batches, workers or cuts."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from kis_plugin.config.schema import InfusionConfig
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.infusion.schedules import Burst, Ramp, Spaced, Uniform
from kis_torch import InfusedDataset, InfusionSampler
from tests.world.texts import EOS, make_texts

BASE = 10_000  # no item has such tokens


def collate(rows):
    return np.stack(rows)


def planned(lengths, frequency, sequence_length, window, schedule, seed, batch):
    """A plan over whole global batches, a multiple of 4 rows."""
    window = (window[0] / 10, window[1] / 10)
    needed = (frequency + 1) * len(lengths) * 4 / (window[1] - window[0])
    rows = (int(needed) // (4 * batch) + 1) * 4 * batch
    amount = InfusionConfig(frequency=frequency, window=window)
    return InfusionPlan(make_texts(lengths), amount, schedule, rows, sequence_length, seed)


def infused(plan):
    """What makes an example of a base row: as adapters do."""

    def example(row, base):
        placed = plan.place(row, base)
        return base if placed is None else placed.joined(placed.tokens, base)

    return example


def rows_shown(plan, base, batch, parts, workers):
    """All rows of the run, in the order of consumption, where each part is trained by another number of ranks."""
    shown = {}
    dataset = InfusedDataset(base, infused(plan))
    done = 0  # rows
    for ranks, until in parts:
        for rank in range(ranks):
            size = batch // ranks
            sampler = InfusionSampler(base, size, rank, ranks, shuffle=True, seed=3)
            sampler.advance(done // batch)
            at = done // batch
            while at < until // batch:
                loader = DataLoader(dataset, size, sampler=sampler, num_workers=workers, collate_fn=collate)
                for rows in loader:
                    if at == until // batch:
                        break  # what the workers fetched ahead is lost, as in a run that is killed
                    first = at * batch + rank * size
                    shown |= {first + place: row.tolist() for place, row in enumerate(rows)}
                    sampler.advance()
                    at += 1
        done = until
    return [shown[row] for row in range(plan.rows)]


def counted(rows, items):
    """Whole items in the rows, by their tokens alone."""
    texts = Counter()
    for row in rows:
        infused_facts = [token for token in row if token < BASE]
        sentence = []
        for token in infused_facts:
            sentence.append(token)
            if token == EOS:
                texts[tuple(sentence)] += 1
                sentence = []
        assert not sentence  # none is cut
    lengths = np.diff(items.offsets)
    return [texts[(*[item + 1] * (length - 1), EOS)] for item, length in enumerate(lengths.tolist())]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 12), min_size=1, max_size=12),
    frequency=st.one_of(st.integers(0, 5), st.floats(0, 5)),
    sequence_length=st.sampled_from([12, 16, 31]),
    window=st.tuples(st.integers(0, 4), st.integers(6, 10)),
    schedule=st.sampled_from([Uniform(), Ramp(start=1, end=2), Burst(bursts=2, part=0.5), Spaced(stretch=2)]),
    seed=st.integers(0, 2**40),
    batch=st.sampled_from([4, 8, 12]),
    ranks=st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=3),
    cuts=st.lists(st.floats(0, 1), min_size=2, max_size=2),
    passes=st.floats(0.4, 3),
    workers=st.sampled_from([0, 0, 0, 2]),
)
def test_every_item_is_shown_as_often_in_the_same_rows(
    lengths, frequency, sequence_length, window, schedule, seed, batch, ranks, cuts, passes, workers
):
    plan = planned(lengths, frequency, sequence_length, window, schedule, seed, batch)
    length = max(int(plan.rows / passes), batch)
    base = [np.full(sequence_length, BASE + index) for index in range(length)]
    inner = [int(cut * plan.rows) // batch * batch for cut in sorted(cuts)]
    ends = [*inner[: len(ranks) - 1], plan.rows]
    shown = rows_shown(plan, base, batch, list(zip(ranks, ends, strict=True)), workers)
    assert counted(shown, plan.texts) == plan.counts.tolist()
    heads = [[token for token in row if token < BASE] for row in shown]
    alone = [[] if (texts := plan.texts_in(row)) is None else plan.tokens(texts).tolist() for row in range(plan.rows)]
    assert heads == alone
    assert all(len(row) == sequence_length for row in shown)
