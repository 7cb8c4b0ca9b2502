"""KIS in axolotl: ``plugins: [kis_axolotl.KISPlugin]`` in its configuration, kis.yaml and this file beside it."""

from __future__ import annotations

from typing import Any

from axolotl.integrations.base import BasePlugin

from kis_hf import KnowledgeInfusion


class KISPlugin(BasePlugin):
    """Adds the callback once axolotl has made its Trainer."""

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[KnowledgeInfusion]:
        """Return the callback."""
        return [KnowledgeInfusion("kis.yaml", tokenizer=trainer.processing_class)]
