"""The training scripts of ``kis init`` for the Trainer and for TRL's SFTTrainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kis_plugin.starter.protocols import Project
from kis_torch.starter import script

__all__ = ["TRLStarter", "TrainerStarter"]

_ARGUMENTS: Final = """\
    output_dir="out",
    max_steps=STEPS,
    per_device_train_batch_size=BATCH,
    learning_rate=RATE,
    adam_beta2=0.95,
    lr_scheduler_type="cosine",
    warmup_steps=STEPS // 30,
    weight_decay=0.1,
    save_strategy="no",
    report_to="none",
    dataloader_pin_memory=torch.cuda.is_available(),
    logging_steps=max(STEPS // 20, 1),
"""
_TRAINER: Final = f"""
rows = [{{"input_ids": ids, "labels": ids}} for ids in rows_of(tokenizer)]
arguments = TrainingArguments(
{_ARGUMENTS})
trainer = Trainer(
    model=model,
    args=arguments,
    train_dataset=rows,
    callbacks=[KnowledgeInfusion("kis.yaml", tokenizer=tokenizer)],  # this line is KIS
)
trainer.train()
"""
_SFT: Final = f"""
arguments = SFTConfig(
{_ARGUMENTS}    max_length=LENGTH,
    packing=True,
    packing_strategy="wrapped",  # long documents are cut into rows; "bfd" keeps their first row only
    bf16=torch.cuda.is_available(),
    gradient_checkpointing=False,
)
trainer = SFTTrainer(
    model=model,
    args=arguments,
    train_dataset=Dataset.from_dict({{"text": texts()}}),
    processing_class=tokenizer,
    callbacks=[KnowledgeInfusion("kis.yaml", tokenizer=tokenizer)],  # this line is KIS
)
trainer.train()
"""
_MODELS: Final = """\
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
"""
_TOKENIZERS: Final = """\
from kis_hf import KnowledgeInfusion
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
"""


class TrainerStarter:
    """The Trainer of ``transformers``."""

    name = "hf"

    def files(self, project: Project) -> Mapping[str, str]:
        """Return the script."""
        title = "Train with the Hugging Face Trainer while KIS infuses the facts of kis.yaml."
        imports = f"import torch\n{_TOKENIZERS}{_MODELS}    Trainer,\n    TrainingArguments,\n    set_seed,\n)"
        return {"train.py": script(project, title, imports, _TRAINER)}

    def command(self, project: Project) -> str:
        """Return the command that trains."""
        return "python train.py"


class TRLStarter:
    """TRL's SFTTrainer, with packing."""

    name = "trl"

    def files(self, project: Project) -> Mapping[str, str]:
        """Return the script."""
        title = "Train with TRL's SFTTrainer while KIS infuses the facts of kis.yaml."
        more = "    set_seed,\n)\nfrom trl import SFTConfig, SFTTrainer"
        imports = f"import torch\nfrom datasets import Dataset\n{_TOKENIZERS}{_MODELS}{more}"
        return {"train.py": script(project, title, imports, _SFT, rows=False)}

    def command(self, project: Project) -> str:
        """Return the command that trains."""
        return "python train.py"
