"""Names of the files in a checkpoint of LitGPT."""

from __future__ import annotations

__all__ = ["CONFIG", "WEIGHTS"]

CONFIG = "model_config.yaml"
"""The shape of the model; the last file that LitGPT writes."""
WEIGHTS = "lit_model.pth"
"""The weights; in a checkpoint of a run, its optimizer state too."""
