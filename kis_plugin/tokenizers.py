"""The tokenizer that a command is told to use, by the folder or the name it would be loaded from for training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.sentences import HFTokenizer, TextTokenizer

__all__ = ["load_tokenizer"]

_FILE = "tokenizer.json"
_CONFIG = "tokenizer_config.json"


def load_tokenizer(name: str) -> TextTokenizer:
    """Load the tokenizer of a run outside of it.

    Args:
        name: A folder that holds one (of a model, or a checkpoint of LitGPT), a ``tokenizer.json``, or a name on the
            Hugging Face hub.

    Raises:
        KISError: There is none, it cannot be used, or ``transformers`` is not installed.
    """
    where = f"--tokenizer {name}"
    try:
        import transformers
    except ImportError as error:
        hint = "pip install 'kis-plugin[hf]'; checkpoints of LitGPT, too, are read with it."
        raise KISError(Problem(where, f"no transformers ({error})", "it, to load a tokenizer with", hint)) from error
    path = Path(name)
    if path.is_file():
        path = path.parent if path.name == _FILE and (path.parent / _CONFIG).is_file() else path
    elif path.is_dir() and not any((path / file).is_file() for file in (_FILE, _CONFIG, "tokenizer.model")):
        raise KISError(Problem(where, "a folder without a tokenizer", f"a folder with {_FILE}"))
    try:
        tokenizer = _load(transformers, path, name)
    # tokenizers raises Exception itself for a file that is none
    except Exception as error:
        found = (str(error).strip() or type(error).__name__).splitlines()[0]
        expected = f"a folder with {_FILE} and {_CONFIG}, or the name of a model"
        raise KISError(Problem(where, found[:200], expected)) from error
    return HFTokenizer(tokenizer)


def _load(transformers: Any, path: Path, name: str) -> Any:
    if path.is_file():
        return transformers.PreTrainedTokenizerFast(tokenizer_file=str(path))
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(path) if path.is_dir() else name)
    if tokenizer.eos_token_id is None and (token := _eos_of(path)) is not None:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(token)
    return tokenizer


def _eos_of(folder: Path) -> int | None:
    """Return the EOS that only ``generation_config.json`` names, as in some checkpoints."""
    try:
        token = json.loads((folder / "generation_config.json").read_text(encoding="utf-8")).get("eos_token_id")
    except (OSError, ValueError):
        return None
    return token if isinstance(token, int) else None
