"""What the frameworks' own code reads from written data: every row once, in the order of the plan."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import sys
import types

import numpy as np
import pytest

from kis_plugin.registry import registered
from kis_plugin.run.manifest import read_manifest
from kis_write import write_dataset
from kis_write.formats.megatron import Megatron
from kis_write.megatron_files import index_bytes
from kis_write.readers import read_as
from kis_write.request import planned
from tests.kis_write.test_written_rows import texts_of
from tests.world.facts import kis, shown

# megatron-core warns, when it is imported, of packages that speed up training, and makes arrays as numpy 1 did.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:megatron"),
    pytest.mark.filterwarnings("ignore:Transformer Engine and Apex are not installed:UserWarning"),
    pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning"),  # litdata copies from it
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]
READERS = [
    ("megatron", "megatron", "megatron.core.datasets.gpt_dataset", {"host_seed": 7}),
    ("olmo", "olmo", "olmo_core.data", {"host_seed": 7, "batch": 8}),
    ("datasets", "parquet", "datasets", {}),
    ("datatrove", "datatrove", "datatrove.utils.dataset", {}),
    ("mds", "mds", "streaming", {"batch": 8}),
    ("litdata", "litdata", "litdata", {"batch": 8}),
]


@pytest.fixture(autouse=True)
def streaming_without_torchvision():
    """Import streaming where torchvision is missing: only data sets of images, which none is here, use it."""
    if importlib.util.find_spec("streaming") is None or "streaming" in sys.modules:
        return
    names = {"": "", ".datasets": "VisionDataset", ".transforms": "", ".transforms.functional": "to_tensor"}
    with pytest.MonkeyPatch.context() as patch:
        for module, name in names.items():
            made = types.ModuleType(f"torchvision{module}")
            made.__spec__ = importlib.machinery.ModuleSpec(made.__name__, None)
            setattr(made, name or "unused", object)
            patch.setitem(sys.modules, made.__name__, made)
        importlib.import_module("streaming")


def read(folder, reader: str) -> np.ndarray:
    return np.concatenate(list(read_as(reader, folder, read_manifest(folder))))


@pytest.mark.parametrize(("reader", "form", "module", "changed"), READERS, ids=[row[0] for row in READERS])
def test_the_host_reads_every_row_once_in_the_order_of_the_plan(request_for, tmp_path, reader, form, module, changed):
    pytest.importorskip(module)
    request = request_for(format=form, **changed)
    write_dataset(request, tmp_path / "out")
    rows = read(tmp_path / "out", reader)
    assert len(rows) == 200
    assert set(shown(texts_of(rows), kis(tmp_path)).values()) == {6}
    plan, start = planned(request).plan, rows.shape[1] - 64
    for number, row in enumerate(rows):
        texts = plan.texts_in(number)
        if texts is not None:
            tokens = plan.tokens(texts)
            np.testing.assert_array_equal(row[start : start + len(tokens)], tokens)


def test_megatron_reads_several_documents_without_a_torn_row(request_for, tmp_path, monkeypatch):
    pytest.importorskip("megatron.core.datasets.gpt_dataset")
    monkeypatch.setitem(registered("formats"), "megatron", Megatron(longest=2000))
    request = request_for(format="megatron", host_seed=3)
    write_dataset(request, tmp_path / "out")
    rows = read(tmp_path / "out", "megatron")
    assert set(shown(texts_of(rows), kis(tmp_path)).values()) == {6}
    plan = planned(request).plan
    found = [number for number, row in enumerate(rows) if plan.texts_in(number) is not None]
    assert len(found) == plan.infused_rows
    for number in found:
        tokens = plan.tokens(plan.texts_in(number))
        np.testing.assert_array_equal(rows[number][: len(tokens)], tokens)


def test_the_index_has_the_bytes_that_megatron_writes(tmp_path):
    datasets = pytest.importorskip("megatron.core.datasets.indexed_dataset")
    torch = pytest.importorskip("torch")
    builder = datasets.IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=np.uint16)
    for length in (5, 300, 1):
        builder.add_document(torch.arange(length), [length])
    builder.finalize(str(tmp_path / "theirs.idx"))
    assert (tmp_path / "theirs.idx").read_bytes() == index_bytes([5, 300, 1], np.uint16)


@pytest.mark.parametrize(("reader", "form", "module", "changed"), READERS, ids=[row[0] for row in READERS])
def test_a_host_that_is_missing_is_named(request_for, tmp_path, reader, form, module, changed, monkeypatch):
    from kis_plugin.errors import KISError

    if form == "parquet":
        pytest.importorskip("pyarrow")
    write_dataset(request_for(format=form, **changed), tmp_path / "out")
    for name in [name for name in sys.modules if name.split(".")[0] == module.split(".")[0]]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module.split(".")[0], None)
    with pytest.raises(KISError, match=f"--as {reader}"):
        read(tmp_path / "out", reader)


def test_shards_have_the_bytes_that_streaming_writes(request_for, tmp_path):
    streaming = pytest.importorskip("streaming")
    write_dataset(request_for(format="mds", batch=8), tmp_path / "out")
    rows = read(tmp_path / "out", "files").astype(np.int32)
    with streaming.MDSWriter(columns={"tokens": "ndarray:int32"}, out=str(tmp_path / "theirs"), size_limit=None) as out:
        for row in rows:
            out.write({"tokens": row})
    for name in ("shard.00000.mds", "index.json"):
        assert (tmp_path / "theirs" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


@pytest.mark.filterwarnings("ignore:The dataset isn't sorted:UserWarning")
def test_chunks_have_the_bytes_that_litdata_writes(request_for, tmp_path):
    cache = pytest.importorskip("litdata.streaming.cache")
    loader = pytest.importorskip("litdata.streaming.item_loader").TokensLoader(65)
    torch = pytest.importorskip("torch")
    write_dataset(request_for(format="litdata", batch=8), tmp_path / "out")
    theirs = cache.Cache(str(tmp_path / "theirs"), chunk_size=200 * 65, item_loader=loader)
    for number, row in enumerate(read(tmp_path / "out", "files").astype(np.int32)):
        theirs[number] = torch.from_numpy(row)
    theirs.done()
    theirs.merge()
    ours, same = ((tmp_path / name / "chunk-0-0.bin").read_bytes() for name in ("out", "theirs"))
    assert ours == same
    ours, same = (json.loads((tmp_path / name / "index.json").read_text()) for name in ("out", "theirs"))
    assert ours | {"updated_at": ""} == same | {"updated_at": ""}
