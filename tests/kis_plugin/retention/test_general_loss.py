"""Loss on held-out general text, against the definition of it."""

import gzip
import json
import lzma
import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from kis_plugin.errors import KISError
from kis_plugin.plugins.session import Session
from kis_plugin.retention import general_loss as general
from kis_plugin.retention import general_text
from kis_plugin.retention.general_loss import GeneralText
from kis_plugin.retention.general_text import documents, excerpts
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.ranks import Ranks
from tests.world.facts import people, write_facts
from tests.world.plain import Letters, make_run

BLOCK = 16


class Bigrams:
    """A model whose next token depends on the one before, by a seeded table."""

    def __init__(self, spread=1.0):
        self.table = spread * torch.randn(128, 128, generator=torch.Generator().manual_seed(0))
        self.seen, self.modes = [], []

    def logits(self, input_ids):
        self.seen.append(tuple(input_ids.shape))
        return self.table[input_ids]

    def evaluating(self):
        return self

    def __enter__(self):
        self.modes.append("in")

    def __exit__(self, *_):
        self.modes.append("out")


def run_with(model, **changed) -> TrainingRun:
    return replace(make_run(Path(), {"frequency": 0}), model=model, **changed)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_facts(tmp_path, people(40))
    return tmp_path


def test_every_token_of_general_text_is_scored_once(here):
    Path("text.txt").write_text("One document of some words.\fAnother, shorter.")
    model = Bigrams()
    loss = GeneralText(Path("text.txt"), Letters(), BLOCK).loss(run_with(model), 5)
    stream = [0, *map(ord, "One document of some words."), 0, *map(ord, "Another, shorter."), 0]
    # A bigram model needs no more than the token before, which is always in the row: rows make no difference.
    logprobs = torch.log_softmax(model.table, dim=1)
    nats = -sum(float(logprobs[before, after]) for before, after in pairwise(stream))
    assert loss.loss == pytest.approx(nats / (len(stream) - 1), rel=1e-6)
    assert (loss.split, loss.step, loss.tokens) == ("general", 5, run_with(model).tokens_at(5))
    assert loss.extra["tokens_scored"] == len(stream) - 1 == 46
    assert loss.extra["bits_per_byte"] == pytest.approx(nats / np.log(2) / 44, rel=1e-6)
    assert model.modes == ["in", "out"]
    assert max(width for _, width in model.seen) == BLOCK


def test_bytes_are_those_of_the_text_that_is_scored(here):
    Path("text.txt").write_text("aé€𝄞" * 10)

    class Accents(Letters):
        def encode(self, texts):
            return super().encode(["e" * len(text) for text in texts])

    first, *rest = excerpts(Path("text.txt"), Accents(), 9, 8)
    assert [len(row.ids) for row in (first, *rest)] == [9, 9, 9, 9, 9, 2]  # the last token is EOS
    assert [row.bytes for row in (first, *rest)] == [20, 20, 20, 20, 20, 0]


def numbered(count):
    """A text in which every word says where it stands, in documents of ten words."""
    words = [f"{n:06}" for n in range(count)]
    text = "".join(json.dumps({"text": " ".join(words[n : n + 10])}) + "\n" for n in range(0, count, 10))
    Path("text.jsonl").write_text(text)
    return Path("text.jsonl")


def words_of(row):
    return [int(word) for word in Letters().decode(row.ids.tolist()).split() if len(word) == 6]


