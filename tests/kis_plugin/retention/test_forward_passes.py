"""Forward passes: few shapes, equal numbers on every rank, smaller ones where memory does not suffice."""

from __future__ import annotations

from contextlib import nullcontext
from threading import Barrier, Thread

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_plugin.retention.scoring.batch_plan import bucket, plan_passes
from kis_plugin.retention.scoring.batch_rows import PlainRows
from kis_plugin.retention.scoring.forward_passes import NO_TOKEN, ForwardPasses
from kis_plugin.run.ranks import Ranks

VOCABULARY = 11
FULL = torch.cuda.OutOfMemoryError("CUDA out of memory.")


class Counting:
    """Logits that depend on all tokens so far; remembers its passes, and may have room for few rows."""

    def __init__(self, room=10**9, error=FULL, together=False):
        self.room, self.error, self.together, self.shapes, self.tries = room, error, together, [], 0

    def logits(self, input_ids):
        self.tries += 1
        if len(input_ids) > self.room:
            raise self.error
        self.shapes.append(tuple(input_ids.shape))
        depth = (input_ids * torch.arange(1, input_ids.shape[1] + 1)).cumsum(dim=1).float()
        return torch.sin(depth[..., None] * torch.arange(1, VOCABULARY + 1))

    def evaluating(self):
        return nullcontext()


def random_lines(count=60, seed=0):
    rng = np.random.default_rng(seed)
    rows = [tuple(rng.integers(1, VOCABULARY, size=rng.integers(3, 50)).tolist()) for _ in range(count)]
    row = np.repeat(np.arange(count), 2)
    position = np.concatenate([[len(one) - 2, len(one) - 1] for one in rows])
    return PlainRows(rows, row, position, rng.integers(0, VOCABULARY, size=2 * count))


def logprobs(rows, model, ranks=None, batch_tokens=256):
    return ForwardPasses(rows, batch_tokens).logprobs(model, ranks or Ranks(), lambda part: None)


@given(st.integers(1, 10**6))
def test_buckets_are_few_and_never_much_too_wide(length):
    assert length <= bucket(length) < max(length * 1.25, length + 8)
    assert len({bucket(one) for one in range(1, 2049)}) <= 8 + 4 * 5


