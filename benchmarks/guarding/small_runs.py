"""What the guard's runs are made of: tokenizer, rows and facts from ``examples/data``, and tiny Llamas."""

from __future__ import annotations

import json
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kis_plugin.hashing import permutation
from kis_sweep.base_data import byte_level

__all__ = ["BATCH", "END", "EXAMPLES", "LEARNING_RATE", "Rows", "build_model", "prepare_split", "read_books"]

EXAMPLES = Path(__file__).parents[2] / "examples"
BLOCK = 128  # tokens a row
BATCH = 8  # rows a step
VOCABULARY = 2048
LEARNING_RATE = 0.5  # divided by the width
END = "<|endoftext|>"


def prepare_split(out: Path, relations: Sequence[str], facts: int) -> None:
    """Make facts, tokenizer and rows of general text in ``out``, once."""
    if (out / "heldout.npy").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    lines = (EXAMPLES / "data" / "facts.jsonl").read_text(encoding="utf-8").splitlines()
    of_interest = [line for line in lines if json.loads(line)["relation"] in relations]
    chosen = sorted(permutation(len(of_interest), 0, 100)[:facts].tolist())
    (out / "facts.jsonl").write_text("".join(of_interest[index] + "\n" for index in chosen), encoding="utf-8")

    books = {name: read_books(EXAMPLES / "data" / f"{name}.txt.xz") for name in ("text", "heldout")}
    tokenizer = byte_level(books["text"], VOCABULARY, END, lead=True)
    for name, texts in books.items():
        end = tokenizer.token_to_id(END)
        ids = np.concatenate([np.array([*found.ids, end], dtype=np.int32) for found in tokenizer.encode_batch(texts)])
        np.save(out / f"{name}.npy", ids[: len(ids) // BLOCK * BLOCK].reshape(-1, BLOCK))  # (rows, BLOCK)
    tokenizer.save(str(out / "tokenizer.json"))


def read_books(path: Path) -> list[str]:
    """Return the documents of a text file, which a form feed parts."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return [book.strip() for book in file.read().split("\f") if book.strip()]


class Rows:
    """Rows of tokens as a map-style dataset; several passes where a run wants more than there are."""

    def __init__(self, tokens: Any, length: int) -> None:
        self.tokens, self.length = tokens, length

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one row."""
        row = self.tokens[index % len(self.tokens)].tolist()
        return {"input_ids": row, "labels": row}


def build_model(layers: int, width: int, seed: int) -> Any:
    """Return a Llama of the given shape with tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=width,
            intermediate_size=width * 8 // 3 // 8 * 8,
            num_hidden_layers=layers,
            num_attention_heads=max(width // 16, 1),
            max_position_embeddings=BLOCK,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=0,
        )
    )
