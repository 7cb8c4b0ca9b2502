"""What retention costs inside a real Trainer's run: steps between evaluations, and the evaluations themselves."""

from __future__ import annotations

import lzma
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from kis_plugin.retention.evaluation_steps import evaluation_steps
from kis_sweep.base_data import byte_level

__all__ = ["LEAST", "PROBES", "RunTimes", "chunked", "measure"]

DATA = Path(__file__).parent.parent.parent / "examples" / "data"
EOS = "<|endoftext|>"
VOCABULARY = 8192
BLOCK, BATCH = 256, 8  # tokens a row, rows a step
EVERY = 0.1
PROBES = {"facts": 1000, "options": 4}  # evaluated as held_out and as seen; up to 200 controls beside them
WARM = 3  # steps that are not counted
LEAST = 20  # steps of a run: fewer leave none between evaluations


@dataclass(frozen=True)
class RunTimes:
    """Seconds of one run.

    Attributes:
        steps: Of each step without evaluation, the warm ones left out.
        evaluations: Of each evaluation: what its step took more than the median of those without; the first, which
            is before any step, as it is.
        questions: Scored at each evaluation.
        total: From the first evaluation on.
    """

    steps: tuple[float, ...]
    evaluations: tuple[float, ...]
    questions: int
    total: float

    @property
    def step(self) -> float:
        """Median of steps without evaluation."""
        return statistics.median(self.steps)

    @property
    def share(self) -> float:
        """Part of the run's time that evaluations took."""
        return sum(self.evaluations) / self.total


def measure(steps: int, pairs: int, device: str, folder: Path) -> list[tuple[RunTimes, RunTimes]]:
    """Run a Trainer without the callback and with it, in turn.

    Args:
        steps: Optimizer steps of a run.
        pairs: Of runs.
        device: ``cpu``, or that of the Trainer's own choice.
        folder: Takes what the runs write.

    Returns:
        Pairs of a run without and one with the callback.
    """
    tokenizer = _tokenizer()
    rows = np.random.default_rng(0).integers(1, VOCABULARY, (steps * BATCH, BLOCK))  # any ids take the same time
    found = []
    for pair in range(pairs):
        by = {
            infused: _run(infused, steps, device, rows, tokenizer, folder / f"{pair}-{infused}")
            for infused in ((False, True) if pair % 2 == 0 else (True, False))
        }
        found.append((by[False], by[True]))
    return found


def _tokenizer() -> Any:
    from transformers import PreTrainedTokenizerFast

    with lzma.open(DATA / "text.txt.xz", "rt", encoding="utf-8") as file:
        tokenizer = byte_level((line for line, _ in zip(file, range(20_000), strict=False)), VOCABULARY, EOS)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS, pad_token=EOS)


def _run(infused: bool, steps: int, device: str, rows: Any, tokenizer: Any, folder: Path) -> RunTimes:
    """Train once."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    from kis_hf import KnowledgeInfusion

    class Marks(TrainerCallback):
        """Takes the time after all other callbacks: when training begins, after the first evaluation, at each step."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def _mark(self, *args: Any, **keys: Any) -> None:
            if device != "cpu":
                torch.cuda.synchronize()
            self.times.append(perf_counter())

        on_train_begin = on_epoch_begin = on_step_end = _mark

    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "n_positions": BLOCK, "n_embd": 256, "n_layer": 4, "n_head": 4}
    eos = tokenizer.eos_token_id
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=eos, eos_token_id=eos))
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH,
        max_steps=steps,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=device == "cpu",
    )
    data = [{"input_ids": row, "labels": row} for row in torch.from_numpy(rows)]
    marks, said = Marks(), _config(folder)
    callbacks = [*([KnowledgeInfusion(said, tokenizer=tokenizer)] if infused else []), marks]
    trainer = Trainer(model=model, args=arguments, train_dataset=data, callbacks=callbacks)  # type: ignore[arg-type]
    trainer.remove_callback(PrinterCallback)  # type: ignore[no-untyped-call]
    trainer.train()
    if not infused:
        return chunked(marks.times, frozenset(), 0)
    return chunked(marks.times, evaluation_steps(EVERY, steps), _questions(folder))


def _config(folder: Path) -> dict[str, Any]:
    return {
        "knowledge": str(DATA / "facts.jsonl"),
        "infusion": {"share": 0.05},
        "retention": {"every": EVERY, "control": 200, "probes": dict(PROBES)},
        "cache": str(folder / "cache"),
        "run_log": str(folder / "runs"),
    }


def chunked(marks: Sequence[float], due: frozenset[int], questions: int) -> RunTimes:
    """Part a run's time into steps and evaluations.

    Args:
        marks: When training began, when its first step could, and when each step had ended, its evaluation included.
        due: The steps that end with an evaluation; 0 for the one before the first.
        questions: Scored each time.
    """
    begin, ready, *ends = marks
    took = dict(enumerate((after - before for before, after in pairwise([ready, *ends])), start=1))
    plain = tuple(seconds for step, seconds in took.items() if step not in due and step > WARM)
    usual = statistics.median(plain)
    evaluations = tuple(took[step] - usual if step else ready - begin for step in sorted(due))
    return RunTimes(plain, evaluations, questions, ends[-1] - begin)


def _questions(folder: Path) -> int:
    """Return how many questions the run says that it scores."""
    from kis_plugin.run.log import read_run_log

    (log,) = (folder / "runs").rglob("*.jsonl")
    return sum(read_run_log(log).run.extra["probes"].values())
