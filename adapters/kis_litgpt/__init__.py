"""KIS for LitGPT: a data module that wraps another one, nothing else.

litgpt pretrain pythia-14m --config pretrain.yaml      # data.class_path: kis_litgpt.KnowledgeInfusion

Importing this package imports neither torch nor litgpt: ``kis`` lists what it adds without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kis_litgpt.data import KnowledgeInfusion

__all__ = ["KnowledgeInfusion"]


def need_extra() -> None:
    """Import what the adapter stands on.

    Raises:
        ImportError: torch or litgpt is not installed; says how to install them.
    """
    try:
        import litgpt
        import torch
    except ImportError as error:
        raise ImportError(
            f"kis_litgpt needs {error.name}, which is not installed. "
            "Install the extra: pip install 'kis-plugin[litgpt]'"
        ) from error
    del litgpt, torch


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need_extra()
    from kis_litgpt.data import KnowledgeInfusion

    globals()[name] = KnowledgeInfusion
    return KnowledgeInfusion


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
