"""The training scripts of ``kis init``: what those of all frameworks share, and the plain loop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import ceil
from string import Template
from typing import Final

from kis_plugin.starter.amount import SHARE
from kis_plugin.starter.protocols import Project

__all__ = ["TorchStarter", "script", "steps_of"]

LENGTH, BATCH, LEAST_STEPS = 64, 8, 1500

_HEAD = '''\
"""$title

    python train.py

As it stands, a tiny Llama learns from scratch on the base text. To train a model of yours, write its folder or its
name on the Hub into MODEL, and set LENGTH, BATCH, STEPS and RATE as your run has them.
"""

from pathlib import Path

$imports

MODEL = ""
TEXT = Path($path)
LENGTH, BATCH, STEPS, RATE = $length, $batch, $steps, 6e-3  # tokens of a row, rows of a step, steps, learning rate


def texts():
    """Return the documents of the base text: a file, or all .txt files of a folder, separated by form feeds."""
    files = [TEXT] if TEXT.is_file() else sorted(TEXT.rglob("*.txt"))
    return [text for file in files for text in file.read_text(encoding="utf-8").split("\\f") if text.strip()]


def make_tokenizer():
    """Train a small tokenizer on the base text."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2048, special_tokens=["<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<eos>")


def make_model(tokenizer):
    """Return a Llama of a quarter of a million parameters with random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=176,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )

'''
_ROWS = '''
def rows_of(tokenizer):
    """Return the base text as rows of LENGTH token ids."""
    ids = [one for text in tokenizer(texts())["input_ids"] for one in [*text, tokenizer.eos_token_id]]
    return [ids[at : at + LENGTH] for at in range(0, len(ids) - LENGTH + 1, LENGTH)]

'''
_START = """
set_seed(0)
tokenizer = AutoTokenizer.from_pretrained(MODEL) if MODEL else make_tokenizer()
model = AutoModelForCausalLM.from_pretrained(MODEL) if MODEL else make_model(tokenizer)
"""
_END = """
model.save_pretrained("model")
tokenizer.save_pretrained("model")
"""
_LOOP = """
ids = torch.tensor(rows_of(tokenizer))
device = "cuda" if torch.cuda.is_available() else "cpu"
model.to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1)
warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=STEPS // 30)
decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS - STEPS // 30, eta_min=RATE / 10)
schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, decay], milestones=[STEPS // 30])

with KnowledgeInfusion("kis.yaml", tokenizer, model, ids, batch_size=BATCH, steps=STEPS, optimizer=optimizer) as kis:
    for step, batch in enumerate(kis.loader(ids, shuffle=True), start=1):
        batch = batch.to(device)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        kis.batch(batch)  # counts what the model was shown
        kis.step_end(step)  # measures retention when it is due
        if step % max(STEPS // 20, 1) == 0:
            print(f"step {step:,} of {STEPS:,}: loss {loss.item():.2f}", flush=True)
"""
_TOKENIZERS: Final = "from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers"
_TORCH_IMPORTS: Final = f"""\
import torch
from kis_torch import KnowledgeInfusion
{_TOKENIZERS}
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    set_seed,
)"""


def steps_of(project: Project) -> int:
    """Return the steps of a run of which at most ``SHARE`` is infused."""
    return max(ceil(project.infused_tokens / SHARE / (LENGTH * BATCH) / 100) * 100, LEAST_STEPS)


def script(project: Project, title: str, imports: str, body: str, rows: bool = True) -> str:
    """Return a training script.

    Args:
        project: What it trains on.
        title: The first line of its docstring.
        imports: Its imports, without pathlib's.
        body: What comes after tokenizer and model are made, before they are saved.
        rows: Whether it cuts the text into rows itself.
    """
    text = _HEAD + (_ROWS if rows else "") + _START + body + _END
    values = {"title": title, "path": json.dumps(project.text), "imports": imports, "steps": steps_of(project)}
    return Template(text).substitute(values, length=LENGTH, batch=BATCH)


class TorchStarter:
    """A plain PyTorch loop."""

    name = "torch"

    def files(self, project: Project) -> Mapping[str, str]:
        """Return the script."""
        title = "Train in a plain PyTorch loop while KIS infuses the facts of kis.yaml."
        return {"train.py": script(project, title, _TORCH_IMPORTS, _LOOP)}

    def command(self, project: Project) -> str:
        """Return the command that trains."""
        return "python train.py"
