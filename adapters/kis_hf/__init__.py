"""KIS for the Hugging Face ``Trainer``: one callback, nothing else.

>>> from kis_hf import KnowledgeInfusion
>>> trainer = Trainer(model=model, args=args, train_dataset=train,
...                   callbacks=[KnowledgeInfusion("kis.yaml", tokenizer=tokenizer)])  # doctest: +SKIP

Importing this package imports neither torch nor transformers: ``kis`` lists its commands without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kis_plugin.lazy_names import lazy_names, need_modules

if TYPE_CHECKING:
    from kis_hf.callback import KnowledgeInfusion

__all__ = ["KnowledgeInfusion"]


def need_extra() -> None:
    """Import what the adapter builds on.

    Raises:
        ImportError: torch or transformers is not installed; says how to install them.
    """
    need_modules(__name__, "hf", "torch", "transformers")


__getattr__, __dir__ = lazy_names(__name__, {".callback": __all__}, need_extra)
