"""One real run through the Trainer's callback, and watched."""

from __future__ import annotations

import json
import os
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.guarding import small_runs
from benchmarks.guarding.replay import RISE
from benchmarks.guarding.scenarios import SCENARIOS, TAUGHT, TEACHERS, WIDENED, Scenario
from benchmarks.guarding.trace import Trace
from benchmarks.guarding.witness import WITNESS, Observer
from kis_plugin.hashing import permutation
from kis_plugin.plugins.manager import add, plugin_manager
from kis_plugin.templates.load import BuiltInTemplates

__all__ = ["EVERY", "FACTS", "Job", "observe", "prepare"]

FACTS = 300  # all of them infused
PROBED = 160  # by the guard; the witness probes the others
EVERY = 0.1
RELATIONS = ("P17", "P131", "P421", "P36", "P30")
TURNED = "turned.yaml"
_SEED = 83
TEXTS = ("general", WITNESS)  # whose loss is measured
DOCUMENTS, CHARACTERS = 6, 1200  # of each


@dataclass(frozen=True)
class Job:
    """A run that is to be made.

    Attributes:
        scenario: What it is.
        seed: Of model, data, infusion and questions.
        steps: Optimizer steps.
        folder: Where facts, text and what runs leave are.
    """

    scenario: Scenario
    seed: int
    steps: int
    folder: Path

    @property
    def trace(self) -> Path:
        """The file of what was observed."""
        return self._left("json")

    @property
    def model(self) -> Path:
        """The file of the finished model's weights."""
        return self._left("pt")

    @property
    def start(self) -> Job | None:
        """The run whose model it starts from."""
        if self.scenario.start is None:
            return None
        return Job.of(SCENARIOS[self.scenario.start], self.seed, self.steps, self.folder)

    @classmethod
    def of(cls, scenario: Scenario, seed: int, steps: int, folder: Path) -> Job:
        """Return a run of ``steps`` steps, unless its scenario has a number of its own; of models to start from few."""
        if scenario.name in (TAUGHT, WIDENED):
            seed = seed // 100 * 100 + seed % TEACHERS
        return cls(scenario, seed, scenario.steps or steps, folder)

    def _left(self, kind: str) -> Path:
        return self.folder / "left" / f"{self.scenario.name.replace(' ', '-')}-{self.steps}-{self.seed}.{kind}"


def prepare(folder: Path) -> None:
    """Make facts, tokenizer, rows and the two texts whose loss is measured."""
    small_runs.prepare_split(folder, RELATIONS, FACTS)
    (folder / "left").mkdir(exist_ok=True)
    books = small_runs.read_books(small_runs.EXAMPLES / "data" / "heldout.txt.xz")
    for place, name in enumerate(TEXTS):
        text = "\f".join(book[:CHARACTERS] for book in books[place : place + 2 * DOCUMENTS : 2])
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    templates = BuiltInTemplates().templates()
    turned = {name: {"statements": templates[name].statements[::-1]} for name in RELATIONS}
    (folder / TURNED).write_text(json.dumps(turned), encoding="utf-8")


def observe(job: Job) -> Trace:
    """Train, and return what was observed; of a run that was made before, read it."""
    import torch
    from transformers import logging

    if job.trace.exists():
        return Trace.read(job.trace)
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    started, observer = time.monotonic(), _observer()
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        trainer = _trainer(job)
        trainer.train()
    torch.save(trainer.model.state_dict(), job.model)
    assert observer.latest is not None
    trace = Trace.of(
        observer.latest,
        scenario=job.scenario.name,
        seed=job.seed,
        steps=job.steps,
        every=EVERY,
        run=_run_record(job),
        seconds=time.monotonic() - started,
    )
    trace.write(job.trace)
    return trace


@cache
def _observer() -> Observer:
    """Register what watches the runs of this process, once."""
    observer = Observer()
    add(plugin_manager(), observer, WITNESS, "benchmarks.guarding")
    return observer


def _trainer(job: Job) -> Any:
    import torch
    from transformers import PreTrainedTokenizerFast, Trainer, TrainingArguments

    from kis_hf import KnowledgeInfusion

    scenario, folder = job.scenario, job.folder
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), eos_token=small_runs.END)
    model = small_runs.build_model(*scenario.shape, job.seed)
    if job.start is not None:
        model.load_state_dict(torch.load(job.start.model, weights_only=True))
    return Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder / "checkpoints"),
            max_steps=job.steps,
            per_device_train_batch_size=small_runs.BATCH,
            learning_rate=scenario.rate * small_runs.LEARNING_RATE / scenario.shape[1],
            lr_scheduler_type=scenario.schedule,
            warmup_steps=max(job.steps // 20, 1),
            weight_decay=0.1,
            adam_beta2=0.95,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            seed=job.seed,
            train_sampling_strategy="sequential",
            dataloader_pin_memory=False,
        ),
        train_dataset=small_runs.Rows(_text(job), job.steps * small_runs.BATCH),
        callbacks=[KnowledgeInfusion(_config(job), tokenizer=tokenizer)],
    )


def _text(job: Job) -> Any:
    """Return the rows of base text in an order of the seed's own: (rows, T)."""
    import numpy as np

    text = np.load(job.folder / "text.npy")
    return text[permutation(len(text), job.seed, _SEED)]


def _config(job: Job) -> dict[str, Any]:
    return {
        **({"templates": str(job.folder / TURNED)} if job.scenario.turned else {}),
        "knowledge": str(job.folder / "facts.jsonl"),
        "infusion": dict(job.scenario.infusion),
        "retention": {
            "every": EVERY,
            "control": 0,
            "by": [],
            "probes": {"facts": PROBED, "kinds": ["held_out", WITNESS]},
            "general_text": str(job.folder / f"{TEXTS[0]}.txt"),
            "guard": {"max_loss_rise": RISE},
        },
        "run_log": str(_logs(job)),
        "seed": job.seed,
    }


def _logs(job: Job) -> Path:
    return job.trace.with_suffix("")


def _run_record(job: Job) -> dict[str, float]:
    from kis_plugin.run.log import read_run_log

    log = max((read_run_log(path) for path in _logs(job).glob("*/kis.jsonl")), key=lambda log: log.path.stat().st_mtime)
    return {name: getattr(log.run, name) for name in ("params", "tokens", "frequency", "share")}
