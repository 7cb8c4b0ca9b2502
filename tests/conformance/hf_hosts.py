"""Hugging Face's Trainer, on map-style data and on a stream."""

from __future__ import annotations

from kis_plugin.testing.adapters import BATCH, Outcome
from tests.world.data import Stream
from tests.world.models import make_model
from tests.world.runs import StopAt, trainer_for
from tests.world.tokenizers import make_tokenizer


def model(big):
    return make_model(hidden=64, heads=4, tied=False) if big else make_model()


def weights_of(model):
    return [parameter.detach().numpy() for parameter in model.parameters()]


class TrainerHost:
    """Map-style data."""

    data = staticmethod(lambda rows: rows)
    finds_any_epoch = True

    def __init__(self, monkeypatch):
        self.tokenizer = make_tokenizer()

    def run(self, folder, config, steps=20, stop=0, resume=False, big=False):
        trainer = trainer_for(
            folder,
            config,
            tokenizer=self.tokenizer,
            data=self.data,
            callbacks=[StopAt(stop)] if stop else [],
            max_steps=steps,
            per_device_train_batch_size=BATCH,
            learning_rate=3e-3,
            lr_scheduler_type="constant",
            save_strategy="steps",
            save_steps=1000,
        )
        trainer.model = trainer.model_wrapped = model(big)
        trainer.train(resume_from_checkpoint=resume)
        (infusion,) = [one for one in trainer.callback_handler.callbacks if hasattr(one, "infuse")] or [None]

        def end_again():
            infusion.on_train_end(trainer.args, trainer.state, trainer.control)

        return Outcome(trainer.seen, weights_of(trainer.model), end_again)

    def decode(self, folder, row):
        return self.tokenizer.decode(row.tolist())


class StreamTrainerHost(TrainerHost):
    """An iterable dataset without a length."""

    data = staticmethod(Stream)
    finds_any_epoch = False  # the Trainer skips one epoch at most of data without a length
