"""What the guard asks for, in a Trainer: training ends, or nothing more is infused; counts stay exact."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import TrainerCallback

from kis_hf import KnowledgeInfusion
from kis_plugin.run.log import read_run_log
from tests.world.facts import kis, write_facts
from tests.world.runs import shown, trainer_for
from tests.world.tokenizers import make_tokenizer


class AtStep(TrainerCallback):
    """Asks the run for something after a step, as the guard does, before KIS is notified of the step's end."""

    def __init__(self, step, ask):
        self.step, self.ask = step, ask

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            self.ask(KnowledgeInfusion._latest._session.run)


def trained(folder, ask, **keys):
    write_facts(folder)
    config, tokenizer = kis(folder, frequency=6), make_tokenizer()
    trainer = trainer_for(folder, config, rows=160, tokenizer=tokenizer, max_steps=40, **keys)
    trainer.callback_handler.callbacks.insert(0, AtStep(20, ask))
    trainer.train()
    (log,) = [read_run_log(path) for path in (folder / "runs").glob("*/kis.jsonl")]
    return trainer, shown(trainer.seen, config, tokenizer), log


def test_training_ends_after_the_step(tmp_path):
    trainer, _, log = trained(tmp_path, lambda run: run.session.stop("enough"))
    assert trainer.state.global_step == 20
    assert (log.end.status, log.end.step) == ("stopped", 20)


@pytest.mark.parametrize("workers", [0, 2])
def test_counts_are_right_after_infusion_has_stopped(tmp_path, workers):
    trainer, counts, log = trained(tmp_path, lambda run: run.session.throttle(0.0), dataloader_num_workers=workers)
    assert trainer.state.global_step == 40
    found = np.array(list(counts.values()))
    assert 1 <= found.min() <= found.max() < 6
    assert log.end.achieved_frequency == {"min": found.min(), "max": found.max(), "mean": pytest.approx(found.mean())}
    assert log.end.extra["throttled"][0]["keep"] == 0.0
    assert log.end.status == "completed"
