"""The Trainer with models split between processes: what one process trains on and measures, exactly."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kis_plugin.run.log import read_run_log
from tests.world.facts import kis, write_facts
from tests.world.models import make_model
from tests.world.processes import run_ranks
from tests.world.runs import controls_shown, margins, shown
from tests.world.tokenizers import make_tokenizer

HERE = Path(__file__).parent
FREQUENCY = 6
STEPS = {"whole": 20, "stream": 20, "bf16": 20, "uneven": 14}
COMPILED = {"torch_compile": True, "torch_compile_backend": "eager"}
SPECS: dict[str, list[dict[str, Any]]] = {
    "whole": [{"tag": "whole"}],
    "cut": [{"tag": "before", "in": "cut", "stop": 7}, {"tag": "after", "in": "cut", "resume": True}],
    "stream": [{"tag": "stream", "stream": True}],
    "bf16": [{"tag": "bf16", "arguments": {"bf16": True}}],
    "uneven": [{"tag": "uneven", "steps": 14, "arguments": {"gradient_accumulation_steps": 3}}],
    "compiled": [
        {"tag": "compiled", "in": "compiled", "steps": 4, "arguments": COMPILED, "kis": {"frequency": 2}},
        {"tag": "without", "in": "compiled", "steps": 4, "arguments": COMPILED, "kis": False},
    ],
}
GUARDED = {
    # Signs that the base rows never hold: the better the model knows these, the less it expects them.
    "every": 0.1, "general_text": "signs.txt", "max_cost": 0.5, "control": 4,
    "probes": {"facts": 15, "kinds": ["held_out", "cloze", "answer"]},
    "guard": {"action": "stop_infusing", "patience": 1, "max_loss_rise": 0.01},
}  # fmt: skip
SPECS["guarded"] = [{"tag": "guarded", "kis": {"retention": GUARDED}}]
SHARED = {"tp": 2, "dp-tp": 2, "cp": 2}  # processes that train on the same rows
ALL = ("whole", "stream", "bf16", "uneven")
STRATEGIES = {  # processes, and what is tried in one start of them
    "ddp": (2, (*ALL, "cut")),
    "fsdp1": (2, ALL),  # crashes in torch when it saves a full state on a CPU
    "fsdp2": (2, (*ALL, "cut", "compiled", "guarded")),
    "zero2": (2, (*ALL, "cut")),
    "zero3": (2, (*ALL, "cut")),
    "tp": (2, ALL),  # a model that is split at loading saves no optimizer
    "dp-tp": (4, ("whole",)),
    "cp": (2, ("whole",)),
}


def strategies(trying: str) -> Any:
    """Parametrize a test by the strategies that ``trying`` is tried under."""
    names = [name for name, (_, tried) in STRATEGIES.items() if trying in tried and name != "cp"]
    marks = {name: pytest.mark.deepspeed for name in names if name.startswith("zero")}
    return pytest.mark.parametrize("strategy", [pytest.param(n, id=n, marks=marks.get(n, ())) for n in names])


class Runs:
    """The runs of one strategy: started once, all of them, when the first is looked at."""

    def __init__(self, folder: Path, strategy: str, ranks: int, tried: tuple[str, ...]) -> None:
        self.folder, self.ranks, self.shared = folder, ranks, min(SHARED.get(strategy, 1), ranks)
        batch = 8 // (ranks // self.shared)
        specs = [{**spec, "batch": batch} for name in tried for spec in SPECS[name]]
        for name in tried:
            (folder / name).mkdir()
            write_facts(folder / name)
        make_model(hidden=32, heads=2).save_pretrained(folder / "model")
        run_ranks(HERE / "trainer_rank.py", str(folder), strategy, json.dumps(specs), ranks=ranks, timeout=500)

    def rows(self, run: str, tag: str = "") -> list[np.ndarray]:
        """The rows that the model of each data rank was given; processes that share a batch were given the same."""
        rows = [np.load(self.folder / run / f"{tag or run}-{rank}.npy") for rank in range(self.ranks)]
        for rank, own in enumerate(rows):
            np.testing.assert_array_equal(own, rows[rank - rank % self.shared])
        return rows[:: self.shared]

    def report(self, run: str, tag: str = "") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / run / f"{tag or run}.json").read_text())
        return found

    def weights(self, run: str, tag: str = "") -> dict[str, np.ndarray]:
        """All parameters as one vector, after steps 8 and 20."""
        return dict(np.load(self.folder / run / f"{tag or run}-weights.npz"))

    def log(self, run: str) -> Any:
        (path,) = (self.folder / run / "runs").glob("*/kis.jsonl")
        return read_run_log(path)

    def assert_exact(self, run: str, rows: list[np.ndarray]) -> None:
        """Every fact was shown as often as requested, by a count of what the model was given; so says the log."""
        config, tokenizer = kis(self.folder / run, frequency=FREQUENCY), make_tokenizer()
        assert set(shown(rows, config, tokenizer).values()) == {FREQUENCY}
        assert controls_shown(rows, config, tokenizer) == 0
        log = self.log(run)
        assert log.end.status == "completed"
        assert log.end.achieved_frequency == {"min": FREQUENCY, "max": FREQUENCY, "mean": FREQUENCY}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Any:
    kept: dict[str, Runs] = {}

    def start(strategy: str) -> Runs:
        if strategy not in kept:
            ranks, tried = (1, ALL) if strategy == "alone" else STRATEGIES[strategy]
            folder = tmp_path_factory.mktemp(strategy)
            kept[strategy] = Runs(folder, "ddp" if strategy == "alone" else strategy, ranks, tried)
        return kept[strategy]

    return start


def multiset(rows: list[np.ndarray]) -> Counter:
    return Counter(row.tobytes() for rank in rows for row in rank.astype(np.int64))


def assert_split(strategy: str, split: dict[str, Any]) -> None:
    """The model really is split: a host that falls back to DDP would pass every other assertion."""
    if strategy == "fsdp1":
        assert "FullyShardedDataParallel" in split["modules"]
    if strategy in ("fsdp2", "tp", "dp-tp", "cp"):
        assert "DTensor" in split["types"]
    if strategy in ("fsdp2", "tp", "dp-tp", "zero3", "cp"):
        assert split["local"] < split["whole"]
    if strategy.startswith("zero"):
        assert "DeepSpeedEngine" in split["modules"]
    if strategy == "ddp":
        assert split["local"] == split["whole"]


@pytest.mark.slow
@strategies("whole")
def test_a_split_model_trains_as_one_process_does(started, strategy):
    runs, alone = started(strategy), started("alone")
    rows, report, log = runs.rows("whole"), runs.report("whole"), runs.log("whole")
    assert_split(strategy, report["split"])
    runs.assert_exact("whole", rows)
    alone_log = alone.log("whole")
    assert multiset(rows) == multiset(alone.rows("whole"))
    np.testing.assert_allclose(report["losses"], alone.report("whole")["losses"], atol=1e-5)
    assert (log.run.params, log.run.params_non_embedding) == (alone_log.run.params, alone_log.run.params_non_embedding)
    found = [(record.step, record.probe, record.accuracy) for record in log.retention]
    assert found == [(record.step, record.probe, record.accuracy) for record in alone_log.retention]
    np.testing.assert_allclose(margins(log), margins(alone_log), atol=1e-5)


@pytest.mark.slow
@strategies("cut")
def test_a_split_run_that_stops_goes_on_exactly(started, strategy):
    runs = started(strategy)
    before, after, report = runs.rows("cut", "before"), runs.rows("cut", "after"), runs.report("cut", "after")
    assert_split(strategy, report["split"])
    runs.assert_exact("cut", [*before, *after])
    assert multiset([*before, *after]) == multiset(runs.rows("whole"))
    np.testing.assert_allclose(report["losses"][-13:], runs.report("whole")["losses"][-13:], atol=1e-5)
    resumed, unbroken = runs.weights("cut", "after"), runs.weights("whole")
    assert sorted(resumed) == sorted(unbroken) == ["20", "8"]
    for step, atol in (("8", 1e-6), ("20", 1e-5)):  # right after the first step of the resumed run, and at its end
        np.testing.assert_allclose(resumed[step], unbroken[step], atol=atol)
    assert np.abs(unbroken["20"] - unbroken["8"]).max() > 1e-3  # a step changes them by far more than that


@pytest.mark.slow
@strategies("stream")
def test_a_stream_is_infused_exactly(started, strategy):
    runs, alone = started(strategy), started("alone")
    rows = runs.rows("stream")
    runs.assert_exact("stream", rows)
    assert multiset(rows) == multiset(alone.rows("stream"))
    np.testing.assert_allclose(runs.report("stream")["losses"], alone.report("stream")["losses"], atol=1e-5)


@pytest.mark.slow
@strategies("bf16")
def test_bf16_is_exact_in_counts_and_near_in_losses(started, strategy):
    runs, alone = started(strategy), started("alone")
    rows = runs.rows("bf16")
    runs.assert_exact("bf16", rows)
    assert multiset(rows) == multiset(alone.rows("bf16"))
    found, single, exact = (
        one.report(run)["losses"] for one, run in ((runs, "bf16"), (alone, "bf16"), (runs, "whole"))
    )
    np.testing.assert_allclose(found, single, atol=0.05)
    assert found != exact  # lower precision was in use


@pytest.mark.slow
@strategies("uneven")
def test_a_last_step_of_fewer_batches_is_counted_exactly(started, strategy):
    """Twenty batches an epoch, three a step: the seventh step of an epoch has two."""
    runs, alone = started(strategy), started("alone")
    rows = runs.rows("uneven")
    assert sum(map(len, rows)) == 320
    runs.assert_exact("uneven", rows)
    assert multiset(rows) == multiset(alone.rows("uneven"))
    np.testing.assert_allclose(runs.report("uneven")["losses"], alone.report("uneven")["losses"], atol=1e-5)


@pytest.mark.slow
@strategies("compiled")
def test_evaluation_adds_no_compiled_graphs(started, strategy):
    runs = started(strategy)
    graphs = [runs.report("compiled", tag)["graphs"] for tag in ("compiled", "without")]
    assert graphs[0] == graphs[1] > 0
    assert {record.step for record in runs.log("compiled").retention} == {0, 2, 4}
    assert runs.log("compiled").end.achieved_frequency == {"min": 2, "max": 2, "mean": 2}


@pytest.mark.slow
@strategies("guarded")
def test_guard_cost_limit_and_decoded_answers_act_alike_on_all_ranks(started, strategy):
    """Answers that leave their drafts take more passes on one rank: ranks that disagreed would wait for each other."""
    runs = started(strategy)
    log = runs.log("guarded")
    (acted,) = [record for record in log.guard if record.action]
    assert (acted.action, acted.verdict) == ("stop_infusing", "loss")
    assert {"cloze", "answer", "held_out"} <= {record.probe for record in log.retention}
    counts = np.array(list(shown(runs.rows("guarded"), kis(runs.folder / "guarded"), make_tokenizer()).values()))
    assert 0 < counts.sum() < FREQUENCY * len(counts)
    assert log.end.achieved_frequency["mean"] == pytest.approx(counts.mean())
    assert (log.end.status, log.end.extra["miscounted"]) == ("completed", 0)


@pytest.mark.slow
def test_context_parallelism_would_be_counted_before_rows_are_cut(started):
    """It is refused by name until GPUs have run it; here without the refusal."""
    runs = started("cp")
    rows, report = runs.rows("whole"), runs.report("whole")
    assert_split("cp", report["split"])
    assert (rows[0].shape[1], report["width"]) == (64, 32)  # what a step is given, and the model
    runs.assert_exact("whole", rows)
