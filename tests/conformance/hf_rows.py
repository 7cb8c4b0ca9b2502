"""Hugging Face's Trainer, on map-style data and on a stream."""

from __future__ import annotations

import world
from contract import BATCH, Outcome
from transformers import LlamaConfig, LlamaForCausalLM, set_seed
from world import StopAt, Stream, make_tokenizer, trainer_for


def model(big):
    if not big:
        return world.make_model()
    set_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=500, hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=4,
            max_position_embeddings=64, bos_token_id=None, eos_token_id=0,
        )
    )  # fmt: skip


class Trainer:
    """Map-style data."""

    data = staticmethod(lambda rows: rows)
    finds_any_pass = True

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

        return Outcome(trainer.seen, list(trainer.model.parameters()), end_again)

    def decode(self, folder, row):
        return self.tokenizer.decode(row.tolist())


class StreamTrainer(Trainer):
    """An iterable dataset without a length."""

    data = staticmethod(Stream)
    finds_any_pass = False  # the Trainer skips one pass at most of data without a length
