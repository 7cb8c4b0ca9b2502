"""The Trainer with models split between processes: what one process trains on and measures, exactly."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kis_plugin.config.load import config_from
from kis_plugin.run.log import read_run_log
from kis_plugin.tokenized.infusion_split import load_split
from tests.world.data import BareRows
from tests.world.facts import kis, write_facts
from tests.world.models import EOS, make_model
from tests.world.processes import made_once, run_ranks
from tests.world.questions import teach_rows
from tests.world.runs import controls_shown, margins, shown
from tests.world.tokenizers import make_tokenizer

HERE = Path(__file__).parent
FREQUENCY = 6
COMPILED = {"torch_compile": True, "torch_compile_backend": "eager"}
GUARDED = {
    # Signs that the base rows never hold: the better the model knows these, the less it expects them.
    "every": 0.1, "general_text": "signs.txt", "max_cost": 0.5, "control": 4,
    "probes": {"facts": 15, "kinds": ["held_out", "cloze", "answer"]},
    "guard": {"action": "stop_infusing", "patience": 1, "max_loss_rise": 0.01},
}  # fmt: skip
SPECS: dict[str, list[dict[str, Any]]] = {
    "whole": [{"tag": "whole"}],
    "cut": [{"tag": "before", "in": "cut", "stop": 7}, {"tag": "after", "in": "cut", "resume": True}],
    # Twenty batches an epoch, three a step: of a stream two are trained on without a step, else the seventh step of an
    # epoch has two.
    "stream": [{"tag": "stream", "stream": True, "steps": 14, "arguments": {"gradient_accumulation_steps": 3}}],
    "uneven": [{"tag": "uneven", "steps": 14, "arguments": {"gradient_accumulation_steps": 3}}],
    "bf16": [{"tag": "bf16", "arguments": {"bf16": True}}],
    "compiled": [
        {"tag": "compiled", "in": "compiled", "steps": 4, "arguments": COMPILED, "kis": {"frequency": 2}},
        {"tag": "without", "in": "compiled", "steps": 4, "arguments": COMPILED, "kis": False},
    ],
    "guarded": [{"tag": "guarded", "taught": True, "kis": {"retention": GUARDED}}],
    "1 to 2, before": [{"tag": "before", "in": "1 to 2", "stop": 7}],
    "1 to 2, after": [{"tag": "after", "in": "1 to 2", "resume": True}],
    "counted": [{"tag": "counted"}],
    "2 to 1, after": [{"tag": "after", "in": "2 to 1", "resume": True}],
    "2 to 1, refused": [{"tag": "after", "in": "2 to 1", "resume": True, "refused": True}],
    "1 to 2, refused": [{"tag": "after", "in": "1 to 2", "resume": True, "refused": True}],
}
# What goes on on one process too.
SPECS["cut, kept"] = [{**SPECS["cut"][0], "copy": "2 to 1"}, SPECS["cut"][1]]
SHARED = {"tp": 2, "dp-tp": 2, "cp": 2}  # processes that train on the same rows
EACH = ("whole", "stream", "bf16", "uneven")
MOVED = (*EACH, "cut, kept", "1 to 2, after")
# Starts of processes: how many, which starts come before, and what is tried under each strategy.
STARTS: dict[str, tuple[int, tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "alone": (1, (), {"alone": EACH, "fsdp1": ("1 to 2, before",), "fsdp2": ("1 to 2, before",)}),
    "split": (2, ("alone",), {
        "ddp": (*EACH, "cut"), "fsdp1": MOVED, "fsdp2": (*MOVED, "compiled", "guarded"),
        "tp": EACH,  # a model that is split at loading saves no optimizer
        "cp": ("whole",),
    }),
    "four": (4, (), {"dp-tp": ("whole",)}),
    "zero": (2, (), {"zero2": (*EACH, "cut, kept"), "zero3": (*EACH, "cut, kept"), "sp": ("counted",)}),
    "alone again": (1, ("split",), {"fsdp1": ("2 to 1, after",), "fsdp2": ("2 to 1, after",)}),
    "zero alone": (1, ("zero",), dict.fromkeys(("zero2", "zero3"), ("2 to 1, refused", "1 to 2, before"))),
    "zero again": (2, ("zero alone",), dict.fromkeys(("zero2", "zero3"), ("1 to 2, refused",))),
}  # fmt: skip


def strategies(*trying: str) -> Any:
    """Parametrize a test by the strategies that any of ``trying`` is tried under, by several processes."""
    names = {
        name: start
        for start, (ranks, _, tried) in STARTS.items()
        for name, all_tried in tried.items()
        if {*trying} & {*all_tried} and name != "cp" and (ranks > 1 or "again" in start or start == "zero alone")
    }
    marks = {name: pytest.mark.deepspeed for name, start in names.items() if start.startswith("zero")}
    return pytest.mark.parametrize("strategy", [pytest.param(n, id=n, marks=marks.get(n, ())) for n in names])


def run_start(folder: Path, name: str) -> None:
    """Train all that a start tries."""
    ranks, _, tried = STARTS[name]
    specs = []
    for strategy, trainings in tried.items():
        batch = 8 // (ranks // min(SHARED.get(strategy, 1), ranks))
        for spec in (spec for training in trainings for spec in SPECS[training]):
            specs.append({**spec, "strategy": strategy, "batch": batch})
            own = folder / strategy / spec.get("in", spec["tag"])
            if not own.exists():
                own.mkdir(parents=True)
                write_facts(own)
    run_ranks(HERE / "trainer_rank.py", str(folder), json.dumps(specs), ranks=ranks, timeout=900)


def make_models(folder: Path) -> None:
    """Save a model, and one that has learned the facts: the phrasings that are held out, and the questions."""
    make_model(hidden=32, heads=2).save_pretrained(folder / "model")
    taught = make_model(hidden=64, heads=4, tied=False)
    split = load_split(config_from(kis(folder)))
    tokenizer, texts = make_tokenizer(), split.book.of("P19")
    facts = [split.knowledge.facts[index] for index in split.infused.tolist()]
    sentences = [
        text.format(subject=fact.subject, object=fact.object)
        for text in (*texts.held_out, *texts.questions)
        for fact in facts
    ]
    teach_rows(taught, [[EOS, *tokenizer(sentence)["input_ids"], EOS] for sentence in sentences])
    taught.save_pretrained(folder / "taught")


class Runs:
    """The runs of one strategy."""

    def __init__(self, folder: Path, strategy: str, ranks: int) -> None:
        self.folder, self.ranks, self.shared = folder / strategy, ranks, min(SHARED.get(strategy, 1), ranks)

    def rows(self, run: str, tag: str = "", ranks: int = 0) -> list[np.ndarray]:
        """The rows that the model of each data rank was given; processes that share a batch were given the same."""
        rows = [np.load(self.folder / run / f"{tag or run}-{rank}.npy") for rank in range(ranks or self.ranks)]
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
    """Returns a function that starts what a strategy is tried in, once in a test run, and gives its runs."""

    def start(strategy: str, again: bool = False) -> Runs:
        folder = made_once(tmp_path_factory, "trainers", make_models)

        def make(name: str) -> None:
            for before in STARTS[name][1]:
                make(before)
            made_once(tmp_path_factory, f"trainers-{name}", lambda _: run_start(folder, name))

        names = [name for name, (_, _, tried) in STARTS.items() if strategy in tried]
        name = names[-1] if again else next(name for name in names if STARTS[name][0] > 1 or strategy == "alone")
        make(name)
        return Runs(folder, strategy, STARTS[name][0])

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
@strategies("cut", "cut, kept")
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
@strategies("1 to 2, after")
def test_a_split_run_goes_on_on_more_processes(started, strategy):
    runs = started(strategy)
    assert_moved(runs, "1 to 2", 1, 2)
    assert_split(strategy, runs.report("1 to 2", "after")["split"])


@pytest.mark.slow
@strategies("2 to 1, after")
def test_a_split_run_goes_on_on_one_process(started, strategy):
    runs = started(strategy, again=True)
    assert_moved(runs, "2 to 1", 2, 1)


def assert_moved(runs: Runs, run: str, before: int, after: int) -> None:
    """Steps after a change of processes are those of the run that did not change."""
    rows = [*runs.rows(run, "before", before), *runs.rows(run, "after", after)]
    runs.assert_exact(run, rows)
    assert multiset(rows) == multiset(runs.rows("whole", ranks=2))
    np.testing.assert_allclose(
        runs.report(run, "after")["losses"][-13:], runs.report("whole")["losses"][-13:], atol=1e-5
    )
    np.testing.assert_allclose(runs.weights(run, "after")["20"], runs.weights("whole")["20"], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["2 to 1", "1 to 2"])
@strategies("2 to 1, refused")
def test_a_change_of_processes_that_the_host_cannot_load_is_refused_by_name(started, strategy, change):
    runs = started(strategy, again=True)
    said = (runs.folder / change / "after.txt").read_text()
    before, after = change.split(" to ")
    assert re.search(rf"checkpoint-7: found a ZeRO checkpoint of {before} process(es)?, on {after}, expected", said)
    end = runs.log(change).end  # that of the part before: nothing was written after it
    assert (end.status, end.step) == ("stopped", 7)


@pytest.mark.slow
@strategies("stream")
def test_a_stream_is_infused_exactly(started, strategy):
    assert_as_alone(started(strategy), started("alone"), "stream")


@pytest.mark.slow
@strategies("uneven")
def test_a_last_step_of_fewer_batches_is_counted_exactly(started, strategy):
    runs = started(strategy)
    assert sum(map(len, runs.rows("uneven"))) == 320
    assert_as_alone(runs, started("alone"), "uneven")


def assert_as_alone(runs: Runs, alone: Runs, run: str) -> None:
    rows = runs.rows(run)
    runs.assert_exact(run, rows)
    assert multiset(rows) == multiset(alone.rows(run))
    np.testing.assert_allclose(runs.report(run)["losses"], alone.report(run)["losses"], atol=1e-5)


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
    """A model that has learned the facts says them, and leaves some of its drafts.

    That takes more passes on one rank: ranks that disagreed would wait for each other.
    """
    runs = started(strategy)
    log = runs.log("guarded")
    knows = {record.probe: record.accuracy for record in log.retention if record.step == 0}
    assert knows["held_out"] > 0.9 > 0.5 > knows["control"]  # the chance of held_out is 0.25
    assert knows["cloze"] > 0.5
    assert knows["answer"] > 0.5  # whole words
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


@pytest.mark.slow
@pytest.mark.deepspeed
def test_sequence_parallelism_would_be_counted_before_rows_are_cut(started):
    """Two processes draw a batch each, and train on one of them in each step, half of its tokens on each."""
    folder = started("sp").folder.parent
    ranks = [np.load(folder / f"ulysses-{rank}.npz") for rank in (0, 1)]
    rows = BareRows(24, make_tokenizer())
    every = Counter(np.asarray(rows[place]).astype(np.int64).tobytes() for place in range(24))
    assert multiset([one["counted"] for one in ranks]) == Counter({row: 2 * count for row, count in every.items()})
    for rank, one in enumerate(ranks):
        assert one["steps"].shape == (24, 2, 32)
        # A batch counts when the step after its own begins: not when it is drawn, with that of the other process.
        assert one["ahead"].tolist() == [(step + 1 - rank) // 2 for step in range(24)]
