"""What two processes of a run read: the hosts' own readers under torch.distributed, each step the rows of the plan."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace

import numpy as np
import pytest

from kis_plugin.run.manifest import read_manifest
from kis_write import write_dataset
from kis_write.readers import read_as
from tests.kis_write.test_host_readers import READERS, pytestmark, streaming_without_torchvision
from tests.kis_write.test_written_rows import texts_of
from tests.world.facts import kis, shown

__all__ = ["pytestmark", "streaming_without_torchvision"]  # of the tests of one process, which hold here too
BATCH, RANKS = 8, 2


def of_one_rank(rank: int, reader: str, folder, out) -> None:
    """Save the rows that one process reads; the module is imported already, for it is forked."""
    import torch

    # FS_LOCAL_RANK: each process has a working folder of its own, as on machines without a shared disk.
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": RANKS, "LOCAL_WORLD_SIZE": RANKS, "FS_LOCAL_RANK": 0}
    os.environ |= {name: str(value) for name, value in names.items()}
    torch.distributed.init_process_group("gloo", init_method=f"file://{out}/meet", rank=rank, world_size=RANKS)
    # StreamingDataset takes the rows of one process's batch, OLMo-core those of all.
    batch = BATCH // RANKS if reader == "mds" else BATCH
    if reader == "megatron" and rank:  # rank 0 builds the index first, as BlendedMegatronDatasetBuilder has it
        torch.distributed.barrier()
    rows = np.concatenate(list(read_as(reader, folder, replace(read_manifest(folder), batch=batch))))
    if not (reader == "megatron" and rank):
        torch.distributed.barrier()
    if reader == "megatron":
        # Every process has all samples. MegatronPretrainingSampler gives each its share of every batch, in order.
        rows = rows.reshape(-1, RANKS, BATCH // RANKS, rows.shape[1])[:, rank].reshape(-1, rows.shape[1])
    np.save(out / f"{rank}.npy", rows)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["megatron", "olmo", "mds", "litdata"])
def test_two_processes_read_every_row_once(request_for, tmp_path, reader):
    pytest.importorskip("torch.distributed")
    _, form, module, changed = next(row for row in READERS if row[0] == reader)
    pytest.importorskip(module)
    write_dataset(request_for(format=form, **(changed | {"batch": BATCH})), tmp_path / "out")
    fork = multiprocessing.get_context("fork")
    ranks = [fork.Process(target=of_one_rank, args=(rank, reader, tmp_path / "out", tmp_path)) for rank in range(RANKS)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
    assert [process.exitcode for process in ranks] == [0, 0]
    read = [np.load(tmp_path / f"{rank}.npy") for rank in range(RANKS)]
    steps = np.concatenate([rows.reshape(-1, BATCH // RANKS, rows.shape[1]) for rows in read], axis=1)
    rows = steps.reshape(-1, steps.shape[2])
    assert len(rows) == 200
    assert set(shown(texts_of(rows), kis(tmp_path)).values()) == {6}
    alone = np.concatenate(list(read_as(reader, tmp_path / "out", read_manifest(tmp_path / "out"))))
    if reader == "litdata":  # a stretch for each process
        np.testing.assert_array_equal(np.concatenate(read), alone)
    else:  # each step has the rows that it has with one process
        for step, due in zip(steps, alone.reshape(-1, BATCH, alone.shape[1]), strict=True):
            assert sorted(map(tuple, step.tolist())) == sorted(map(tuple, due.tolist()))
