"""KIS for a plain PyTorch loop.

>>> from kis_torch import KnowledgeInfusion
>>> with KnowledgeInfusion("kis.yaml", tokenizer, model, rows, batch_size=8, steps=1000) as kis:
...     for step, batch in enumerate(kis.loader(rows), start=1):
...         train_on(batch)
...         kis.batch(batch)
...         kis.step_end(step)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kis_plugin.infusion.row_index import InfusedDataset
    from kis_torch.loop import KnowledgeInfusion
    from kis_torch.sampler import InfusionSampler
    from kis_torch.stream import InfusedIterableDataset

__all__ = ["InfusedDataset", "InfusedIterableDataset", "InfusionSampler", "KnowledgeInfusion"]

_WHERE = {
    "InfusedDataset": "kis_plugin.infusion.row_index",
    "InfusedIterableDataset": "kis_torch.stream",
    "InfusionSampler": "kis_torch.sampler",
    "KnowledgeInfusion": "kis_torch.loop",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import torch
    except ImportError as error:
        raise ImportError("kis_torch needs torch, which is not installed: pip install torch") from error
    del torch
    value = globals()[name] = getattr(import_module(_WHERE[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
