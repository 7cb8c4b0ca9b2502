"""A folder that PEFT saved: the weights of an adapter such as LoRA, which its base model is loaded with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from kis_plugin.errors import KISError, Problem

__all__ = ["CONFIG", "load_with_adapter"]

CONFIG = "adapter_config.json"
"""What makes a folder one of PEFT's."""


def load_with_adapter(folder: Path, load_base: Callable[..., Any]) -> Any:
    """Load the base model that an adapter names, and the adapter on it, not merged: as it was trained.

    Args:
        folder: With ``adapter_config.json`` and the adapter's weights.
        load_base: ``AutoModelForCausalLM.from_pretrained``, called with a name and a revision.

    Raises:
        KISError: PEFT is not installed; an adapter that names no base model, that is for another task, or that adds
            tokens to each row.
        OSError, ValueError, RuntimeError: Of what loads the base model or the adapter.
    """
    where = f"model {folder}"
    try:
        import peft
    except ImportError as error:
        hint = "pip install 'kis-plugin[peft]'"
        raise KISError(Problem(where, "an adapter of PEFT, and no peft", "it, to load the adapter", hint)) from error
    config = peft.PeftConfig.from_pretrained(str(folder))
    if config.task_type not in (None, "CAUSAL_LM"):
        raise KISError(Problem(f"{where}/{CONFIG}", f"task_type {config.task_type}", "CAUSAL_LM"))
    if config.is_prompt_learning:
        found = f"peft_type {getattr(config.peft_type, 'value', config.peft_type)}, which adds tokens to each row"
        raise KISError(Problem(f"{where}/{CONFIG}", found, "an adapter of weights, such as LORA"))
    base = config.base_model_name_or_path
    if not base:
        hint = "Write the folder or name of the base model there, as base_model_name_or_path."
        raise KISError(Problem(f"{where}/{CONFIG}", "no base model", "the model that was adapted", hint))
    try:
        model = load_base(base, revision=config.revision)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        hint = f"If it has moved, correct base_model_name_or_path in {CONFIG}."
        raise KISError(Problem(f"base model {base} of {folder}", reason, "a causal language model", hint)) from error
    _resize(model, peft.load_peft_weights(str(folder), device="cpu"))
    return peft.PeftModel.from_pretrained(model, str(folder))


def _resize(model: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Give the embedding table as many rows as the one that was saved with the adapter, if one was."""
    table = model.get_input_embeddings()
    name = next(name for name, module in model.named_modules() if module is table)
    rows = next((len(weight) for key, weight in weights.items() if key.endswith(f".{name}.weight")), None)
    if rows is not None and rows != table.num_embeddings:
        model.resize_token_embeddings(rows)
