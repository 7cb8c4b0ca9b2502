"""Block-diagonal attention: infused texts that attend to themselves only, in models that read it off ``position_ids``.

transformers splits a row into documents where positions start over, if it is given neither a mask nor a cache
(``masking_utils``, ``find_packed_sequence_indices``). Collators add masks and models make caches, so both are
removed here. A model may not support any of this, so its attention is tested before it is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from kis_plugin.errors import KISError, Problem

__all__ = ["use_block_diagonal"]

_TEXT = 8  # tokens of each of the two texts of the test
_CLOSE = 1e-3  # largest change of a logit, relative to the largest logit: training dtypes are coarse


def use_block_diagonal(model: nn.Module, where: str = "infusion.attention") -> Callable[[], None]:
    """Make the model attend within documents only, which begin where positions start over, while it trains.

    Args:
        model: Of transformers; not wrapped.
        where: What errors call the setting.

    Returns:
        A function that leaves the model as it was.

    Raises:
        KISError: In this model, texts attend to each other all the same.
    """
    _refuse_if_seen(model, where)

    def before_forward(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not module.training or kwargs.get("position_ids") is None:
            return None
        return args, {name: value for name, value in kwargs.items() if name != "attention_mask"} | {"use_cache": False}

    return model.register_forward_pre_hook(before_forward, with_kwargs=True).remove


def _refuse_if_seen(model: nn.Module, where: str) -> None:
    """Refuse a model in which a text's logits depend on the text before it."""
    device = next(model.parameters()).device
    ids = torch.arange(2 * _TEXT, device=device).repeat(2, 1) + 1  # (2, T)
    ids[1, :_TEXT] = ids[0, :_TEXT].flip(0)
    positions = torch.arange(_TEXT, device=device).repeat(2).expand(2, -1)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits.float()  # (2, T, V)
    except TypeError as error:
        raise KISError(_problem(model, where, f"which takes no position_ids ({error})")) from error
    finally:
        for module, mode in modes:
            module.training = mode
    change = (logits[0, _TEXT:] - logits[1, _TEXT:]).abs().max() / logits.abs().max()
    if change > _CLOSE:
        raise KISError(_problem(model, where, "in which a text attends to the text before it"))


def _problem(model: nn.Module, where: str, found: str) -> Problem:
    expected = "a model of transformers that separates packed texts by position_ids"
    return Problem(where, f"sentence, with {type(model).__name__}, {found}", expected, "Use attention: row.")
