"""Protocols for saved models and for plugins of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from kis_plugin.run.saved_model import LoadedModel, LoadOptions

__all__ = ["ModelLoader", "RunPlugin"]


@runtime_checkable
class ModelLoader(Protocol):
    """Loads one kind of saved model, for ``kis probe``. The first loader that claims a model loads it."""

    name: str

    def claims(self, model: str) -> bool:
        """Return whether this loader loads ``model``, a path or a name, from its looks: nothing is imported for it."""

    def load(self, model: str, options: LoadOptions) -> LoadedModel:
        """Load model and tokenizer.

        Raises:
            KISError: What is wrong with either, or with an option; or the extra that is not installed.
        """


# Any object with hook implementations for run events (hookspecs.py): built for one run, gone with it.
RunPlugin = object
