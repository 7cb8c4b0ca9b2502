"""How a Trainer trains: what its optimizer, its scheduler and its arguments say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from transformers import Trainer

from kis_plugin.run.log import TrainingRecipe
from kis_torch.recipe import optimizer_recipe, unwrapped, with_warmup

__all__ = ["recipe_of"]


def recipe_of(trainer: Trainer, steps: int, known: TrainingRecipe) -> TrainingRecipe:
    """Return ``known`` with optimizer and schedule of a Trainer that is about to train.

    The arguments name the schedule that the Trainer makes; a scheduler that the user passed is named by its class.

    Args:
        trainer: It has its optimizer and scheduler already.
        steps: Optimizer steps of the run.
        known: What is known of the rest.
    """
    args = trainer.args
    recipe = optimizer_recipe(trainer.optimizer, known)
    if recipe.optimizer is None:  # an engine that trains without an optimizer that can be seen
        recipe = replace(
            recipe, optimizer=_name(args.optim), learning_rate=args.learning_rate, weight_decay=args.weight_decay,
            beta1=args.adam_beta1, beta2=args.adam_beta2,
        )  # fmt: skip
    scheduler = unwrapped(trainer.lr_scheduler)
    if not getattr(trainer, "_created_lr_scheduler", False) and scheduler is not None:
        return replace(recipe, lr_schedule=type(scheduler).__name__)
    return with_warmup(replace(recipe, lr_schedule=_name(args.lr_scheduler_type)), args.get_warmup_steps(steps), steps)


def _name(choice: Any) -> str:
    return str(getattr(choice, "value", choice))
