"""Knowledge through the cache: the same facts, codes and fingerprint as in memory, read once."""

from __future__ import annotations

import json
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_plugin.knowledge.fact_codes import coded, sample
from kis_plugin.knowledge.facts import Fact, Knowledge, Passage
from kis_plugin.knowledge.sources.triples import TripleSource
from kis_plugin.knowledge.store import load as store
from kis_plugin.knowledge.store.columns import fingerprint, write_knowledge
from kis_plugin.knowledge.store.load import load_knowledge
from kis_plugin.knowledge.store.tables import FactTable, Part, PassageTable
from kis_plugin.storage.artifact_cache import prepared

words = st.text(st.characters(codec="utf-8"), max_size=8)
ends = st.sampled_from([(0.0, 1.0), (0.0, 0.5), (0.25, 1.0)])
facts = st.builds(
    lambda s, r, o, i, period, others: Fact(s, r, o, i, *period, tuple(others)),
    words, st.sampled_from(["P1", "é", ""]), words, words, ends, st.lists(words, max_size=2),
)  # fmt: skip
passages = st.builds(lambda text, name, period: Passage(text, name, *period), words, words, ends)
entries = st.lists(facts | passages, max_size=30)


def stored(found, folder):
    made = prepared(folder, "knowledge", {}, lambda writer: write_knowledge(writer, found, lambda count: None))
    return FactTable(made, folder), PassageTable(made), made.meta["fingerprint"]


@settings(max_examples=40)
@given(entries, st.integers(1, 40))
def test_stored_knowledge_equals_the_given(tmp_path_factory, found, batch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kis_plugin.knowledge.store.columns._BATCH", batch)
        table, documents, hashed = stored(found, tmp_path_factory.mktemp("cache"))
    expected = tuple(entry for entry in found if isinstance(entry, Fact))
    texts = tuple(entry for entry in found if isinstance(entry, Passage))
    assert tuple(table) == expected
    assert tuple(documents) == texts
    assert [table[place] for place in range(len(table))] == list(expected)
    assert [documents[place - len(texts)] for place in range(len(texts))] == list(texts)
    assert hashed == fingerprint(Knowledge(expected, texts))
    mine, theirs = table.codes(), coded(expected)
    assert (mine.relations, mine.names) == (theirs.relations, theirs.names)
    for name in ("relation", "subject", "object"):
        assert getattr(mine, name).tolist() == getattr(theirs, name).tolist()
    timed = table.changing()
    if all((fact.start, fact.until) == (0, 1) for fact in expected):
        assert timed is None
    else:
        assert list(zip(*(column.tolist() for column in timed), strict=True)) == [(f.start, f.until) for f in expected]


@given(st.lists(facts, min_size=1), st.lists(facts, min_size=1))
def test_other_facts_have_another_fingerprint(some, others):
    assert (fingerprint(Knowledge(tuple(some))) == fingerprint(Knowledge(tuple(others)))) == (some == others)


def test_fingerprint_without_aliases_never_changed():
    facts = (
        Fact("Italy", "P36", "Rome", "a"),
        Fact("Norway", "P36", "Oslo", "b", 0.0, 0.5),
        Fact("Ada", "born", "London", "c"),
    )
    assert fingerprint(Knowledge(facts)) == "9ae17b04ce16f123b22af62814440b367f3d6b7072297a6534c041447e55c980"
    both = Knowledge(facts, (Passage("Some text.", "d"),))
    assert fingerprint(both) == "bb8fe09b6a1caea81da859040ce0cbf67d840c6adec9787255b263edb04c6d3a"
    named = Knowledge((facts[0]._replace(aliases=("Roma",)), *facts[1:]))
    assert fingerprint(named) != fingerprint(Knowledge(facts))


def test_facts_without_aliases_have_empty_columns(tmp_path):
    made = prepared(tmp_path, "k", {}, lambda writer: write_knowledge(writer, many(100), lambda count: None))
    assert {name: len(made.arrays[f"fact_{name}"]) for name in ("aliased", "alias_ends", "alias_text")} == {
        "aliased": 0, "alias_ends": 0, "alias_text": 0,
    }  # fmt: skip


def many(count):
    return [Fact(f"s{n}", f"P{n % 3}", f"o{n % 7}", f"id{n}") for n in range(count)]


@pytest.fixture
def table(tmp_path):
    return stored(many(100), tmp_path)[0]


def test_a_table_is_a_sequence_like_a_tuple(table):
    expected = tuple(many(100))
    assert table == expected
    assert table != expected[:-1]
    assert table[-1] == expected[-1]
    assert table[7:90:9] == expected[7:90:9]
    assert table[50:][::-1][3] == expected[50:][::-1][3]
    assert Part(table, np.array([9, 3, 3])) == (expected[9], expected[3], expected[3])
    assert expected[31] in table
    assert table.relations == {"P0": 34, "P1": 33, "P2": 33}
    assert table.relations_of(np.array([0, 3, 5])) == {"P0", "P2"}
    for place in (100, -101):
        with pytest.raises(IndexError):
            table[place]


def test_a_table_pickles_as_paths(tmp_path):
    table = stored(many(20_000), tmp_path)[0]
    table.codes()
    sent = pickle.dumps(table)
    assert len(sent) < 5000
    assert pickle.loads(sent)[12_345] == table[12_345]


@given(st.integers(0, 500), st.integers(0, 600), st.integers(0, 9))
def test_a_sample_is_even_and_sorted_without_repeats(count, size, seed):
    found = sample(count, size, seed)
    assert len(found) == min(count, size)
    assert (np.diff(found) > 0).all()
    assert sample(count, size, seed).tolist() == found.tolist()
    for part, place in enumerate(found.tolist()):
        assert part * count // max(len(found), 1) <= place < (part + 1) * count // max(len(found), 1)


def test_a_sample_never_changes():
    assert sample(1000, 5, 3).tolist() == PINNED


PINNED: list[int] = [187, 369, 591, 645, 875]


@pytest.fixture
def file(here) -> Path:
    path = Path("facts.jsonl")
    lines = [{"subject": fact.subject, "relation": fact.relation, "object": fact.object} for fact in many(50)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))
    return path


