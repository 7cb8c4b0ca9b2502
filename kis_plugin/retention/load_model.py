"""Loads a saved model by the first registered loader that claims it."""

from __future__ import annotations

from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.registry import registered
from kis_plugin.run.protocols import ModelLoader
from kis_plugin.run.saved_model import LoadedModel, LoadOptions

__all__ = ["load_model"]


def load_model(model: str, options: LoadOptions) -> LoadedModel:
    """Load a model by the first registered loader that claims it.

    Args:
        model: A folder, a file or a name.
        options: How.

    Raises:
        KISError: None claims it; or whatever is wrong with the model or the options.
    """
    loaders: dict[str, ModelLoader] = registered("model_loaders")
    for loader in loaders.values():
        if loader.claims(model):
            return loader.load(model, options)
    found = "a folder or file that no loader claims" if Path(model).exists() else "no such model"
    raise KISError(Problem(f"model {model}", found, f"a saved model; these are loaded: {', '.join(loaders)}"))
