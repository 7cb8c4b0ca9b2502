"""KIS for LitGPT: a data module that wraps another one, nothing else.

litgpt pretrain pythia-14m --config pretrain.yaml      # data.class_path: kis_litgpt.KnowledgeInfusion
"""

try:
    import litgpt
    import torch
except ImportError as error:
    raise ImportError(
        f"kis_litgpt needs {error.name}, which is not installed. Install the extra: pip install 'kis-plugin[litgpt]'"
    ) from error

from kis_litgpt.data import KnowledgeInfusion

__all__ = ["KnowledgeInfusion"]
del litgpt, torch
