"""What ``kis write`` writes: each fact exactly as often as requested, at the place where the host reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kis_plugin.config.load import config_from
from kis_plugin.registry import registered
from kis_plugin.run.manifest import read_manifest
from kis_plugin.tokenized.infusion_split import load_split
from kis_write import audit_rows, write_dataset
from kis_write.audit import sought_of_config
from kis_write.formats.megatron import Megatron
from kis_write.protocols import HostSettings
from kis_write.request import planned
from tests.world.facts import controls_shown, kis, shown
from tests.world.tokenizers import make_tokenizer

FORMATS = {
    "megatron": {"host_seed": 7},
    "olmo": {"host_seed": 7, "batch": 8},
    "parquet": {},
    "datatrove": {},
    "mds": {"batch": 8},
    "litdata": {"batch": 8},
}


def rows_of(folder: Path) -> np.ndarray:
    """Return the rows in the order of the files, (rows, T) or (rows, T + 1)."""
    manifest = read_manifest(folder)
    return np.asarray(registered("formats")[manifest.format].read(folder, HostSettings.of(manifest)), dtype=np.int64)


def in_plan_order(folder: Path) -> np.ndarray:
    """Return the rows in the order of the plan, by the layout of the format."""
    manifest = read_manifest(folder)
    order = registered("formats")[manifest.format].layout(HostSettings.of(manifest)).rows_of
    rows = rows_of(folder)
    return rows if order is None else rows[np.argsort(order)]


def texts_of(rows: np.ndarray) -> list[str]:
    tokenizer = make_tokenizer()
    return [tokenizer.decode(row.tolist()) for row in rows]


def stated(texts: list[str], config: dict) -> dict[str, int]:
    """Return how often each infused fact's sentences stand in rows of text, ended by EOS or not."""
    split = load_split(config_from(config))
    return {
        fact.subject: sum(
            text.count(template.format(subject=fact.subject, object=fact.object))
            for template in split.book.of(fact.relation).trained
            for text in texts
        )
        for fact in split.facts
    }


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("placement", ["rows", "inline"])
@pytest.mark.parametrize("frequency", [3, 6.5])
def test_each_fact_stands_there_as_often_as_requested(request_for, tmp_path, form, placement, frequency):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    config = {"frequency": frequency, "infusion": {"placement": placement}}
    request = request_for(config, format=form, **FORMATS[form])
    write_dataset(request, tmp_path / "out")
    texts = texts_of(rows_of(tmp_path / "out"))
    counts = stated(texts, kis(tmp_path)).values()
    assert sum(counts) == 20 * frequency
    assert set(counts) <= {int(frequency), -int(-frequency // 1)}
    assert sum(controls_shown(texts, kis(tmp_path)).values()) == 0


@pytest.mark.parametrize("form", FORMATS)
def test_rows_stand_where_the_host_finds_them_in_the_order_of_the_plan(request_for, tmp_path, form):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    request = request_for(format=form, **FORMATS[form])
    write_dataset(request, tmp_path / "out")
    plan = planned(request).plan
    for number, row in enumerate(in_plan_order(tmp_path / "out")):
        numbers = plan.texts_in(number)
        if numbers is not None:
            tokens = plan.tokens(numbers)
            start = len(row) - 64  # rows with a target begin with EOS
            np.testing.assert_array_equal(row[start : start + len(tokens)], tokens)


def test_base_rows_are_those_of_the_corpus_each_once_an_epoch(request_for, tmp_path):
    plain = request_for({"frequency": 0}, shuffle=False, rows=140)
    write_dataset(plain, tmp_path / "plain")
    write_dataset(request_for({"frequency": 0}, rows=140), tmp_path / "shuffled")
    rows, shuffled = rows_of(tmp_path / "plain"), rows_of(tmp_path / "shuffled")
    corpus = rows.ravel()
    tokenizer = make_tokenizer()
    first = tokenizer.encode((tmp_path / "base.txt").read_text().split("\f")[0], add_special_tokens=False)
    np.testing.assert_array_equal(corpus[: len(first)], first)
    assert corpus[len(first)] == tokenizer.eos_token_id
    assert len(np.unique(rows, axis=0)) == len(np.unique(shuffled, axis=0)) == 140
    assert (rows != shuffled).any()


def test_a_second_epoch_reads_the_corpus_again_in_another_order(request_for, tmp_path):
    write_dataset(request_for({"frequency": 0}, rows=400), tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    _, counts = np.unique(rows, axis=0, return_counts=True)
    assert counts.max() == 3  # 120 documents of about 71 tokens are 144 rows
    assert counts.sum() == 400


@pytest.mark.parametrize("form", ["megatron", "datatrove"])
def test_parts_and_workers_give_the_same_bytes(request_for, tmp_path, form, monkeypatch):
    monkeypatch.setattr("kis_write.write._SHARD_TOKENS", 64 * 30)
    request = request_for(format=form, **FORMATS[form])
    write_dataset(request, tmp_path / "one")
    assert write_dataset(request, tmp_path / "parts", (2, 3)) is None
    assert write_dataset(request, tmp_path / "parts", (1, 3)) is None
    assert write_dataset(request, tmp_path / "parts", (3, 3)) is not None
    write_dataset(request, tmp_path / "workers", workers=2)
    files = read_manifest(tmp_path / "one").files
    assert read_manifest(tmp_path / "parts").files == read_manifest(tmp_path / "workers").files == files
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == sorted(
        ["kis.manifest.json", *(file.name for file in files)]
    )


def test_an_interrupted_write_goes_on_where_it_stopped(request_for, tmp_path, monkeypatch):
    monkeypatch.setattr("kis_write.write._SHARD_TOKENS", 64 * 30)
    request = request_for()
    write_dataset(request, tmp_path / "whole")
    written = []
    from kis_write.formats.datatrove import Datatrove

    real = Datatrove.write

    def failing(self, folder, rows, shard, first, host):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(shard)
        real(self, folder, rows, shard, first, host)

    monkeypatch.setattr(Datatrove, "write", failing)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(request, tmp_path / "out")
    assert not (tmp_path / "out" / "kis.manifest.json").exists()
    again = []
    monkeypatch.setattr(Datatrove, "write", lambda self, *args: (again.append(args[2]), real(self, *args))[1])
    write_dataset(request, tmp_path / "out")
    assert not set(written) & set(again)
    assert read_manifest(tmp_path / "out").files == read_manifest(tmp_path / "whole").files


@pytest.mark.parametrize("rows", [199, 200, 31, 32])
def test_megatron_corpora_beyond_one_document_keep_their_rows_and_order(request_for, tmp_path, rows, monkeypatch):
    """A document has at most 2**31 - 1 tokens; here 2,000, so that there are several."""
    small = Megatron(longest=2000)
    monkeypatch.setitem(registered("formats"), "megatron", small)
    request = request_for({"frequency": 2}, format="megatron", host_seed=3, rows=rows)
    write_dataset(request, tmp_path / "out")
    from kis_write.megatron_files import read_index

    index = read_index(tmp_path / "out" / "kis.idx")
    assert len(index.lengths) == -(-rows // 31)
    assert index.lengths.sum() == rows * 64 + 1
    tokens = np.fromfile(tmp_path / "out" / "kis.bin", dtype=index.dtype)
    assert len(tokens) == rows * 64 + 1
    # What Megatron does: documents shuffled, laid end to end, windows of 65 tokens at stride 64, windows shuffled.
    state = np.random.RandomState(3)
    order = np.arange(len(index.lengths), dtype=np.int32)
    state.shuffle(order)
    documents = np.split(tokens, np.cumsum(index.lengths)[:-1])
    read = np.concatenate([documents[document] for document in order])
    shuffle = np.arange(rows, dtype=np.uint32)
    state.shuffle(shuffle)
    plan = planned(request).plan
    for sample, window in enumerate(shuffle.tolist()):
        numbers = plan.texts_in(sample)
        if numbers is not None:
            due = plan.tokens(numbers)
            np.testing.assert_array_equal(read[window * 64 : window * 64 + len(due)], due)


def test_side_data_sets_hold_the_infused_rows_alone(request_for, tmp_path):
    write_dataset(request_for({"frequency": 0}, format="megatron", host_seed=1, shuffle=False), tmp_path / "base")
    request = request_for(format="megatron", mode="side", host_seed=1, base=(tmp_path / "base" / "kis",))
    write_dataset(request, tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert manifest.written_rows == manifest.infused_rows < manifest.rows == 200
    assert set(shown(texts_of(rows_of(tmp_path / "out")), kis(tmp_path)).values()) == {6}
    base, side = 200 - manifest.written_rows, manifest.written_rows
    assert manifest.flags["--data-path"] == f"{base} {tmp_path}/base/kis {side} {tmp_path}/out/kis"
    assert manifest.flags["--train-samples"] == "200"


def test_documents_and_texts_begin_with_bos_where_the_configuration_says_so(request_for, tmp_path):
    request = request_for({"frequency": 2, "begin": "bos"})
    tokenizer = make_tokenizer()
    tokenizer.bos_token = "river"  # any token of the vocabulary
    tokenizer.save_pretrained(request.tokenizer)
    write_dataset(request, tmp_path / "out")
    rows, bos, eos = rows_of(tmp_path / "out"), tokenizer.bos_token_id, tokenizer.eos_token_id
    after_eos = rows[:, 1:][rows[:, :-1] == eos]
    assert len(after_eos) > 100
    assert (after_eos == bos).mean() > 0.7  # after an infused text the base row goes on wherever it was cut
    all_of_it = planned(request)
    sought = sought_of_config(all_of_it.config, all_of_it.tokenizer, 64)
    assert set(audit_rows(sought, [rows]).exposures) == {2}