@pytest.fixture
def all_large(monkeypatch):
    monkeypatch.setattr(store, "LARGE", 0)


def test_small_knowledge_stays_in_memory(file):
    loaded = load_knowledge(file, Path("cache"))
    assert isinstance(loaded.knowledge.facts, tuple)
    assert loaded.cache is None
    assert not Path("cache").exists()


def test_large_knowledge_is_the_same_from_the_cache(file, monkeypatch):
    small = load_knowledge(file, Path("cache"))
    monkeypatch.setattr(store, "LARGE", 0)
    large = load_knowledge(file, Path("cache"))
    assert isinstance(large.knowledge.facts, FactTable)
    assert large.knowledge == Knowledge(large.knowledge.facts, large.knowledge.passages)
    assert tuple(large.knowledge.facts) == small.knowledge.facts
    assert large.knowledge.relations == small.knowledge.relations
    assert (large.fingerprint, large.cache) == (small.fingerprint, Path("cache"))


def test_small_knowledge_that_was_prepared_is_taken_from_there(file):
    load_knowledge(file, Path("cache"), ahead=True)
    assert load_knowledge(file, Path("cache")).cache == Path("cache")
    file.write_text(file.read_text().replace("s49", "s50"))
    assert load_knowledge(file, Path("cache")).cache is None


@pytest.mark.usefixtures("all_large")
def test_a_second_start_reads_neither_facts_nor_bytes(file, monkeypatch):
    first = load_knowledge(file, Path("cache"))
    infused = []
    again = load_knowledge(file, Path("cache"), progress=lambda what, count: infused.append(what))
    assert infused == []
    assert tuple(again.knowledge.facts) == tuple(first.knowledge.facts)


@pytest.mark.usefixtures("all_large")
def test_the_first_reader_says_so_once(file, capsys):
    for expected in ("kis: reading facts.jsonl into cache, only this once (kis prepare does it ahead)\n", ""):
        load_knowledge(file, Path("cache"))
        assert capsys.readouterr().err == expected


@pytest.mark.usefixtures("all_large")
def test_a_copied_file_is_hashed_but_not_read_again(file):
    load_knowledge(file, Path("cache"))
    Path("copy").mkdir()
    copy = Path("copy/facts.jsonl")
    copy.write_bytes(file.read_bytes())
    infused = []
    load_knowledge(copy, Path("cache"), progress=lambda what, count: infused.append(what))
    assert set(infused) == {"bytes"}


