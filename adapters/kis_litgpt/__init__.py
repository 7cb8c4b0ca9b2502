"""KIS for LitGPT: a data module that wraps another one, nothing else.

litgpt pretrain pythia-14m --config pretrain.yaml      # data.class_path: kis_litgpt.KnowledgeInfusion

Importing this package imports neither torch nor litgpt: ``kis`` lists what it adds without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kis_plugin.lazy_names import lazy_names, need_modules

if TYPE_CHECKING:
    from kis_litgpt.data import KnowledgeInfusion

__all__ = ["KnowledgeInfusion"]


def need_extra() -> None:
    """Import what the adapter builds on.

    Raises:
        ImportError: torch or litgpt is not installed; says how to install them.
    """
    need_modules(__name__, "litgpt", "torch", "litgpt")


__getattr__, __dir__ = lazy_names(__name__, {".data": __all__}, need_extra)
