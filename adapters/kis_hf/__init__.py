"""KIS for the Hugging Face ``Trainer``: one callback, nothing else.

>>> from kis_hf import KnowledgeInfusion
>>> trainer = Trainer(model=model, args=args, train_dataset=train,
...                   callbacks=[KnowledgeInfusion("kis.yaml", tokenizer=tokenizer)])  # doctest: +SKIP
"""

try:
    import torch
    import transformers
except ImportError as error:
    raise ImportError(
        f"kis_hf needs {error.name}, which is not installed. Install the extra: pip install 'kis-plugin[hf]'"
    ) from error

from kis_hf.callback import KnowledgeInfusion

__all__ = ["KnowledgeInfusion"]
del torch, transformers
