"""KIS for a plain PyTorch loop.

>>> from kis_torch import KnowledgeInfusion
>>> with KnowledgeInfusion("kis.yaml", tokenizer, model, rows, batch_size=8, steps=1000) as kis:
...     for step, batch in enumerate(kis.loader(rows), start=1):
...         train_on(batch)
...         kis.batch(batch)
...         kis.step_end(step)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kis_plugin.lazy_names import lazy_names

if TYPE_CHECKING:
    from kis_plugin.infusion.row_index import InfusedDataset
    from kis_torch.loop import KnowledgeInfusion
    from kis_torch.sampler import InfusionSampler
    from kis_torch.stream import InfusedIterableDataset

__all__ = ["InfusedDataset", "InfusedIterableDataset", "InfusionSampler", "KnowledgeInfusion"]

_NAMES = {
    ".loop": ("KnowledgeInfusion",),
    ".sampler": ("InfusionSampler",),
    ".stream": ("InfusedIterableDataset",),
    "kis_plugin.infusion.row_index": ("InfusedDataset",),
}


def need_torch() -> None:
    """Import torch.

    Raises:
        ImportError: It is not installed; says how to install it.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("kis_torch needs torch, which is not installed: pip install torch") from error
    del torch


__getattr__, __dir__ = lazy_names(__name__, _NAMES, need_torch)
