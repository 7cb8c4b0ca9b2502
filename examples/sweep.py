"""A sweep: tiny Llama models over sizes and infusion frequencies, each trained by a real Trainer with one callback.

    python examples/sweep.py --out sweep-out --params 60k,120k --frequencies 0,16,64,256 --tokens-per-param 20

Everything is made from ``examples/data``: a tokenizer is trained on the text, the text is packed into rows, a number
of facts is drawn. Runs go on side by side, one a core; a run that has its last line in the log is not run again.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BLOCK = 128  # tokens a row
BATCH = 8  # rows a step
VOCABULARY = 2048
LEARNING_RATE = 0.5  # divided by the width
END = "<|endoftext|>"
HELD_OUT_ROWS = 256  # rows of general text for the loss


@dataclass(frozen=True)
class Cell:
    """One run of the sweep."""

    out: str
    layers: int
    width: int
    frequency: float
    steps: int
    control: int
    probes: int
    seed: int

    @property
    def name(self) -> str:
        """Folder name, the same for the same run."""
        return f"L{self.layers}-d{self.width}-F{self.frequency:g}-steps{self.steps}-seed{self.seed}"


def prepare(out: Path, args: argparse.Namespace) -> None:
    """Make facts, tokenizer and rows of general text in ``out``, once."""
    import numpy as np
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from kis_plugin.seeded import permutation

    if (out / "heldout.npy").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    lines = (HERE / "data" / "facts.jsonl").read_text(encoding="utf-8").splitlines()
    of_interest = [line for line in lines if json.loads(line)["relation"] in args.relations.split(",")]
    chosen = sorted(permutation(len(of_interest), 0, 100)[: args.facts].tolist())
    (out / "facts.jsonl").write_text("".join(of_interest[index] + "\n" for index in chosen), encoding="utf-8")

    books = {name: read_books(HERE / "data" / f"{name}.txt.xz") for name in ("text", "heldout")}
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(books["text"], trainer)
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


def train_one(cell: Cell) -> dict[str, Any]:
    """Train one model; return what its run log says at the end."""
    import numpy as np
    import torch
    from transformers import PreTrainedTokenizerFast, Trainer, TrainingArguments, logging

    from kis_hf import KnowledgeInfusion
    from kis_plugin.runlog import read_run_log

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    out = Path(cell.out)
    folder = out / "runs" / cell.name
    done = [log for path in folder.glob("*/kis.jsonl") if (log := read_run_log(path)).end]
    started = time.monotonic()
    if not done:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(out / "tokenizer.json"), eos_token=END)
        text, heldout = (np.load(out / f"{name}.npy", mmap_mode="r") for name in ("text", "heldout"))
        kis = {
            "knowledge": str(out / "facts.jsonl"),
            "infusion": {"frequency": cell.frequency},
            "retention": {"every": 0.25, "control": cell.control, "probes": {"facts": cell.probes}},
            "run_log": str(folder),
            "seed": cell.seed,
        }
        trainer = Trainer(
            model=build_model(cell.layers, cell.width, cell.seed),
            args=TrainingArguments(
                output_dir=str(out / "checkpoints" / cell.name),
                max_steps=cell.steps,
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=64,
                learning_rate=LEARNING_RATE / cell.width,
                lr_scheduler_type="cosine",
                warmup_steps=max(cell.steps // 20, 1),
                weight_decay=0.1,
                adam_beta2=0.95,
                eval_strategy="steps",
                eval_steps=cell.steps,
                save_strategy="no",
                logging_steps=max(cell.steps // 10, 1),
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
                seed=cell.seed,
                dataloader_pin_memory=False,
            ),
            train_dataset=Rows(text, cell.steps * BATCH),
            eval_dataset=Rows(heldout, HELD_OUT_ROWS),
            callbacks=[KnowledgeInfusion(kis, tokenizer=tokenizer)],
        )
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            trainer.train()
        done = [log for path in folder.glob("*/kis.jsonl") if (log := read_run_log(path)).end]
    log = done[-1]
    last = {record.probe: record.accuracy for record in log.retention}
    loss = log.loss[-1].loss if log.loss else math.nan
    return {
        "cell": asdict(cell),
        "params": log.run.params,
        "tokens": log.run.tokens,
        "share": log.run.share,
        "loss": loss,
        "seconds": time.monotonic() - started,
        **last,
    }


def run_cells(cells: list[Cell], workers: int) -> list[dict[str, Any]]:
    """Train all cells, the long ones first, side by side, with a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    results = []
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with (
        Progress(*columns, console=console) as progress,
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
    ):
        task = progress.add_task(f"{len(cells)} runs, {workers} at a time", total=sum(cost(cell) for cell in cells))
        waiting = {pool.submit(train_one, cell): cell for cell in sorted(cells, key=cost, reverse=True)}
        for done in as_completed(waiting):
            result = done.result()
            results.append(result)
            progress.advance(task, cost(waiting[done]))
            progress.console.print(
                f"  {result['params']:>9,} parameters, F = {waiting[done].frequency:<5g} share {result['share']:.2f}: "
                f"held-out {result['held_out']:.3f}, seen {result['seen']:.3f}, control {result['control']:.3f}, "
                f"loss {result['loss']:.2f} ({result['seconds']:.0f} s)",
                highlight=False,
            )
    return results


def cost(cell: Cell) -> float:
    """Return what a run costs, about, in any unit: steps times parameters, embeddings counted as they compute."""
    return cell.steps * (12 * cell.layers * cell.width**2 + VOCABULARY * cell.width)


def cells_of(args: argparse.Namespace) -> list[Cell]:
    """Return the grid: every shape with every frequency and seed, at ``--tokens`` training tokens."""
    shapes = [tuple(int(number) for number in shape.split("x")) for shape in args.shapes.split(",")]
    return [
        Cell(
            out=str(args.out),
            layers=layers,
            width=width,
            frequency=float(frequency),
            steps=math.ceil(args.tokens / (BATCH * BLOCK)),
            control=args.control,
            probes=args.probes,
            seed=seed,
        )
        for layers, width in shapes
        for frequency in args.frequencies.split(",")
        for seed in range(args.seeds)
    ]


def parser() -> argparse.ArgumentParser:
    """Return the options of a sweep."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--out", type=Path, default=Path("sweep-out"), help="folder for everything (default: %(default)s)"
    )
    options.add_argument(
        "--shapes", default="2x32,2x48,3x64", help="layers x width, one or more (default: %(default)s)"
    )
    options.add_argument("--frequencies", default="0,8,32,128", help="exposures per fact (default: %(default)s)")
    options.add_argument(
        "--tokens", type=int, default=1_000_000, help="training tokens of each run (default: %(default)s)"
    )
    options.add_argument("--relations", default="P17,P131,P421,P36,P30", help="of the facts (default: %(default)s)")
    options.add_argument("--facts", type=int, default=200, help="facts drawn from those shipped (default: %(default)s)")
    options.add_argument("--control", type=int, default=40, help="facts kept back (default: %(default)s)")
    options.add_argument("--probes", type=int, default=1000, help="facts asked at most (default: %(default)s)")
    options.add_argument("--seeds", type=int, default=1, help="runs of each size and frequency (default: %(default)s)")
    options.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="runs at a time (default: one a core)"
    )
    return options


def main() -> None:
    """Run a sweep and print its table."""
    args = parser().parse_args()
    prepare(args.out, args)
    results = run_cells(cells_of(args), args.workers)
    (args.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
