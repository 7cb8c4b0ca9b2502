"""An evaluation leaves everything as it was, and the losses are the same to the last bit."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, TrainerCallback

from kis_hf import KnowledgeInfusion
from kis_plugin.retention import plugin as retention
from kis_plugin.retention.evaluator import Evaluator
from tests.world.data import SEQUENCE_LENGTH, BaseRows
from tests.world.facts import kis
from tests.world.runs import WatchedTrainer, arguments
from tests.world.tokenizers import make_tokenizer

STEPS = 12


def dropping_model() -> GPT2LMHeadModel:
    """Its loss depends on torch's random numbers, and on which of its parts are in training mode."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=500, n_positions=SEQUENCE_LENGTH, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.2, attn_pdrop=0.2, embd_pdrop=0.2,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


class LossesTrainer(WatchedTrainer):
    """Keeps the loss of every training step, to the last bit."""

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        self.__dict__.setdefault("losses", []).append((loss[0] if isinstance(loss, tuple) else loss).item())
        return loss


@pytest.fixture
def evaluations(monkeypatch):
    """Counts evaluations as they happen."""
    found, answer = [], Evaluator.answer

    def counted(self, *args, **keys):
        found.append(len(self.questions))
        return answer(self, *args, **keys)

    monkeypatch.setattr(Evaluator, "answer", counted)
    return found


def train(folder, every, before=(), after=(), model=None, **keys):
    folder.mkdir(exist_ok=True)
    tokenizer = make_tokenizer()
    config = kis(folder, retention={"every": every})
    callbacks = [*before, KnowledgeInfusion(config, tokenizer=tokenizer), *after]
    data, settings = BaseRows(4 * STEPS, tokenizer), arguments(folder, max_steps=STEPS, **keys)
    trainer = LossesTrainer(model=model or dropping_model(), args=settings, train_dataset=data, callbacks=callbacks)
    trainer.train()
    return trainer


@pytest.mark.parametrize("checkpointing", [False, True])
def test_evaluations_change_no_bit_of_the_training(tmp_path, monkeypatch, evaluations, checkpointing):
    probed = train(tmp_path / "probed", 1, gradient_checkpointing=checkpointing)
    assert len(evaluations) == STEPS + 1
    evaluations.clear()
    monkeypatch.setattr(retention, "evaluation_steps_of", lambda *args: frozenset())
    left_alone = train(tmp_path / "alone", 1, gradient_checkpointing=checkpointing)
    assert not evaluations
    assert len(probed.losses) == STEPS
    assert len(set(probed.losses)) > 1
    assert probed.losses == left_alone.losses
    for one, other in zip(probed.model.parameters(), left_alone.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_random_numbers_matter_to_these_losses(tmp_path):
    """Else the test before could not fail."""

    class Draws(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            torch.rand(1)

    assert train(tmp_path / "one", 1).losses != train(tmp_path / "other", 1, after=[Draws()]).losses


class Spoiled(TrainerCallback):
    """Leaves the model before an evaluation in a state that nobody would think of, and keeps it."""

    state: dict[str, Any]

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        model.transformer.h[0].eval()  # a part that is not trained
        model.transformer.wte.weight.requires_grad_(False)
        for number, parameter in enumerate(model.parameters()):
            if number % 2:
                parameter.grad = torch.full_like(parameter, float(number))
        model.config.use_cache = True
        self.state = state_of(model)


class Compared(TrainerCallback):
    """Looks at the model after the evaluation, and puts right what was spoiled."""

    def __init__(self, spoiled: Spoiled) -> None:
        self.spoiled, self.times = spoiled, 0

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        now, before = state_of(model), self.spoiled.state
        assert [name for name in before if before[name] != now[name]] == []
        self.times += 1
        model.train()
        model.requires_grad_(True)
        model.zero_grad()


def state_of(model) -> dict[str, Any]:
    """Everything that an evaluation might leave otherwise, in values that compare to the last bit."""
    return {
        "modes": [module.training for module in model.modules()],
        "checkpointing": [getattr(module, "gradient_checkpointing", None) for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [None if p.grad is None else p.grad.numpy().tobytes() for p in model.parameters()],
        "weights": [parameter.detach().numpy().tobytes() for parameter in model.parameters()],
        "buffers": [buffer.numpy().tobytes() for buffer in model.buffers()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()],
        "forward": [vars(module).get("forward") for module in model.modules()],
        "config": model.config.to_dict(),
        "use_cache": model.config.use_cache,
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": [np.asarray(part).tobytes() for part in np.random.get_state()],
        "python": random.getstate(),
        "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "threads": (torch.get_num_threads(), torch.get_default_dtype()),
    }


@pytest.mark.parametrize("checkpointing", [False, True])
def test_after_an_evaluation_all_is_as_it_was(tmp_path, evaluations, checkpointing):
    spoiled = Spoiled()
    compared = Compared(spoiled)
    train(tmp_path / "run", 1, [spoiled], [compared], gradient_checkpointing=checkpointing)
    assert compared.times == STEPS
    assert len(evaluations) == STEPS + 1


def test_all_is_as_it_was_after_an_evaluation_that_failed(tmp_path, monkeypatch):
    """A full GPU, say: what catches the error finds the model as it left it."""
    from kis_torch.model_view import TorchModelView

    model = dropping_model().train()
    model.transformer.h[0].eval()
    before = state_of(model)

    def run_out() -> None:
        with TorchModelView(model).evaluating():
            torch.rand(3)
            assert not model.training
            raise MemoryError

    with pytest.raises(MemoryError):
        run_out()
    now = state_of(model)
    assert [name for name in before if before[name] != now[name]] == []