@pytest.mark.usefixtures("all_large")
def test_an_edited_file_is_read_again(file):
    before = load_knowledge(file, Path("cache"))
    file.write_text(file.read_text().replace("s49", "s5x"))  # as long as before
    after = load_knowledge(file, Path("cache"))
    assert after.knowledge.facts[49].subject == "s5x"
    assert after.fingerprint != before.fingerprint


@pytest.mark.usefixtures("all_large")
def test_a_file_that_was_just_written_is_not_known_by_its_time(file):
    file.write_text(file.read_text())
    load_knowledge(file, Path("cache"))
    assert not list(Path("cache").glob("content-*"))


@pytest.mark.usefixtures("all_large")
def test_invalid_files_are_refused_and_not_cached(file):
    file.write_text(file.read_text() + file.read_text())
    with pytest.raises(KISError, match=r"facts.jsonl:51: found 's0 \| P0 \| o0' a second time") as caught:
        load_knowledge(file, Path("cache"))
    assert "and 30 more" in str(caught.value)
    assert not [path for path in Path("cache").glob("knowledge-*") if path.is_dir()]


@pytest.mark.usefixtures("all_large")
def test_a_file_that_changes_while_it_is_read_is_refused(file):
    def watch(what, count):
        if what == "entries":
            file.write_text("")

    with pytest.raises(KISError, match="changed while it was read"):
        load_knowledge(file, Path("cache"), progress=watch)


@pytest.mark.usefixtures("all_large")
def test_a_file_that_may_not_be_read_is_refused(file, monkeypatch):
    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(KISError, match=r"facts\.jsonl: found Permission denied, expected a file that can be read"):
        store._key(TripleSource(), [file])


@pytest.mark.usefixtures("all_large", "here")
def test_documents_go_the_same_way():
    Path("docs").mkdir()
    for number in range(5):
        Path(f"docs/{number}.txt").write_text(f"Text {number}.\fMore of {number}.")
    loaded = load_knowledge(Path("docs"), Path("cache"))
    assert isinstance(loaded.knowledge.passages, PassageTable)
    assert loaded.knowledge.passages[3] == Passage("More of 1.", "1.txt:2")
    assert len(loaded.knowledge.passages) == 10
    Path("docs/4.txt").rename("docs/5.txt")
    assert load_knowledge(Path("docs"), Path("cache")).knowledge.passages[9].id == "5.txt:2"


@pytest.mark.usefixtures("all_large")
def test_a_source_that_does_not_stream_is_read_each_time(file, monkeypatch):
    class Reading:
        name = "reading"

        def read(self, path):
            return Knowledge(tuple(many(3)))

    monkeypatch.setattr(store, "source_for", lambda path, columns: Reading())
    loaded = load_knowledge(file, Path("cache"))
    assert loaded.knowledge.facts == tuple(many(3))
    assert loaded.cache == Path("cache")  # what is made from it may still be kept


def test_the_same_size_and_time_do_not_hide_other_content(here, monkeypatch):
    monkeypatch.setattr(store, "LARGE", 0)
    monkeypatch.setattr(store, "_SETTLED", 0)
    path = Path("facts.jsonl")
    path.write_text('{"subject": "Italy", "relation": "P36", "object": "Rome"}\n')
    assert load_knowledge(path, Path("cache")).knowledge.facts[0].object == "Rome"
    before = path.stat()
    path.write_text('{"subject": "Italy", "relation": "P36", "object": "Oslo"}\n')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert load_knowledge(path, Path("cache")).knowledge.facts[0].object == "Oslo"


def test_a_touched_file_is_found_in_a_read_only_cache(here, monkeypatch):
    monkeypatch.setattr(store, "LARGE", 0)
    monkeypatch.setattr(store, "_SETTLED", 0)
    path = Path("facts.jsonl")
    path.write_text('{"subject": "Italy", "relation": "P36", "object": "Rome"}\n')
    load_knowledge(path, Path("cache"))
    os.utime(path)
    monkeypatch.setattr(store, "can_write", lambda folder: False)

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("kis_plugin.storage.artifact_cache.FileLock", refuse)
    assert load_knowledge(path, Path("cache")).knowledge.facts[0].object == "Rome"
