"""Two processes on gloo see, together, exactly F of every fact; so do two that resume where two were stopped."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from kis_plugin.errors import KISError
from kis_plugin.run.log import read_run_log
from tests.kis_hf.ddp_run import DATA, KEYS, train
from tests.kis_hf.test_row_shapes import anywhere
from tests.world.facts import kis, write_facts
from tests.world.processes import run_ranks
from tests.world.runs import controls_shown, shown, trainer_for
from tests.world.tokenizers import make_tokenizer

HERE = Path(__file__).parent


def go_on_alone(folder, rows, data="map", **keys):
    """Resume in one process what two began, in a copy of their folder; return the rows that the model was given."""
    alone = shutil.copytree(folder, folder.with_name(folder.name + "-alone"))
    config = kis(alone, frequency=6, retention={})
    trainer = trainer_for(alone, config, rows=rows, data=DATA[data], **{**KEYS, **keys})
    trainer.train(resume_from_checkpoint=True)
    (log,) = [read_run_log(path) for path in (alone / "runs").glob("*/kis.jsonl")]
    assert log.end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}
    return trainer.seen


def multiset(ranks):
    return Counter(row.tobytes() for rank in ranks for row in rank)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("rows", [160, 153])  # 153: the host repeats rows to even the last batches out
def test_two_ranks_show_every_fact_f_times_over_a_resume(tmp_path, workers, rows):
    write_facts(tmp_path)
    config, tokenizer = kis(tmp_path, frequency=6), make_tokenizer()
    as_users_do = (workers, rows) == (0, 160)
    before = train(tmp_path, "before", workers, rows, stop=7, torchrun=as_users_do)
    alone = None
    if rows == 160 and not workers:  # rows that even the last batches out depend on the number of processes
        alone = go_on_alone(tmp_path, rows, per_device_train_batch_size=8)
    after = train(tmp_path, "after", workers, rows, resume=1, torchrun=as_users_do)
    assert alone is None or multiset(alone) == multiset(after)
    assert set(shown([*before, *after], config, tokenizer).values()) == {6}
    assert controls_shown([*before, *after], config, tokenizer) == 0
    (log,) = [read_run_log(path) for path in (tmp_path / "runs").glob("*/kis.jsonl")]
    assert log.end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}
    assert log.end.status == "completed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "rows", "keys", "alone"),
    [
        ("stream", 160, {"max_steps": 20}, 8),  # rank 0 draws for both
        ("stream", 160, {"max_steps": 20, "accelerator_config": {"dispatch_batches": False}}, 8),
        # Each rank reads its own shard.
        (
            "hub",
            160,
            {"max_steps": 20, "accelerator_config": {"dispatch_batches": False}},
            "processes_reading: found 1",
        ),
        ("stream", 152, {"max_steps": 20, "accelerator_config": {"split_batches": True}}, 4),
        # Rank 0 draws for both, and shares the last rows out.
        ("sized", 153, {}, "rows_per_epoch: found 153, expected 154"),
        # The first rows fill the last batches.
        ("sized", 153, {"accelerator_config": {"dispatch_batches": False}}, "rows_per_epoch: found 153, expected 160"),
    ],
)
def test_two_ranks_show_a_streams_facts_f_times(tmp_path, data, rows, keys, alone):
    """``alone``: rows of a batch with which one process goes on exactly, or why it is refused."""
    write_facts(tmp_path)
    config, tokenizer = kis(tmp_path, frequency=6), make_tokenizer()
    before = train(tmp_path, "before", 0, rows, stop=7, data=data, **keys)
    if isinstance(alone, int):
        went_on = go_on_alone(tmp_path, rows, data, per_device_train_batch_size=alone, **keys)
    else:
        with pytest.raises(KISError, match=alone):
            go_on_alone(tmp_path, rows, data, per_device_train_batch_size=8, **keys)
        went_on = None
    after = train(tmp_path, "after", 0, rows, resume=1, data=data, **keys)
    assert went_on is None or multiset(went_on) == multiset(after)
    assert set(shown([*before, *after], config, tokenizer).values()) == {6}
    (log,) = [read_run_log(path) for path in (tmp_path / "runs").glob("*/kis.jsonl")]
    assert log.end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}
    assert log.run.tokens == sum(len(rank) for rank in (*before, *after)) * 64


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ("ragged", {}),
        ("ragged stream", {"max_steps": 30, "accelerator_config": {"dispatch_batches": False}}),
    ],
)
def test_two_ranks_of_rows_of_different_lengths_show_every_fact_f_times(tmp_path, data, keys):
    write_facts(tmp_path)
    config, tokenizer = kis(tmp_path, frequency=6), make_tokenizer()
    before = train(tmp_path, "before", 0, 240, stop=7, data=data, **keys)
    after = train(tmp_path, "after", 0, 240, resume=1, data=data, **keys)
    assert len(before[0]) == len(before[1])
    counts = [anywhere(parts, config, tokenizer) for parts in zip(before, after, strict=True)]
    assert all(sum(one.values()) for one in counts)  # both ranks show some
    assert {name: counts[0][name] + counts[1][name] for name in counts[0]} == dict.fromkeys(counts[0], 6)
    assert controls_shown([*before, *after], config, tokenizer) == 0
    (log,) = [read_run_log(path) for path in (tmp_path / "runs").glob("*/kis.jsonl")]
    assert log.end.achieved_frequency == log.end.extra["requested_frequency"] == {"min": 6, "max": 6, "mean": 6}
    assert log.end.extra["miscounted"] == 0
    assert 0 < log.run.extra["rows_with_room"] < 1


@pytest.mark.slow
def test_two_ranks_choose_the_same_best_checkpoint_and_stop_together(tmp_path):
    write_facts(tmp_path)
    printed = run_ranks(HERE / "best_rank.py", str(tmp_path)).splitlines()
    ranks = sorted((json.loads(line) for line in printed if line.startswith('{"rank"')), key=lambda line: line["rank"])
    assert [line.pop("rank") for line in ranks] == [0, 1]
    assert ranks[0] == ranks[1]
    found = ranks[0]
    (log,) = [read_run_log(path) for path in (tmp_path / "runs").glob("*/kis.jsonl")]
    in_log = {one.step: one.accuracy for one in log.retention if one.probe == "held_out"}
    assert found["measured"] == [[step, in_log[step]] for step in range(2, found["stopped"] + 1, 2)]
    best, waited, stopped = (0, -1.0), 0, 40
    for step, value in found["measured"]:  # stop at the second evaluation without a new best
        best, waited = ((step, value), 0) if value > best[1] else (best, waited + 1)
        if waited == 2:
            stopped = step
            break
    assert (found["stopped"], found["best"]) == (stopped, list(best))
    assert best[0] < stopped < 40
    assert found["loaded"]
    assert log.end.status == "stopped"


@pytest.mark.slow
def test_sharded_models_are_counted_whole():
    lines = [line for line in run_ranks(HERE / "sharded_counts.py").splitlines() if line.startswith("counts")]
    layer = 4 * 16 * 16 + 3 * 16 * 32 + 2 * 16 + 16  # and the last norm
    assert lines == [f"counts {[(layer + tables * 51 * 16, layer)] * 4}" for tables in (1, 2)]


@pytest.mark.slow
def test_two_ranks_answer_as_one_process_does(tmp_path):
    from kis_torch.model_view import TorchModelView
    from tests.world.questions import make_evaluator, make_taught_model

    model = make_taught_model()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    alone = make_evaluator().answer(TorchModelView(model))
    free = [bool(question.accepted) for question in alone.questions]
    assert 4 <= alone.measures["exact"][free].sum() < alone.correct[free].sum() < sum(free)
    # Ranks that ran unequal numbers of passes would wait for each other until the time is out.
    printed = run_ranks(HERE / "ranks_evaluate.py", str(tmp_path / "weights.pt"), timeout=200).splitlines()
    lines = [json.loads(line) for line in printed if line.startswith("{")]
    assert sorted((line["model"], line["rank"]) for line in lines) == [
        (model, rank) for model in ("fsdp1", "fsdp2", "fsdp2, scarce", "whole") for rank in (0, 1)
    ]
    for line in lines:
        assert line["together"] == (line["model"] != "whole")
        # Out of memory on rank 1 alone: both ranks halve their passes, and go on with as many as the other.
        assert (line["failed"] > 0) == ((line["model"], line["rank"]) == ("fsdp2, scarce", 1))
        assert line["correct"] == alone.correct.tolist()
        np.testing.assert_array_equal(line["exact"], alone.measures["exact"])  # NaN for questions with options
        exact = 0 if line["model"] == "whole" else 1e-4
        np.testing.assert_allclose(line["margin"], alone.margin, atol=exact)
