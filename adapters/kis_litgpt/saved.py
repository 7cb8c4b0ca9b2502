"""A checkpoint of LitGPT, loaded without Fabric, with its tokenizer."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from litgpt import GPT, Config
from litgpt.tokenizer import Tokenizer

from kis_litgpt.checkpoint_files import WEIGHTS
from kis_litgpt.model import LitModelView, parameter_counts
from kis_litgpt.tokenizer import LitTokenizer
from kis_plugin.errors import KISError, Problem
from kis_plugin.run.identity import versions
from kis_plugin.run.saved_model import LoadedModel, LoadOptions, sequence_length_of
from kis_torch.load_options import device_of, dtype_of

__all__ = ["is_tied", "load_saved", "read_config", "read_weights"]

_CONFIG = "model_config.yaml"


def load_saved(folder: Path, options: LoadOptions) -> LoadedModel:
    """Load a checkpoint to be probed; of a training checkpoint only the model is read.

    Args:
        folder: With ``lit_model.pth``, ``model_config.yaml`` and the tokenizer.
        options: How.

    Raises:
        KISError: Any of the three is missing or cannot be read, or an option that does not fit.
    """
    where = f"model {folder}"
    config = read_config(folder)
    weights = read_weights(folder)
    dtype = dtype_of(options.dtype) or next(iter(weights.values())).dtype
    device = torch.device(device_of(options.device))
    sequence_length = sequence_length_of(str(folder), options.sequence_length, config.block_size)
    try:
        with torch.device("meta"):
            module = GPT(config)
        module.load_state_dict(weights, assign=True)
        module.cos, module.sin = module.rope_cache()  # on the meta device it had no numbers
        module = module.to(device=device, dtype=dtype).eval()
    except (RuntimeError, ValueError) as error:
        found = (str(error).splitlines() or [type(error).__name__])[-1].strip()
        raise KISError(Problem(where, found, f"weights that fit its {_CONFIG}")) from error
    tokenizer, bos = _tokenizer(Path(options.tokenizer) if options.tokenizer else folder)
    if tokenizer.vocabulary > config.padded_vocab_size:
        expected = f"at most padded_vocab_size of the model, {config.padded_vocab_size}"
        raise KISError(Problem(f"tokenizer of {folder}", f"token ids up to {tokenizer.vocabulary - 1}", expected))
    total, non_embedding = parameter_counts(config, is_tied(weights))
    about = {"loader": "litgpt", "device": str(device), "dtype": str(dtype).removeprefix("torch.")}
    return LoadedModel(
        view=LitModelView(module, device),
        tokenizer=tokenizer,
        sequence_length=sequence_length,
        params=total,
        params_non_embedding=non_embedding,
        bos=bos,
        about=about | versions("torch", "litgpt"),
    )


def read_config(folder: Path) -> Config:
    """Return the configuration of a checkpoint.

    Raises:
        KISError: There is none, or it cannot be read.
    """
    path = folder / _CONFIG
    try:
        return Config.from_file(path)
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        found = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        hint = "LitGPT writes it beside the weights." if isinstance(error, FileNotFoundError) else ""
        raise KISError(Problem(str(path), found, "the configuration of a LitGPT model", hint)) from error


def read_weights(folder: Path, bare: bool = False) -> Mapping[str, torch.Tensor]:
    """Return a model's parameters, mapped from the file; nothing in it is run.

    Args:
        folder: Of the checkpoint.
        bare: Whether a training checkpoint, which holds more than that, is refused.

    Raises:
        KISError: There are none, or they cannot be read.
    """
    path = folder / WEIGHTS
    hint = "Make one of a training checkpoint with litgpt convert_pretrained_checkpoint."
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        found = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise KISError(Problem(str(path), found[:200], "a file of weights and plain values", hint)) from error
    if bare and isinstance(saved, dict) and "model" in saved:
        raise KISError(Problem(str(path), "a training checkpoint", "a model's weights alone", hint))
    weights = saved.get("model", saved) if isinstance(saved, dict) else saved
    if not isinstance(weights, dict) or not weights or not all(map(torch.is_tensor, weights.values())):
        raise KISError(Problem(str(path), f"a {type(weights).__name__} that is no model's weights", "weights", hint))
    return {name.removeprefix("_orig_mod."): value for name, value in weights.items()}


def is_tied(weights: Mapping[str, Any]) -> bool:
    """Return whether output layer and embedding were one parameter when they were saved."""
    output, embedding = weights.get("lm_head.weight"), weights.get("transformer.wte.weight")
    return output is not None and embedding is not None and output.data_ptr() == embedding.data_ptr()


def _tokenizer(folder: Path) -> tuple[LitTokenizer, int | None]:
    try:
        tokenizer = Tokenizer(folder)
    except Exception as error:  # tokenizers raises Exception itself for a file that is none
        found = (str(error).splitlines() or [type(error).__name__])[0] or type(error).__name__
        hint = "Name another folder with --tokenizer."
        raise KISError(Problem(f"tokenizer of {folder}", found[:200], "the files of a tokenizer", hint)) from error
    return LitTokenizer(tokenizer), tokenizer.bos_id
