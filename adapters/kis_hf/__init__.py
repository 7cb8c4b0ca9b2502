"""KIS for the Hugging Face ``Trainer``: one callback, nothing else.

>>> from kis_hf import KnowledgeInfusion
>>> trainer = Trainer(model=model, args=args, train_dataset=train,
...                   callbacks=[KnowledgeInfusion("kis.yaml", tokenizer=tokenizer)])  # doctest: +SKIP

Importing this package imports neither torch nor transformers: ``kis`` lists its commands without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kis_hf.callback import KnowledgeInfusion

__all__ = ["KnowledgeInfusion"]


def need_extra() -> None:
    """Import what the adapter stands on.

    Raises:
        ImportError: torch or transformers is not installed; says how to install them.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ImportError(
            f"kis_hf needs {error.name}, which is not installed. Install the extra: pip install 'kis-plugin[hf]'"
        ) from error
    del torch, transformers


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need_extra()
    from kis_hf.callback import KnowledgeInfusion

    globals()[name] = KnowledgeInfusion
    return KnowledgeInfusion


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
