"""One rank of two on gloo, started by run_ranks: ddp_run.py FOLDER SEEN WORKERS STOP RESUME ROWS DATA KEYS."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.kis_hf.test_row_shapes import RaggedRows, pad_longest
from tests.world.data import SizedStream, Stream
from tests.world.facts import kis
from tests.world.processes import run_ranks
from tests.world.runs import StopAt, trainer_for
from tests.world.tokenizers import make_tokenizer

# transformers 5.3 loads the optimizer's state of such a run to "cpu:0", a place that torch does not know.
torch.serialization.register_package(9, lambda stored: None, lambda stored, place: stored if place == "cpu:0" else None)


def hub(rows):
    import datasets

    columns = {name: [row[name] for row in rows] for name in ("input_ids", "labels")}
    return datasets.Dataset.from_dict(columns).to_iterable_dataset(num_shards=2)


KEYS = {
    "num_train_epochs": 2,
    "gradient_accumulation_steps": 2,
    "save_strategy": "steps",
    "save_steps": 1000,
    "max_steps": -1,
}
RAGGED = {"ragged": RaggedRows, "ragged stream": lambda *rows: Stream(RaggedRows(*rows))}  # need a collator that pads
DATA: dict[str, Callable[[Any], Any]] = {
    "map": lambda rows: rows,
    "stream": Stream,
    "sized": SizedStream,
    "hub": hub,
    **{name: lambda rows, made=made: made(len(rows), make_tokenizer()) for name, made in RAGGED.items()},
}


def train(
    folder: Path,
    name: str,
    workers: int,
    rows: int,
    stop: int = 0,
    resume: int = 0,
    data: str = "map",
    torchrun: bool = False,
    **keys: Any,
) -> list[np.ndarray]:
    """Run this script in two processes; return the rows that the model of each rank was given."""
    words = [str(folder), str(folder / name), str(workers), str(stop), str(resume), str(rows), data, json.dumps(keys)]
    run_ranks(Path(__file__), *words, torchrun=torchrun)
    return [np.load(folder / f"{name}-{rank}.npy") for rank in (0, 1)]


def main() -> None:
    folder, seen, workers, stop, resume, rows, data, keys = sys.argv[1:]
    torch.set_num_threads(1)
    callbacks = [StopAt(int(stop))] if int(stop) else []
    given = json.loads(keys)
    trainer = trainer_for(
        Path(folder),
        kis(Path(folder), frequency=6, retention=given.pop("retention", {})),
        rows=int(rows),
        callbacks=callbacks,
        data=DATA[data],
        dataloader_num_workers=int(workers),
        ddp_backend="gloo",
        **{**KEYS, **given},
    )
    if data in RAGGED:
        trainer.data_collator = pad_longest()
    assert trainer.args.world_size == 2
    trainer.train(resume_from_checkpoint=bool(int(resume)))
    widest = max(batch.shape[1] for batch in trainer.seen)
    whole = [np.pad(batch, ((0, 0), (0, widest - batch.shape[1]))) for batch in trainer.seen]
    np.save(f"{seen}-{os.environ['RANK']}.npy", np.concatenate(whole))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    os._exit(0)  # gloo's threads now and then abort the interpreter's own end, after all is done


if __name__ == "__main__":
    main()
