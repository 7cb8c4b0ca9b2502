"""A model of ``transformers`` from where it was saved, with its tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from kis_hf.peft_folder import CONFIG as PEFT_CONFIG
from kis_hf.peft_folder import load_with_adapter
from kis_plugin.errors import KISError, Problem
from kis_plugin.run.identity import versions
from kis_plugin.run.saved_model import LoadedModel, LoadOptions, sequence_length_of
from kis_plugin.tokenized.tokenizer import HFTokenizer
from kis_torch.load_options import device_of, dtype_of
from kis_torch.model_view import TorchModelView
from kis_torch.parameters import parameter_counts

__all__ = ["load_causal", "load_saved"]


def load_causal(name: str, options: LoadOptions) -> tuple[Any, Any, int]:
    """Load a causal language model.

    Args:
        name: A folder, of an adapter of PEFT too, or a name on the Hub.
        options: How.

    Returns:
        The model in evaluation mode, its tokenizer, and the tokens of a row, at most.

    Raises:
        KISError: There is no such model or tokenizer, or no such device or dtype, or rows longer than it takes.
    """
    device, dtype = device_of(options.device), dtype_of(options.dtype)
    try:
        model, tokenizer = _loaded(
            name,
            options.tokenizer,
            partial(AutoModelForCausalLM.from_pretrained, dtype=dtype or "auto", trust_remote_code=False),
        )
        model = model.to(device).eval()
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError, UnpicklingError, EOFError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        hint = "If its tokenizer is missing, name one with --tokenizer." if options.tokenizer is None else ""
        raise KISError(Problem(f"model {name}", reason, "a causal language model", hint)) from error
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        expected = f"at most the {rows:,} of the model's embedding table"
        raise KISError(Problem(f"tokenizer of {name}", f"{len(tokenizer):,} tokens", expected, "Name the model's own."))
    return (
        model,
        tokenizer,
        sequence_length_of(name, options.sequence_length, getattr(model.config, "max_position_embeddings", None)),
    )


def _loaded(name: str, tokenizer: str | None, load: Callable[..., Any]) -> tuple[Any, Any]:
    """Return a model and its tokenizer, the adapter's base model's where the adapter has none of its own."""
    folder = Path(name)
    if not (folder / PEFT_CONFIG).is_file():
        return load(name), _tokenizer(tokenizer or name)
    model = load_with_adapter(folder, load)
    has_tokenizer = (folder / "tokenizer_config.json").is_file()
    base = model.peft_config[model.active_adapter].base_model_name_or_path
    return model, _tokenizer(tokenizer or (name if has_tokenizer else base))


def _tokenizer(name: str) -> Any:
    return AutoTokenizer.from_pretrained(name, trust_remote_code=False)  # None would offer to run the code


def load_saved(name: str, options: LoadOptions) -> LoadedModel:
    """Load a causal language model to be probed.

    Raises:
        KISError: As ``load_causal``; a tokenizer without EOS, or a slow one.
    """
    model, tokenizer, sequence_length = load_causal(name, options)
    total, non_embedding = parameter_counts(model)
    about = {"loader": "transformers", "device": str(model.device), "dtype": str(model.dtype).removeprefix("torch.")}
    return LoadedModel(
        view=TorchModelView(model),
        tokenizer=HFTokenizer(tokenizer),
        sequence_length=sequence_length,
        params=total,
        params_non_embedding=non_embedding,
        bos=tokenizer.bos_token_id,
        about=about | versions("torch", "transformers"),
    )