@pytest.mark.parametrize("count", [30, 200, 1500, 40_000])  # all of it; of all tokens; of all windows; of some
def test_rows_are_spread_over_the_text_without_overlap(here, count):
    rows = excerpts(numbered(count), Letters(), 8, 40)
    again = excerpts(Path("text.jsonl"), Letters(), 8, 40)
    assert [row.ids.tolist() for row in again] == [row.ids.tolist() for row in rows]
    found = [words_of(row) for row in rows]
    assert len(rows) == min(8, -(-count * 7 // 40))
    assert all(len(row.ids) == 41 for row in rows[:-1])
    assert all(one[-1] < other[0] for one, other in pairwise(found))
    firsts = np.array([words[0] for words in found])
    assert np.diff([firsts[-1] - count, *firsts]).max() <= 2 * max(count / 8, 6)


def test_rows_of_a_long_document_begin_between_words(here):
    Path("text.txt").write_text(" ".join(f"{n:06}" for n in range(20_000)))
    begins = ["".join(map(chr, row.ids[:8])) for row in excerpts(Path("text.txt"), Letters(), 8, 40)]
    assert len(set(begins)) == 8
    assert all(text[1:7].isdigit() and text[0] in "\0 " and text[7] == " " for text in begins)


def test_a_long_text_is_neither_kept_nor_tokenized_as_a_whole(here, monkeypatch):
    lengths = []

    class Watched(Letters):
        def encode(self, texts):
            lengths.extend(map(len, texts))
            return super().encode(texts)

    monkeypatch.setattr(general_text, "documents", lambda path: (f"{n:04} " * 2000 for n in range(2000)))
    tracemalloc.start()
    rows = excerpts(Path("text.txt"), Watched(), 4, 64)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [len(row.ids) for row in rows] == [65] * 4
    assert most < 2_000_000  # of 20 MB
    assert sum(lengths) <= 4 * 16 * 64


def test_the_number_of_rows_is_limited(here, monkeypatch):
    monkeypatch.setattr(general, "ROWS", 3)
    text = GeneralText(numbered(2000), Letters(), BLOCK)
    assert len(text.tokens) == 3 * BLOCK
    assert text.loss(run_with(Bigrams()), 0).extra["tokens_scored"] == 3 * BLOCK


def test_errors_late_in_the_text_are_reported(here):
    path = numbered(2000)
    path.write_text(path.read_text() + path.read_text())
    assert len(excerpts(path, Letters(), 4, 16)) == 4
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(KISError, match=r"text.jsonl:401 text: found only the keys"):
        excerpts(path, Letters(), 4, 16)


def test_text_without_a_token_is_refused(here):
    class Nothing(Letters):
        def encode(self, texts):
            return super().encode([""] * len(texts))

    Path("text.txt").write_text("words")
    with pytest.raises(KISError, match=r"retention.general_text: found no token in text.txt"):
        excerpts(Path("text.txt"), Nothing(), 4, 16)


@pytest.mark.parametrize("name", ["text.txt", "text.txt.gz", "text.txt.xz", "text.jsonl", "text.jsonl.gz", "folder"])
def test_text_is_read_in_every_form_of_documents(here, name):
    content = "Some text." if ".txt" in name else json.dumps({"text": "Some text."}) + "\n"
    if name == "folder":
        Path(name).mkdir()
        Path(name, "a.txt").write_text("Some text.")
    else:
        opens = {".gz": gzip.open, ".xz": lzma.open}.get(Path(name).suffix, open)
        with opens(name, "wt") as file:
            file.write(content)
    assert list(documents(Path(name))) == ["Some text."]


def test_a_fact_file_is_no_general_text(here):
    with pytest.raises(KISError, match=r"retention.general_text: found facts.jsonl, which holds no documents"):
        documents(Path("facts.jsonl"))


def test_a_model_that_diverged_gives_no_record(here):
    Path("text.txt").write_text("Some text.")
    model = Bigrams(float("nan"))
    assert GeneralText(Path("text.txt"), Letters(), BLOCK).loss(run_with(model), 0) is None


def ranks_of(count):
    """Return what sums over ranks that are called one after the other, and ends their exchange."""
    sums = {}

    def summed(rank):
        def sum_over_ranks(array):
            sums[rank] = array
            return array

        return sum_over_ranks

    return sums, [summed(rank) for rank in range(count)]


def test_ranks_share_the_rows(here):
    Path("text.txt").write_text("Words and words. " * 60)
    alone = Bigrams()
    whole = GeneralText(Path("text.txt"), Letters(), BLOCK, batch_tokens=64).loss(run_with(alone), 0)
    sums, rank_sums = ranks_of(2)
    models = [Bigrams(), Bigrams()]
    for rank, sum_over_ranks in enumerate(rank_sums):
        run = run_with(models[rank], ranks=Ranks(rank, 2, sum_over_ranks))
        GeneralText(Path("text.txt"), Letters(), BLOCK, batch_tokens=64).loss(run, 0)
    assert len(models[0].seen) == len(models[1].seen) < len(alone.seen)
    together = -(sums[0] + sums[1]).view(np.float64).sum() / whole.extra["tokens_scored"]
    assert together == pytest.approx(whole.loss, rel=1e-12)


def test_general_loss_is_measured_at_every_evaluation(here):
    Path("text.txt").write_text("General text, held out.")
    keys = {"every": 0.5, "control": 0, "probes": {"facts": 8}, "general_text": "text.txt"}
    run = make_run(here, {"frequency": 0}, config={"retention": keys})
    session = Session(run)
    for step in range(run.steps + 1):
        session.step_end(step)
    session.end(run.steps)
    lines = [json.loads(line) for line in (run.folder / "kis.jsonl").read_text().splitlines()]
    losses = [line for line in lines if line["type"] == "loss"]
    assert [(line["step"], line["split"]) for line in losses] == [(0, "general"), (50, "general"), (100, "general")]
    assert losses[0]["loss"] == pytest.approx(np.log(128))  # all tokens are alike to it
    begins = lines[0]
    assert begins["frequency_baseline"].keys() == begins["probes"].keys() == {"held_out", "seen"}
    records = [line for line in lines if line["type"] == "retention"]
    assert all(
        {"chance", "low", "high", "frequency_baseline", "ceiling", "bits_per_byte"} <= line.keys() for line in records
    )


def test_general_loss_is_measured_without_probes(here):
    Path("docs.jsonl").write_text(json.dumps({"text": "Too short to be probed."}) + "\n")
    Path("text.txt").write_text("General text, held out.")
    run = make_run(
        here,
        {"frequency": 0},
        config={"knowledge": "docs.jsonl", "retention": {"every": 0.5, "general_text": "text.txt"}},
    )
    session = Session(run)
    session.step_end(0)
    lines = [json.loads(line) for line in (run.folder / "kis.jsonl").read_text().splitlines()]
    assert [line["type"] for line in lines] == ["run", "loss"]