@given(st.lists(st.integers(1, 300), min_size=1, max_size=200), st.integers(1, 4096))
def test_every_row_is_in_one_pass_that_holds_it(lengths, batch_tokens):
    lengths = np.array(lengths)
    tails = np.maximum(lengths // 2, 1)
    plan = plan_passes(lengths, tails, batch_tokens)
    assert sorted(row for one in plan for row in one.rows) == list(range(len(lengths)))
    for one in plan:
        assert lengths[list(one.rows)].max() <= one.width
        assert tails[list(one.rows)].max() <= one.tail <= one.width
        assert len(one.rows) * one.width <= batch_tokens or len(one.rows) == 1
    heights = {}
    for one in plan[:-1]:  # the last holds what is left
        heights.setdefault(one.width, set()).add(len(one.rows))
    assert all(len(found) == 1 for found in heights.values())


@given(st.lists(st.integers(1, 300), min_size=1, max_size=200), st.integers(1, 4096))
def test_rounded_passes_have_powers_of_two_of_rows(lengths, batch_tokens):
    plan = plan_passes(np.array(lengths), np.array(lengths), batch_tokens, rounded=True)
    assert {row for one in plan for row in one.rows} == set(range(len(lengths)))
    assert sum(len(set(one.rows)) for one in plan) == len(lengths)
    for one in plan:
        assert len(one.rows).bit_count() == 1
        assert len(one.rows) < 2 * len(set(one.rows))
        assert len(one.rows) * one.width <= batch_tokens or len(one.rows) == 1


def test_no_row_is_padded_beyond_the_sequence_length():
    plan = plan_passes(np.array([9, 8, 3]), np.array([1, 1, 1]), 1000, sequence_length=9)
    assert [one.width for one in plan] == [9]


@pytest.mark.parametrize("size", [2, 3, 7, 64])
def test_ranks_get_the_numbers_of_one_process(size):
    rows = random_lines()
    expected = logprobs(rows, alone := Counting())
    models = [Counting(together=True) for _ in range(size)]
    found = run_ranks(size, lambda rank, ranks: logprobs(rows, models[rank], ranks))
    for values in found:
        np.testing.assert_array_equal(values, expected)
    assert {len(model.shapes) for model in models} == {-(-len(alone.shapes) // size)}  # none left waiting


def test_likeliest_tokens_are_those_of_each_row_alone():
    rows, model = random_lines(), Counting()
    expected = []
    for row, position in zip(rows.batch_row, rows.position, strict=True):
        expected.append(int(model.logits(torch.tensor([rows.rows[row]]))[0, position].argmax()))
    assert len(set(expected)) > 2
    for rounded in (False, True):
        assert ForwardPasses(rows, 256, rounded=rounded).likeliest(Counting(room=3), Ranks()).tolist() == expected


def test_ties_take_the_first_token_and_nan_takes_none():
    class Alike(Counting):
        def logits(self, input_ids):
            logits = torch.zeros(*input_ids.shape, VOCABULARY)
            logits[..., 4:6] = 1.0
            logits[input_ids == 2] = float("nan")
            return logits

    rows = PlainRows([(1, 2, 3)], np.zeros(3, dtype=np.int64), np.arange(3), np.zeros(3, dtype=np.int64))
    assert ForwardPasses(rows, 256).likeliest(Alike(), Ranks()).tolist() == [4, NO_TOKEN, 4]


def run_ranks(size, work):
    """Call ``work(rank, ranks)`` in as many threads, whose sums meet as those of processes do."""
    barrier, parts, results = Barrier(size), {}, [None] * size

    def summing(rank):
        def total(array):
            parts[rank] = array.copy()
            barrier.wait(60)
            whole = np.sum([parts[one] for one in range(size)], axis=0)
            barrier.wait(60)
            return whole

        return total

    def one(rank):
        results[rank] = work(rank, Ranks(rank, size, summing(rank)))

    threads = [Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


@settings(max_examples=20)
@given(st.integers(1, 40))
def test_passes_that_exceed_memory_are_halved(room):
    rows = random_lines()
    model = Counting(room)
    np.testing.assert_allclose(logprobs(rows, model, batch_tokens=1024), logprobs(rows, Counting()), atol=1e-5)
    assert max(rows for rows, _ in model.shapes) <= room


def test_the_size_that_fits_memory_is_remembered():
    rows, model = random_lines(), Counting(room=3)
    passes = ForwardPasses(rows, 1024)
    passes.logprobs(model, Ranks(), lambda part: None)
    model.room, model.shapes = 10**9, []
    passes.logprobs(model, Ranks(), lambda part: None)
    assert max(rows for rows, _ in model.shapes) <= 3


@pytest.mark.parametrize("together", [False, True])
def test_no_memory_at_all_is_an_error(together):
    with pytest.raises(KISError, match=r"no memory for \d+ rows of \d+ tokens.*retention.batch_tokens"):
        logprobs(random_lines(), Counting(0, together=together), batch_tokens=1024)


@pytest.mark.parametrize("rooms", [(3, 10**9), (10**9, 1), (2, 5)])
def test_ranks_that_share_a_model_halve_passes_together(rooms):
    rows = random_lines()
    models = [Counting(room, together=True) for room in rooms]
    found = run_ranks(2, lambda rank, ranks: logprobs(rows, models[rank], batch_tokens=1024, ranks=ranks))
    # A rank that ran a forward pass more than the other would wait for it without end.
    assert models[0].tries == models[1].tries
    for values in found:
        np.testing.assert_allclose(values, logprobs(rows, Counting()), atol=1e-5)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    with pytest.raises(RuntimeError, match="shapes"):
        logprobs(random_lines(), Counting(0, RuntimeError("shapes cannot be multiplied")))


def test_progress_is_reported_after_every_round():
    parts = []
    rows = random_lines()
    ForwardPasses(rows, 256).logprobs(Counting(), Ranks(), parts.append)
    assert parts == sorted(parts)
    assert parts[-1] == 1
