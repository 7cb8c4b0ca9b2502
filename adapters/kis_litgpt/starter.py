"""The files of ``kis init --for litgpt``: a configuration for ``litgpt pretrain``, and what makes its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from string import Template
from typing import Final

from kis_plugin.starter.protocols import Project
from kis_torch.starter import BATCH, LENGTH, steps_of

__all__ = ["LitGPTStarter"]

_TOKENIZER: Final = '''\
"""Train a small tokenizer on the base text:  python make_tokenizer.py

For a model of yours, leave this out and give its folder as tokenizer_dir in pretrain.yaml.
"""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXT, FOLDER, END = Path($path), Path("tokenizer"), "<|endoftext|>"

files = [TEXT] if TEXT.is_file() else sorted(TEXT.rglob("*.txt"))
bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bpe.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(vocab_size=2048, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
bpe.train_from_iterator((file.read_text(encoding="utf-8") for file in files), trainer)
FOLDER.mkdir(exist_ok=True)
bpe.save(str(FOLDER / "tokenizer.json"))
names = {"bos_token": END, "eos_token": END, "tokenizer_class": "PreTrainedTokenizerFast"}
(FOLDER / "tokenizer_config.json").write_text(json.dumps(names), encoding="utf-8")
'''
_PRETRAIN: Final = """\
# litgpt pretrain pythia-14m --config pretrain.yaml       (after python make_tokenizer.py)
data:
  class_path: kis_litgpt.KnowledgeInfusion                # this is KIS
  init_args:
    kis: kis.yaml
    data:                                   # any LitGPT data module for pretraining, as it would stand under `data`
      class_path: kis_litgpt.text_rows.TextRows
      init_args: {train_path: $path}

model_config:                               # Pythia's architecture, smaller than 14M: minutes on a CPU
  name: pythia-mini
  block_size: $length
  n_layer: 2
  n_embd: 64
  n_head: 4
  vocab_size: 2048
  padded_vocab_size: 2048

train:
  max_tokens: $tokens
  global_batch_size: $batch
  micro_batch_size: $batch
  save_interval: $steps
  log_interval: $log
  lr_warmup_steps: $warmup
  max_norm: 1.0
  min_lr: 6e-4
eval:
  interval: $interval                             # steps between two evaluations, retention too
  max_iters: 10
optimizer:
  class_path: torch.optim.AdamW
  init_args: {lr: 6e-3, betas: [0.9, 0.95], weight_decay: 0.1}

tokenizer_dir: tokenizer
out_dir: out
precision: 32-true
devices: 1
logger_name: csv
seed: 1
"""


class LitGPTStarter:
    """``litgpt pretrain``."""

    name = "litgpt"

    def files(self, project: Project) -> Mapping[str, str]:
        """Return the configuration and the script that trains a tokenizer."""
        steps = steps_of(project)
        values = {
            "path": json.dumps(project.text),
            "length": LENGTH,
            "batch": BATCH,
            "tokens": steps * BATCH * LENGTH,
            "steps": steps,
            "log": max(steps // 20, 1),
            "warmup": steps // 30,
            "interval": max(round(steps * project.every), 1),
        }
        return {
            "make_tokenizer.py": Template(_TOKENIZER).substitute(values),
            "pretrain.yaml": Template(_PRETRAIN).substitute(values),
        }

    def command(self, project: Project) -> str:
        """Return the commands that train."""
        return "python make_tokenizer.py && litgpt pretrain pythia-14m --config pretrain.yaml"
