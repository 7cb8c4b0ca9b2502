"""The protocol of what writes the training script of ``kis init``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["Project", "Starter"]


@dataclass(frozen=True)
class Project:
    """What a training script has to know of a new project.

    Attributes:
        text: The base text, a file or folder, as a path from the project's folder with forward slashes.
        infused_tokens: Estimate of the tokens that all exposures of all facts take in a model whose tokenizer is
            trained on the base text.
        every: The fraction of a run between two evaluations.
    """

    text: str
    infused_tokens: int
    every: float


@runtime_checkable
class Starter(Protocol):
    """Writes what runs a new project in one framework; selected by ``kis init --for <name>``."""

    name: str

    def files(self, project: Project) -> Mapping[str, str]:
        """Return the files that train in this framework: name and content."""

    def command(self, project: Project) -> str:
        """Return the shell command that trains, run in the project's folder."""
