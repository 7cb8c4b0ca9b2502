"""The contract with transformers and accelerate. When one of these fails, the host changed: the message says where."""

from __future__ import annotations

import pytest
import torch
from transformers import TrainerCallback

from kis_hf import KnowledgeInfusion
from kis_hf.host import trainer_of
from kis_hf.row_numbering import RowNumbering
from kis_plugin.errors import KISError
from kis_plugin.hashing import permutation
from kis_plugin.infusion.row_index import InfusedDataset
from kis_torch.collating import refuse_unpadded
from tests.world.data import BaseRows
from tests.world.facts import kis
from tests.world.runs import trainer_for
from tests.world.tokenizers import make_tokenizer


class Look(TrainerCallback):
    """Calls ``what`` at one event."""

    def __init__(self, event, what):
        setattr(self, event, lambda args, state, control, **kwargs: what(self, state, kwargs))


def test_on_train_begin_gets_the_loader_before_its_use(tmp_path):
    fetched, at_begin = [], []

    class Rows(BaseRows):
        def __getitem__(self, index):
            fetched.append(index)
            return super().__getitem__(index)

    trainer = trainer_for(tmp_path, None, callbacks=[Look("on_train_begin", lambda *_: at_begin.append(len(fetched)))])
    trainer.train_dataset = Rows(80, make_tokenizer())
    trainer.train()
    assert at_begin == [0], f"transformers now draws {at_begin} rows before on_train_begin: KIS would come too late"


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_is_as_expected_and_is_restored(tmp_path, workers):
    found = {}

    def look(callback, state, kwargs):
        loader = kwargs["train_dataloader"]
        seam = RowNumbering.find(loader)
        assert hasattr(loader, "base_dataloader"), "accelerate no longer keeps torch's loader in base_dataloader"
        before = (loader.dataset, loader.batch_sampler, seam.inmost.sampler)
        seam.install(lambda row, base: base, lambda rows: None, 0)
        assert isinstance(loader.dataset, InfusedDataset), "loader.dataset no longer comes from base_dataloader"
        assert loader.batch_sampler is seam.loader.batch_sampler, "loader.batch_sampler is another's now"
        seam.undo()
        seam.undo()
        assert before == (loader.dataset, loader.batch_sampler, seam.inmost.sampler)
        found.update(rows=seam.rows_per_epoch, batch=seam.rows_per_batch)

    trainer_for(
        tmp_path, None, callbacks=[Look("on_train_begin", look)], max_steps=1, dataloader_num_workers=workers
    ).train()
    assert found == {"rows": 80, "batch": 4}


def test_a_callback_of_a_trainer_finds_it(tmp_path):
    found = []
    trainer = trainer_for(tmp_path, None, max_steps=1)
    trainer.add_callback(Look("on_train_begin", lambda callback, *_: found.append(trainer_of(callback))))
    trainer.train()
    assert found == [trainer], "the Trainer is no longer a frame above its callbacks"
    with pytest.raises(KISError, match=r"events that come from no transformers\.Trainer"):
        trainer_of(TrainerCallback())


def test_infusion_does_not_change_the_order_of_the_base_rows(tmp_path):
    plain = trainer_for(tmp_path, None, max_steps=30)
    plain.train()
    trainer = trainer_for(tmp_path, kis(tmp_path, frequency=2), max_steps=30)
    trainer.train()
    replaced = 0
    for ours, theirs in zip(trainer.seen, plain.seen, strict=True):
        for mine, base in zip(ours, theirs, strict=True):
            if (mine != base).any():
                replaced += 1
                # The rest of an infused row is the beginning of the base row that it takes the place of.
                rest = len(mine) - max(i for i, token in enumerate(mine) if token == 0) - 1
                assert (mine[len(mine) - rest :] == base[:rest]).all()
    assert 0 < replaced < 120


def test_without_infusion_every_loss_is_bit_identical(tmp_path):
    plain = trainer_for(tmp_path / "plain", None, logging_steps=1)
    plain.train()
    watched = trainer_for(tmp_path / "kis", kis(tmp_path, frequency=0), logging_steps=1)
    watched.train()
    losses = [[entry["loss"] for entry in t.state.log_history if "loss" in entry] for t in (plain, watched)]
    assert len(losses[0]) == 20
    assert losses[0] == losses[1]
    assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), watched.model.parameters(), strict=True))


def test_retention_reaches_every_reporter_and_the_state(tmp_path):
    logged = []

    class Reporter(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            logged.append((state.global_step, dict(logs)))

    trainer = trainer_for(tmp_path, kis(tmp_path), callbacks=[])
    trainer.callback_handler.callbacks.insert(0, Reporter())  # where report_to puts its own, before the user's
    trainer.train()
    steps = [step for step, logs in logged if "retention/held_out" in logs]
    assert steps == [0, 10, 20]
    series = {"retention/held_out", "retention/seen", "retention/control"}
    assert all(series <= set(logs) for _, logs in logged if "retention/held_out" in logs)
    assert [e["step"] for e in trainer.state.log_history if "retention/held_out" in e] == [0, 10, 20]


def test_the_model_is_left_in_the_mode_it_was_in(tmp_path):
    modes = []
    trainer = trainer_for(
        tmp_path,
        kis(tmp_path),
        callbacks=[Look("on_step_end", lambda cb, state, kwargs: modes.append(kwargs["model"].model.norm.training))],
    )
    trainer.train()
    assert modes == [True] * 20


def test_evaluation_losses_go_to_the_run_log(tmp_path):
    from kis_plugin.run.log import read_run_log

    trainer = trainer_for(tmp_path, kis(tmp_path), eval_steps=10)
    trainer.eval_dataset = BaseRows(8, make_tokenizer())
    trainer.args.eval_strategy = "steps"
    trainer.train()
    (path,) = (tmp_path / "runs").glob("*/kis.jsonl")
    losses = [(record.step, record.split) for record in read_run_log(path).loss]
    assert losses == [(10, "eval"), (20, "eval")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "no tokens"}] * 8, r"train_dataloader: found batches of a dict, expected token ids"),
        (
            [{"input_ids": [1] * n} for n in range(30, 38)],
            "data_collator: found default_data_collator, which cannot join rows of 30 to 37 tokens: .*, expected one "
            "that pads them",
        ),
        ([{"input_ids": [1] * 64}] * 2, "found 2 rows, expected at least one batch over all ranks, 4"),
        ([{"input_ids": [1] * 8}] * 80, "sentence of .* tokens"),
    ],
)
def test_data_infused_wrongly_is_refused_before_step_1(tmp_path, rows, message):
    trainer = trainer_for(tmp_path, kis(tmp_path), remove_unused_columns=False)
    trainer.train_dataset = rows
    with pytest.raises(KISError, match=message):
        trainer.train()
    assert trainer.state.global_step == 0
    assert not (tmp_path / "runs").exists()


