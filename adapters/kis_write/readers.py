"""Reads a data set for an audit: by KIS, by the host's own code where that is installed, or by a loader of yours."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.registry import find
from kis_plugin.run.manifest import Manifest
from kis_write.protocols import Format, HostSettings
from kis_write.raw_file import raw_type

__all__ = ["READERS", "batches_of_loader", "read_as"]

Rows = npt.NDArray[np.integer]
_ROWS = 256  # of a batch


def read_as(reader: str, folder: Path, manifest: Manifest) -> Iterator[Rows]:
    """Yield the rows of a written data set in batches, (rows, T) or (rows, T + 1).

    Args:
        reader: ``files``, or the name of a host, as in ``READERS``.
        folder: Of the manifest.
        manifest: What was written.

    Raises:
        KISError: The host is not installed, or does not read this format.
    """
    read = READERS[reader]
    try:
        yield from read(folder, manifest)
    except ImportError as error:
        hint = f"Install {_PACKAGES.get(reader, reader)}, or audit the files with --as files."
        raise KISError(Problem(f"--as {reader}", f"no package {error.name or error}", "the host", hint)) from error


def batches_of_loader(spec: str) -> Iterator[Rows]:
    """Yield the batches of a Python function, ``FILE.py:NAME``, without arguments: any iterable of token ids.

    A batch is an array or tensor (rows, T), or a mapping with ``input_ids`` or ``tokens``.

    Raises:
        KISError: No such file or function, or batches of another form.
    """
    file, _, name = spec.rpartition(":")
    path = Path(file)
    module_spec = importlib.util.spec_from_file_location(path.stem, path) if path.is_file() else None
    if module_spec is None or module_spec.loader is None:
        raise KISError(Problem(f"--loader {spec}", "no such file", "FILE.py:FUNCTION"))
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise KISError(Problem(f"--loader {spec}", f"no function {name!r} in {path}", "one that returns batches"))
    for batch in function():
        yield _ids(batch, spec)


def _ids(batch: Any, spec: str) -> Rows:
    if hasattr(batch, "keys"):
        key = next((key for key in ("input_ids", "tokens") if key in batch), None)
        if key is None:
            found = f"a mapping with {', '.join(map(str, batch.keys()))}"
            raise KISError(Problem(f"--loader {spec}", found, "one with input_ids or tokens"))
        batch = batch[key]
    try:
        return np.asarray(batch.detach().cpu() if hasattr(batch, "detach") else batch)
    except ValueError as error:  # rows of several lengths
        raise KISError(Problem(f"--loader {spec}", str(error), "batches of token ids, (rows, tokens)")) from error


def _files(folder: Path, manifest: Manifest) -> Iterator[Rows]:
    form: Format = find("formats", manifest.format, f"{folder} manifest, format")
    rows = form.read(folder, HostSettings.of(manifest))
    for first in range(0, len(rows), _ROWS):
        yield rows[first : first + _ROWS]


def _megatron(folder: Path, manifest: Manifest) -> Iterator[Rows]:
    _need("megatron", manifest, "megatron")
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
    from megatron.core.datasets.indexed_dataset import IndexedDataset
    from megatron.core.datasets.utils import Split

    config = GPTDatasetConfig(
        random_seed=manifest.host_seed or 0,
        sequence_length=manifest.sequence_length,
        blend=([str(folder / "kis")], None),
        split="100,0,0",
        path_to_cache=None,
        tokenizer=_MegatronTokenizer(manifest),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        create_attention_mask=False,
        mmap_bin_files=True,
    )
    stored = IndexedDataset(str(folder / "kis"), multimodal=False, mmap=True)
    documents = np.arange(len(stored.document_indices) - 1, dtype=np.int32)
    samples = manifest.written_rows
    dataset = GPTDataset(stored, str(folder / "kis"), documents, samples, Split.train, config)
    yield from _stacked(np.asarray(dataset[place]["tokens"]) for place in range(samples))


class _MegatronTokenizer:
    """What a data set of Megatron needs of a tokenizer."""

    def __init__(self, manifest: Manifest) -> None:
        self.eod, self.pad = manifest.eos, manifest.vocabulary  # nothing is padding
        self.vocab_size = manifest.vocabulary
        self.unique_identifiers = {"class": "kis", "fingerprint": manifest.tokenizer}


def _olmo(folder: Path, manifest: Manifest) -> Iterator[Rows]:
    _need("olmo", manifest, "olmo")
    from olmo_core.data import (
        NumpyDataLoaderConfig,
        NumpyFSLDatasetConfig,
        TokenizerConfig,
    )
    from olmo_core.data.types import NumpyDatasetDType

    assert manifest.batch is not None
    dtype = NumpyDatasetDType(raw_type(manifest.vocabulary).__name__)
    tokenizer = TokenizerConfig(vocab_size=manifest.vocabulary, eos_token_id=manifest.eos, pad_token_id=manifest.eos)
    with tempfile.TemporaryDirectory() as work:
        dataset = NumpyFSLDatasetConfig(
            paths=[str(folder / "kis.npy")],
            sequence_length=manifest.sequence_length,
            dtype=dtype,
            tokenizer=tokenizer,
            work_dir=work,
        ).build()
        loader = NumpyDataLoaderConfig(
            global_batch_size=manifest.batch * manifest.sequence_length, seed=manifest.host_seed or 0, work_dir=work
        ).build(dataset)
        loader.reshuffle(epoch=1)
        for batch in loader:
            yield np.asarray(batch["input_ids"])
        loader.reset()


def _datasets(folder: Path, manifest: Manifest) -> Iterator[Rows]:
    _need("datasets", manifest, "parquet")
    import datasets  # type: ignore[import-untyped]

    rows = datasets.load_dataset("parquet", data_files=str(folder / "kis-*.parquet"), split="train", streaming=True)
    yield from _stacked(np.asarray(row["input_ids"]) for row in rows)


def _datatrove(folder: Path, manifest: Manifest) -> Iterator[Rows]:
    _need("datatrove", manifest, "datatrove")
    from datatrove.utils.dataset import DatatroveFileDataset

    size = np.dtype(raw_type(manifest.vocabulary)).itemsize
    dataset = DatatroveFileDataset(str(folder / "kis.ds"), manifest.sequence_length, token_size=size)
    yield from _stacked(np.asarray(dataset[place]["input_ids"]) for place in range(len(dataset)))


def _mds(folder: Path, manifest: Manifest) -> Iterator[Rows]:
    _need("mds", manifest, "mds")
    from streaming import StreamingDataset

    dataset = StreamingDataset(
        local=str(folder), shuffle=False, num_canonical_nodes=1, batch_size=manifest.batch, replication=None
    )
    try:
        yield from _stacked(np.asarray(row["tokens"]) for row in dataset)
    finally:
        dataset.__del__()  # ends what it shares with other processes


def _litdata(folder: Path, manifest: Manifest) -> Iterator[Rows]:
    _need("litdata", manifest, "litdata")
    from litdata import StreamingDataset, TokensLoader

    loader = TokensLoader(block_size=manifest.sequence_length + 1)
    yield from _stacked(np.asarray(row) for row in StreamingDataset(str(folder), item_loader=loader, shuffle=False))


READERS: dict[str, Callable[[Path, Manifest], Iterator[Rows]]] = {
    "files": _files, "megatron": _megatron, "olmo": _olmo, "datasets": _datasets, "datatrove": _datatrove,
    "mds": _mds, "litdata": _litdata,
}  # fmt: skip
"""By name. All but ``files`` are the host's own code."""
_PACKAGES = {"megatron": "megatron-core", "olmo": "ai2-olmo-core", "mds": "mosaicml-streaming"}


def _need(reader: str, manifest: Manifest, form: str) -> None:
    if manifest.format != form:
        raise KISError(Problem(f"--as {reader}", f"a data set of format {manifest.format}", f"one of format {form}"))


def _stacked(rows: Iterable[Rows]) -> Iterator[Rows]:
    left = iter(rows)
    while some := list(islice(left, _ROWS)):
        yield np.stack(some)
