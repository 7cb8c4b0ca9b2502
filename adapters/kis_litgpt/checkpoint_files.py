"""Names of the files in a checkpoint of LitGPT."""

from __future__ import annotations

__all__ = ["WEIGHTS"]

WEIGHTS = "lit_model.pth"
"""The weights; in a checkpoint of a run, its optimizer state too."""