def test_a_trial_of_the_collator_leaves_random_states_alone(tmp_path):
    import random

    import numpy as np

    def draws():
        return torch.rand(1).item(), random.random(), np.random.rand()

    seeds = torch.get_rng_state(), random.getstate(), np.random.get_state()
    expected = draws()
    torch.set_rng_state(seeds[0])
    random.setstate(seeds[1])
    np.random.set_state(seeds[2])
    refuse_unpadded(lambda rows: draws(), [{"input_ids": [1]}, {"input_ids": [1, 2]}], "data_collator")
    assert draws() == expected


@pytest.mark.parametrize("amount", [{"share": 1e-9}, {"tokens": 3}, {"frequency": 0.001}])
def test_an_amount_too_small_is_refused_and_zero_is_not(tmp_path, amount):
    config = {**kis(tmp_path), "infusion": amount}
    with pytest.raises(KISError, match=r"infusion\.\w+: found .*, too little to show anything"):
        trainer_for(tmp_path, config).train()
    assert not (tmp_path / "runs").exists()
    trainer_for(tmp_path, {**config, "infusion": dict.fromkeys(amount, 0)}, max_steps=1).train()


@pytest.mark.parametrize(("config", "found"), [(None, "no config"), (5, "a config of type int"), ([1], "of type list")])
def test_a_config_of_another_type_is_refused(config, found):
    with pytest.raises(KISError, match=f"{found}, expected the path of a kis.yaml, or a mapping"):
        KnowledgeInfusion(config)


def test_an_unwritable_run_log_is_refused_before_step_1(tmp_path):
    trainer = trainer_for(tmp_path, {**kis(tmp_path), "run_log": str(tmp_path / "taken" / "runs")})
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(KISError, match="expected a run log that can be written"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_infusing_twice_is_refused(tmp_path):
    trainer = trainer_for(tmp_path, kis(tmp_path))
    trainer.train_dataset = trainer.callback_handler.callbacks[-2].infuse(trainer.train_dataset)
    with pytest.raises(KISError, match="infused already"):
        trainer.train()


@pytest.mark.parametrize("kind", ["cp", "sp"])  # tensor parallelism is supported: tests/sharded
def test_processes_that_share_a_batch_are_refused_by_name(tmp_path, kind):
    trainer = trainer_for(tmp_path, kis(tmp_path))
    setattr(trainer, f"get_{kind}_size", lambda: 2)
    with pytest.raises(KISError, match=r"parallelism_config: found (context|sequence) parallelism over 2"):
        trainer.train()


def test_tensor_parallelism_of_more_processes_is_refused(tmp_path):
    trainer = trainer_for(tmp_path, kis(tmp_path))
    trainer.get_tp_size = lambda: 2
    message = "tensor parallelism over 2 processes, in a run of 1, expected a multiple of 2 processes"
    with pytest.raises(KISError, match=message):
        trainer.train()


def test_steps_take_batches_from_get_batch_samples(tmp_path):
    calls = []

    class Evaluator(type(trainer_for(tmp_path, None))):
        def get_batch_samples(self, epoch_iterator, num_batches, device):
            calls.append(num_batches)
            return super().get_batch_samples(epoch_iterator, num_batches, device)

    trainer = trainer_for(tmp_path, None, gradient_accumulation_steps=3, max_steps=8)
    trainer.__class__ = Evaluator
    trainer.train()
    assert calls == [3, 3, 3, 3, 3, 3, 2, 3], "transformers no longer draws the batches of each step there"


def test_tokenizers_that_cannot_be_exact_are_refused(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(KISError, match="no EOS token"):
        trainer_for(tmp_path, kis(tmp_path), tokenizer=tokenizer).train()
    trainer = trainer_for(tmp_path, kis(tmp_path))
    trainer.callback_handler.callbacks[-2]._tokenizer = None
    with pytest.raises(KISError, match="no tokenizer, expected the run's own"):
        trainer.train()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_row_of_another_length_stops_the_run_even_in_a_worker(tmp_path, workers):
    trainer = trainer_for(
        tmp_path, kis(tmp_path, frequency=6), dataloader_num_workers=workers, train_sampling_strategy="sequential"
    )
    examined = {0, 1999, *permutation(2000, 0)[:64].tolist()}  # when the run begins
    trainer.train_dataset = [{"input_ids": [1] * (64 if n in examined else 63)} for n in range(2000)]
    with pytest.raises(KISError, match="default_data_collator, which cannot join rows of 63 to 64 tokens"):
        trainer.train()
    assert trainer.state.global_step == 0
