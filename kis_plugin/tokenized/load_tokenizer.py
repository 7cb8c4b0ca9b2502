"""Loads the tokenizer that a command line names, as the host would load it for training."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.tokenized.tokenizer import HFTokenizer, TextTokenizer

__all__ = ["load_tokenizer"]

_FILE = "tokenizer.json"
_CONFIG = "tokenizer_config.json"
_LITGPT = ("model_config.yaml", "lit_config.json")  # what makes a folder a checkpoint of LitGPT


def names_a_missing_folder(name: str) -> bool:
    """Return whether a name can only be a path and nothing is there; a look-up on the hub is then needless."""
    return not Path(name).exists() and (name.startswith((".", "/", "~")) or name.count("/") > 1)


def load_tokenizer(name: str) -> TextTokenizer:
    """Load the tokenizer of a run outside of it, as the run's host would.

    Args:
        name: A folder that holds one (of a model, or a checkpoint of LitGPT), a ``tokenizer.json``, or a name on the
            Hugging Face hub.

    Raises:
        KISError: There is none, it cannot be used, or what would load it is not installed.
    """
    where, path = f"--tokenizer {name}", Path(name)
    if path.is_file() and path.name == _FILE and (path.parent / _CONFIG).is_file():
        path = path.parent
    if names_a_missing_folder(name):
        raise KISError(Problem(where, "no such folder", f"a folder with {_FILE}, or a name on the Hugging Face hub"))
    litgpt = any((path / mark).is_file() for mark in _LITGPT)
    files = (_FILE,) if litgpt else (_FILE, _CONFIG, "tokenizer.model")
    if path.is_dir() and not any((path / file).is_file() for file in files):
        what = "a checkpoint of LitGPT" if litgpt else "a folder"
        raise KISError(Problem(where, f"{what} without a tokenizer", f"a folder with {_FILE}"))
    needed = "tokenizers" if litgpt else "transformers"
    try:
        library = import_module(needed)
    except ImportError as error:
        hint = f"pip install {'kis-plugin[litgpt]' if litgpt else 'kis-plugin[hf]'!r}"
        raise KISError(Problem(where, f"no {needed} ({error})", "it, to load a tokenizer with", hint)) from error
    try:
        tokenizer = _as_litgpt(library, path) if litgpt else _as_transformers(library, path, name)
    # tokenizers raises Exception itself for a file that is none
    except Exception as error:
        found = (str(error).strip() or type(error).__name__).splitlines()[0]
        expected = f"a folder with {_FILE} and {_CONFIG}, or the name of a model"
        raise KISError(Problem(where, found[:200], expected)) from error
    return HFTokenizer(tokenizer)


def _as_litgpt(tokenizers: Any, folder: Path) -> Any:
    """Read ``tokenizer.json`` itself, as LitGPT does: transformers may change it, and with it the cache's key."""
    backend = tokenizers.Tokenizer.from_file(str(folder / _FILE))
    eos, bos = (_named_in_config(folder, backend, name) for name in ("eos_token", "bos_token"))
    return SimpleNamespace(is_fast=True, backend_tokenizer=backend, eos_token_id=eos, bos_token_id=bos)


def _named_in_config(folder: Path, backend: Any, name: str) -> int | None:
    """Return the id of a token that a configuration of the tokenizer names, as ``bos_token`` or ``eos_token``."""
    token = _read(folder / _CONFIG).get(name)
    token = token.get("content") if isinstance(token, dict) else token
    if token is not None:
        found: int | None = backend.token_to_id(token)
        return found
    return _generation_token(folder, f"{name}_id")


def _as_transformers(transformers: Any, path: Path, name: str) -> Any:
    if path.is_file():
        return transformers.PreTrainedTokenizerFast(tokenizer_file=str(path))
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        str(path) if path.is_dir() else name, trust_remote_code=False
    )
    if tokenizer.eos_token_id is None and (token := _generation_token(path, "eos_token_id")) is not None:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(token)
    return tokenizer


def _generation_token(folder: Path, key: str) -> int | None:
    """Return a token that only ``generation_config.json`` names, as in some checkpoints."""
    token = _read(folder / "generation_config.json").get(key)
    return token if isinstance(token, int) else None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found if isinstance(found, dict) else {}
