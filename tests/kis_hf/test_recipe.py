"""What a Trainer says of how it trains."""

import pytest

pytest.importorskip("transformers")

import torch

from kis_hf.recipe import recipe_of
from kis_plugin.run.log import TrainingRecipe
from tests.world.runs import trainer_for

ARGUMENTS = {
    "learning_rate": 2e-3, "weight_decay": 0.1, "adam_beta2": 0.95, "lr_scheduler_type": "cosine", "warmup_steps": 5,
    "max_steps": 40,
}  # fmt: skip
SAID = {
    "optimizer": "AdamW", "learning_rate": 2e-3, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95,
    "lr_schedule": "cosine", "warmup_steps": 5, "warmup": 0.125,
}  # fmt: skip


def test_the_arguments_reach_the_recipe(tmp_path):
    trainer = trainer_for(tmp_path, None, **ARGUMENTS)
    trainer.create_optimizer_and_scheduler(40)
    assert recipe_of(trainer, 40, TrainingRecipe()).known() == SAID


def test_an_optimizer_and_a_scheduler_of_the_users_own_count_not_the_arguments(tmp_path):
    trainer = trainer_for(tmp_path, None, **ARGUMENTS)
    trainer.optimizer = torch.optim.SGD(trainer.model.parameters(), lr=0.5)
    trainer.lr_scheduler = torch.optim.lr_scheduler.ExponentialLR(trainer.optimizer, 0.9)
    trainer.create_optimizer_and_scheduler(40)
    known = recipe_of(trainer, 40, TrainingRecipe(batch_size=4)).known()
    assert known == {
        "optimizer": "SGD", "learning_rate": 0.5, "weight_decay": 0.0, "lr_schedule": "ExponentialLR", "batch_size": 4,
    }  # fmt: skip


def test_an_engine_without_an_optimizer_is_described_by_the_arguments(tmp_path):
    trainer = trainer_for(tmp_path, None, **ARGUMENTS)
    trainer._created_lr_scheduler = True
    assert recipe_of(trainer, 40, TrainingRecipe()).known() == {**SAID, "optimizer": str(trainer.args.optim.value)}
