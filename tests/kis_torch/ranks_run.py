"""One rank of two on gloo, started by run_ranks: ranks_run.py FOLDER SEEN DATA STOP RESUME."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from tests.kis_hf.test_row_shapes import RaggedRows, pad_longest
from tests.world.data import SEQUENCE_LENGTH, BareRows, Stream
from tests.world.facts import kis
from tests.world.loops import train
from tests.world.models import make_model
from tests.world.tokenizers import make_tokenizer


class Shared(Stream):
    """A stream that gives each rank rows of its own."""

    def __iter__(self):
        rank = distributed.get_rank()
        return iter([self.rows[index] for index in range(rank, len(self.rows), 2)])


def main() -> None:
    folder, seen, data, stop, resume = sys.argv[1:]
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    tokenizer = make_tokenizer()
    rows = RaggedRows(240, tokenizer, 20) if data == "ragged" else BareRows(80, tokenizer)
    keys = {"collate_fn": pad_longest()} if data == "ragged" else {}
    config, state = kis(Path(folder), frequency=2 if data == "ragged" else 6), Path(folder) / "state.json"
    batches: list[np.ndarray] = []
    _, saved = train(
        config,
        Shared(rows) if data == "stream" else rows,
        batches,
        steps=30,
        stop=int(stop),
        resumed=json.loads(state.read_text()) if int(resume) else None,
        keys={"batch_size": 2, **keys},
        model=DistributedDataParallel(make_model()),
    )
    if saved and not distributed.get_rank():
        state.write_text(json.dumps(saved))
    batches = [np.pad(batch, ((0, 0), (0, SEQUENCE_LENGTH - batch.shape[1]))) for batch in batches]
    np.save(f"{seen}-{distributed.get_rank()}.npy", np.concatenate(batches))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
