"""Trains a model on what ``kis sample`` keeps and on as much random text, and compares their held-out losses.

    python -m studies.difference_sampling.run FOLDER

Every second document of ``examples/data/text.txt.xz`` trains the teacher and the reference model; half of the others
are the pool that is sampled. FOLDER gets the models, what was kept, and ``results.csv``. It takes about five minutes of
one core.
"""

from __future__ import annotations

import argparse
import csv
import json
import lzma
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoTokenizer

from kis_hf.loss import Reader
from kis_hf.sample import packer_for, pieces_in, sample_corpus
from kis_hf.sweep_training import build_model
from kis_sweep.base_data import train_tokenizer
from kis_sweep.shapes import shape_of

DATA = Path(__file__).parents[2] / "examples" / "data"
VOCABULARY, ROW, BATCH = 2048, 128, 8
TEACHER, REFERENCE, STUDENT = 480_000, 116_000, 240_000
TEACHER_TOKENS, REFERENCE_TOKENS, STUDENT_TOKENS = 1_000_000, 250_000, 500_000
KEEP, SEEDS = 0.5, (0, 1, 2)
RATE, WARMUP, LEAST_RATE = 0.5, 0.05, 0.1
"""Learning rate times width, fraction of the steps that it rises, and what is left of it at the end."""

Pieces = Sequence[Sequence[int]]


class Result(NamedTuple):
    """One trained model."""

    arm: str
    seed: int
    params: int
    pieces: int
    tokens_of_pieces: int
    tokens_trained: int
    held_out_loss: float
    seconds: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="a new folder for the models and the results")
    folder: Path = parser.parse_args(argv).folder
    folder.mkdir(parents=True)
    text, pool = _halves(folder)
    tokenizer = _tokenizer(folder)
    pieces = list(_pieces([text], tokenizer))
    for name, size, tokens in (("teacher", TEACHER, TEACHER_TOKENS), ("reference", REFERENCE, REFERENCE_TOKENS)):
        model, _, seconds = trained(size, pieces, tokens, 0, tokenizer.eos_token_id)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        print(f"{name}: {sum(p.numel() for p in model.parameters()):,} parameters, {seconds:.0f} s", flush=True)
    readers = [Reader(str(folder / name), device="cpu") for name in ("reference", "teacher")]
    sample = sample_corpus([pool], readers[0], readers[1], KEEP, folder / "kept.jsonl", folder / "scores.jsonl")
    print(sample, flush=True)
    scores = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    print(f"gap above 0 in {np.mean([line['gap'] > 0 for line in scores]):.1%} of the pieces", flush=True)
    held_out = list(_pieces([DATA / "heldout.txt.xz"], tokenizer))
    pieces = list(_pieces([pool], tokenizer))
    selected = [piece for piece, line in zip(pieces, scores, strict=True) if line["kept"]]
    results = []
    for seed in SEEDS:
        for arm, chosen in (("selected", selected), ("random", _random(pieces, sample.tokens_kept, seed))):
            model, tokens, seconds = trained(STUDENT, chosen, STUDENT_TOKENS, seed, tokenizer.eos_token_id)
            params = sum(parameter.numel() for parameter in model.parameters())
            loss = loss_on(model, held_out, tokenizer.eos_token_id)
            size = sum(map(len, chosen))
            results.append(Result(arm, seed, params, len(chosen), size, tokens, round(loss, 5), round(seconds, 1)))
            print(results[-1], flush=True)
    with (folder / "results.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([Result._fields, *results])
    differences = [a.held_out_loss - b.held_out_loss for a, b in zip(results[::2], results[1::2], strict=True)]
    print("selected - random, by seed:", *(f"{difference:+.4f}" for difference in differences))
    return 0


def _halves(folder: Path) -> tuple[Path, Path]:
    """Write every second document to one file, and every second of the others to another."""
    documents = lzma.decompress((DATA / "text.txt.xz").read_bytes()).decode().split("\f")
    found = (folder / "text.txt", folder / "pool.txt")
    for path, some in zip(found, (documents[::2], documents[1::4]), strict=True):
        path.write_text("\f".join(some), encoding="utf-8")
    return found


def _tokenizer(folder: Path) -> Any:
    train_tokenizer([DATA / "text.txt.xz"], VOCABULARY, folder / "tokenizer", lambda *done: None)
    return AutoTokenizer.from_pretrained(folder / "tokenizer")


def _pieces(files: Sequence[Path], tokenizer: Any) -> Iterator[list[int]]:
    """Yield the pieces of a text, packed as ``kis sample`` packs them."""
    return (piece.ids for piece in pieces_in(files, tokenizer, packer_for(tokenizer, ROW + 1)))


def _random(pieces: Pieces, tokens: int, seed: int) -> Pieces:
    """Return pieces drawn without replacement until they hold so many tokens, in the order of the corpus."""
    order = np.random.default_rng(seed).permutation(len(pieces))
    count = 1 + int(np.searchsorted(np.cumsum([len(pieces[place]) for place in order]), tokens))
    return [pieces[place] for place in sorted(order[:count].tolist())]


def batches(pieces: Pieces, tokens: int, seed: int, pad: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield padded ids (B, T + 1), and which of their tokens are real, until at least ``tokens`` were yielded."""
    random, given = np.random.default_rng([seed, 1]), 0
    while True:
        order = random.permutation(len(pieces))  # a new one for each epoch
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = [pieces[place] for place in order[start : start + BATCH]]
            ids = torch.full((BATCH, ROW + 1), pad)
            real = torch.zeros((BATCH, ROW + 1), dtype=torch.bool)
            for number, row in enumerate(rows):
                ids[number, : len(row)] = torch.tensor(row)
                real[number, : len(row)] = True
            yield ids, real
            given += sum(map(len, rows))
            if given >= tokens:
                return


def trained(size: int, pieces: Pieces, tokens: int, seed: int, eos: int) -> tuple[Any, int, float]:
    """Train a model from random weights; return it, the tokens that it was given, and seconds."""
    began, shape = time.monotonic(), shape_of(size, VOCABULARY)
    model = build_model(shape, ROW, seed, eos)
    rate = RATE / shape.width
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1)
    given = 0
    for ids, real in batches(pieces, tokens, seed, eos):
        done = given / tokens
        falling = LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * min(done, 1)))
        optimizer.param_groups[0]["lr"] = rate * min(max(done, 0.001) / WARMUP, 1) * falling
        losses = _losses(model, ids)[real[:, 1:]]
        losses.mean().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        given += int(real.sum())
    return model.eval(), given, time.monotonic() - began


def _losses(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return the loss of every token but the first: (B, T)."""
    logits = model(input_ids=ids[:, :-1]).logits  # (B, T, V)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(
        len(ids), -1
    )


@torch.no_grad()
def loss_on(model: Any, pieces: Pieces, pad: int) -> float:
    """Return the mean loss over all predicted tokens of some pieces, nats."""
    sums, count = 0.0, 0
    for start in range(0, len(pieces), BATCH):
        rows = pieces[start : start + BATCH]
        ids = torch.full((len(rows), ROW + 1), pad)
        real: npt.NDArray[np.bool_] = np.zeros((len(rows), ROW + 1), dtype=np.bool_)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            real[number, : len(row)] = True
        losses = _losses(model, ids)[torch.from_numpy(real[:, 1:])]
        sums, count = sums + float(losses.sum()), count + len(losses)
    return sums / count


if __name__ == "__main__":
    sys.exit(main())
