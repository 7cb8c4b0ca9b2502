"""Two processes on gloo see, together, exactly F of every fact; so do two that resume where two were stopped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kis_plugin.run.log import read_run_log
from tests.kis_hf.ddp_run import train
from tests.world.facts import kis, write_facts
from tests.world.processes import run_ranks
from tests.world.runs import controls_shown, shown
from tests.world.tokenizers import make_tokenizer

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("rows", [160, 153])  # 153: the host repeats rows to even the last batches out
def test_two_ranks_show_every_fact_f_times_over_a_resume(tmp_path, workers, rows):
    write_facts(tmp_path)
    config, tokenizer = kis(tmp_path, frequency=6), make_tokenizer()
    before = train(tmp_path, "before", workers, rows, stop=7)
    after = train(tmp_path, "after", workers, rows, resume=1)
    assert set(shown([*before, *after], config, tokenizer).values()) == {6}
    assert controls_shown([*before, *after], config, tokenizer) == 0
    (log,) = [read_run_log(path) for path in (tmp_path / "runs").glob("*/kis.jsonl")]
    assert log.end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}
    assert log.end.status == "completed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "rows", "keys"),
    [
        ("stream", 160, {"max_steps": 20}),  # rank 0 draws for both
        ("stream", 160, {"max_steps": 20, "accelerator_config": {"dispatch_batches": False}}),
        ("hub", 160, {"max_steps": 20, "accelerator_config": {"dispatch_batches": False}}),  # each rank its shard
        ("stream", 152, {"max_steps": 20, "accelerator_config": {"split_batches": True}}),
        ("sized", 153, {}),  # rank 0 draws for both, and shares the last rows out
        ("sized", 153, {"accelerator_config": {"dispatch_batches": False}}),  # the first rows fill the last batches
    ],
)
def test_two_ranks_show_a_streams_facts_f_times(tmp_path, data, rows, keys):
    write_facts(tmp_path)
    config, tokenizer = kis(tmp_path, frequency=6), make_tokenizer()
    before = train(tmp_path, "before", 0, rows, stop=7, data=data, **keys)
    after = train(tmp_path, "after", 0, rows, resume=1, data=data, **keys)
    assert set(shown([*before, *after], config, tokenizer).values()) == {6}
    (log,) = [read_run_log(path) for path in (tmp_path / "runs").glob("*/kis.jsonl")]
    assert log.end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}
    assert log.run.tokens == sum(len(rank) for rank in (*before, *after)) * 64


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
    printed = run_ranks(HERE / "ranks_evaluate.py", str(tmp_path / "weights.pt")).splitlines()
    lines = [json.loads(line) for line in printed if line.startswith("{")]
    assert sorted((line["model"], line["rank"]) for line in lines) == [
        (model, rank) for model in ("fsdp1", "fsdp2", "whole") for rank in (0, 1)
    ]
    for line in lines:
        assert line["together"] == (line["model"] != "whole")
        assert line["correct"] == alone.correct.tolist()
        np.testing.assert_array_equal(line["exact"], alone.measures["exact"])  # NaN for questions with options
        exact = 0 if line["model"] == "whole" else 1e-4
        np.testing.assert_allclose(line["margin"], alone.margin, atol=exact)
