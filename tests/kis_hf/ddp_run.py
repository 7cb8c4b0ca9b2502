"""One rank of a two-process gloo run, started by torchrun: ddp_run.py FOLDER SEEN WORKERS STOP RESUME ROWS."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from world import StopAt, kis, trainer_for

# transformers 5.3 loads the optimizer's state of such a run to "cpu:0", a place that torch does not know.
torch.serialization.register_package(9, lambda stored: None, lambda stored, place: stored if place == "cpu:0" else None)


def main() -> None:
    folder, seen, workers, stop, resume, rows = sys.argv[1:]
    torch.set_num_threads(1)
    callbacks = [StopAt(int(stop))] if int(stop) else []
    trainer = trainer_for(
        Path(folder),
        kis(Path(folder), frequency=6),
        rows=int(rows),
        callbacks=callbacks,
        max_steps=-1,
        num_train_epochs=2,
        gradient_accumulation_steps=2,
        dataloader_num_workers=int(workers),
        save_strategy="steps",
        save_steps=1000,
        ddp_backend="gloo",
    )
    assert trainer.args.world_size == 2
    trainer.train(resume_from_checkpoint=bool(int(resume)))
    np.save(f"{seen}-{os.environ['RANK']}.npy", np.concatenate(trainer.seen))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
