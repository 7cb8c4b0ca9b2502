"""Counts against a plain search, name by name and window by window."""

from __future__ import annotations

import gzip
import json
import lzma
import re
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("ahocorasick_rs")

from kis_plugin.counting.matcher import Matcher
from kis_plugin.counting.names import names_of
from kis_plugin.counting.pool import count_pieces
from kis_plugin.counting.presence import Presence
from kis_plugin.counting.texts import Part, parts, pieces_of, text_files
from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Fact


class Aliased(NamedTuple):
    """A fact with other names of its object."""

    subject: str
    relation: str
    object: str
    id: str = ""
    aliases: tuple[str, ...] = ()


def plain(text: str, names: tuple[str, ...]) -> bool:
    """Whether a window holds one of some names, by one regular expression after the other."""
    text = " ".join(text.split())
    return any(re.search(rf"{before(name)}{re.escape(name)}{after(name)}", text) for name in names)


def before(name: str) -> str:
    return r"(?<!\w)" if re.match(r"\w", name) else ""


def after(name: str) -> str:
    return r"(?!\w)" if re.search(r"\w\Z", name) else ""


def windows_of(document: str, window: str) -> list[str]:
    return [document] if window == "document" else re.split(r"\n\s*\n", document)


def by_hand(facts, documents, window):
    windows = [some for document in documents for some in windows_of(document, window)]
    subject = [sum(plain(some, (fact.subject,)) for some in windows) for fact in facts]
    ends = [(fact.object, *getattr(fact, "aliases", ())) for fact in facts]
    obj = [sum(plain(some, names) for some in windows) for names in ends]
    both = [
        sum(plain(some, (fact.subject,)) and plain(some, names) for some in windows)
        for fact, names in zip(facts, ends, strict=True)
    ]
    return subject, obj, both


def counted(facts, documents, window, longest=1 << 20, batch=1 << 19):
    names = names_of(facts)
    presence = Presence(names, Matcher(names.patterns), window, batch)
    for document in documents:
        cut = [document[at : at + longest] for at in range(0, len(document), longest)] or [""]
        for number, text in enumerate(cut, start=1):
            presence.add(Part(text, number == len(cut)))
    found = presence.found()
    entities, pairs = np.zeros(names.entities, dtype=int), np.zeros(names.pairs, dtype=int)
    entities[found.entities], pairs[found.pairs] = found.in_windows, found.together
    return entities[names.subject].tolist(), entities[names.object].tolist(), pairs[names.pair_of].tolist()


WORDS = st.sampled_from(["ab", "a", "b", "ab c", "c", "ba", "b.", "é", "aé", "+a", "a b c", "😀"])
FACTS = st.lists(
    st.builds(Aliased, WORDS, st.just("r"), WORDS, aliases=st.lists(WORDS, max_size=2).map(tuple)),
    min_size=1,
    max_size=6,
)
DOCUMENTS = st.lists(st.text(alphabet="aabbc é😀.+ \n\r\t", max_size=60), max_size=5)


@settings(max_examples=300, deadline=None)
@given(FACTS, DOCUMENTS, st.sampled_from(["paragraph", "document"]), st.sampled_from([1, 20, 1000]))
def test_counts_are_those_of_a_plain_search(facts, documents, window, batch):
    assert counted(facts, documents, window, batch=batch) == by_hand(facts, documents, window)


@settings(max_examples=300, deadline=None)
@given(FACTS, DOCUMENTS, st.integers(1, 9))
@example([Aliased("ab", "r", "ab")], ["aab  a"], 1)  # a part that adds nothing keeps what stands before the name
def test_names_across_parts_of_a_document_are_found(facts, documents, longest):
    assert counted(facts, documents, "document", longest) == by_hand(facts, documents, "document")


@pytest.mark.parametrize(
    ("name", "text", "there"),
    [
        ("Paris", "He went to Paris.", True),
        ("Paris", "A Parisian", False),
        ("Paris", "Comparis", False),
        ("Paris", "Paris's cafés, Paris-based", True),
        ("Paris", "paris", False),  # case as written
        ("New York", "New\n  York", True),  # white space is one space
        ("New York", "New York City", True),  # a longer name does not hide the shorter
        ("C++", "in C++.", True),
        ("C", "in C++.", True),
        (".NET", "ASP.NET", True),  # what is no letter needs no border
        ("Łódź", "z Łódźi", False),
        ("e", "e\u0301", False),  # a mark over a letter belongs to it
        ("北京", "我在北京市", True),  # no spaces between words
        ("a_b", "a_bc", False),
        ("2", "12", False),
    ],
)
def test_names_stand_as_words(name, text, there):
    assert counted([Fact(name, "r", "zzz")], [text], "document")[0] == [int(there)]


def test_an_object_inside_its_subject_counts_with_it():
    fact = Fact("University of Oslo", "in", "Oslo")
    assert counted([fact], ["The University of Oslo.", "Oslo."], "document") == ([1], [2], [1])


def test_sentences_do_not_end_at_initials_titles_or_in_names():
    facts = [Fact("J. R. R. Tolkien", "r", "Oxford"), Fact("St. Louis", "r", "Mr. Smith"), Fact("Ada", "r", "London")]
    text = (
        "J. R. R. Tolkien lived in Oxford. Ada was born. London is big! St. Louis saw Mr. Smith, Esq. "
        'Ada said: "I like it, e.g. in London."\n\nAda\n\nLondon'
    )
    subject, obj, both = counted(facts, [text], "sentence")
    assert both == [1, 1, 1]
    assert (subject, obj) == ([1, 1, 3], [1, 1, 3])


def test_lone_surrogates_are_replaced(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"text": "Ada \\ud800 London"}\n')
    assert run_over([tmp_path / "t.jsonl"], [Fact("Ada", "r", "London")])[2] == [1]


def run_over(paths, facts, window="document", workers=1, size=1 << 25):
    found = count_pieces(names_of(facts), pieces_of(text_files(paths), size), window, workers, lambda count: None)
    return found.subject.tolist(), found.object.tolist(), found.both.tolist(), found.size, found.sample


LIBRARY = ["Ada in London.\n", "Bob.\n\n\nLondon, é\r\nAda\n", "", "  \n", "Ada\nLondon 😀\n" * 40, "nothing"]
PEOPLE = [Fact("Ada", "r", "London"), Fact("Bob", "r", "London"), Fact("Eve", "r", "Rome")]


def library(folder):
    folder.mkdir()
    text = "\f".join(LIBRARY)
    records = "".join(json.dumps({"text": document, "n": 1}) + "\n" for document in LIBRARY)
    (folder / "a.txt").write_bytes(text.encode())
    (folder / "b.jsonl").write_bytes(records.encode())
    (folder / "deeper").mkdir()
    (folder / "deeper" / "c.txt.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "deeper" / "d.jsonl.xz").write_bytes(lzma.compress(records.encode()))
    (folder / "notes.md").write_text("Ada London")
    return folder


@pytest.mark.parametrize("size", [1, 7, 50, 1 << 25])
@pytest.mark.parametrize("kind", ["a.txt", "b.jsonl", "deeper/c.txt.gz", "deeper/d.jsonl.xz"])
def test_every_document_is_counted_once_for_any_split(tmp_path, kind, size):
    subject, obj, both, found, _ = run_over([library(tmp_path / "l") / kind], PEOPLE, size=size)
    assert (subject, obj, both) == by_hand(PEOPLE, LIBRARY, "document")
    assert (found.documents, found.windows) == (4, 4)
    assert found.bytes == sum(len(document.encode()) for document in LIBRARY)


def test_folders_are_read_with_all_in_them(tmp_path):
    subject, *_ = run_over([library(tmp_path / "l")], PEOPLE, workers=2)
    assert subject == [4 * count for count in by_hand(PEOPLE, LIBRARY, "document")[0]]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet="ab \né😀", max_size=30), min_size=1, max_size=6), st.integers(1, 40), st.booleans())
def test_pieces_hold_each_document_once(tmp_path_factory, documents, size, as_text):
    path = tmp_path_factory.mktemp("t") / ("t.txt" if as_text else "t.jsonl")
    lines = [json.dumps({"text": document}, ensure_ascii=False) + "\n" for document in documents]
    path.write_bytes(("\f".join(documents) if as_text else "".join(lines)).encode())
    read = 0

    def watch(count):
        nonlocal read
        read += count

    pieces = pieces_of([path], size)
    found = [part for piece in pieces for part in parts(piece, watch)]
    assert [part.text for part in found if part.text] == [document for document in documents if document]
    assert all(part.ends for part in found)
    assert read == path.stat().st_size


def test_long_documents_are_split_at_empty_lines_or_spaces():
    from kis_plugin.counting.texts import _cut

    cut = [part.text for part in _cut(iter([("one two\n\nthree four five", False), (" six", True)]), 12)]
    assert cut == ["one two\n\n", "three four ", "five six"]
    assert [part.text for part in _cut(iter([("abcdef", True)]), 4)] == ["abcd", "ef"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.txt", b"fine\nAda \xff\xfe London", r"t.txt:2: found bytes that are not UTF-8 \(b'\\xff"),
        ("t.txt", b"fine\n\xc3", r"t.txt:2: found bytes that are not UTF-8"),
        ("t.jsonl", b'{"text": "a"}\n\n{"text": 3}\n', r"t.jsonl:3: found 3, expected text under the key 'text'"),
        ("t.jsonl", b'{"text": "a"}\n{"txt": "b"}\n', r"t.jsonl:2: found no key 'text'"),
        ("t.jsonl", b'{"text": "a"}\n{"text"\n', r"t.jsonl:2: found a line that is not JSON"),
        ("t.txt.gz", gzip.compress(b"Ada", mtime=0)[:-6], r"t.txt.gz: found .*, expected a file that can be read"),
        ("t.jsonl.xz", b"no xz at all", r"t.jsonl.xz: found "),
    ],
)
def test_text_that_cannot_be_read_is_refused_with_its_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(KISError, match=message):
        run_over([tmp_path / name], PEOPLE, size=5)


def test_unreadable_texts_are_refused_all_at_once(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_text("")
    (tmp_path / "a.txt").write_text("Ada")
    names = ["missing.txt", "empty", "a.csv", "a.txt", "a.txt"]
    with pytest.raises(KISError) as refused:
        text_files([tmp_path / name for name in names])
    found = [problem.found for problem in refused.value.problems]
    assert found == [
        "no such file or folder",
        "a folder without text",
        "a file of kind '.csv'",
        "a file given twice",
    ]


def test_aliases_are_found_for_many_facts():
    facts = [Fact("Rome", "r", f"Name{number}") for number in range(500)]
    assert names_of(facts).pair_bounds[1] == 0  # nothing depends on Rome, which is in every pair
    assert counted(facts, ["Rome and Name7", "Name8"], "document")[2] == [int(number == 7) for number in range(500)]


def test_memory_is_bounded_by_the_names(tmp_path):
    import tracemalloc

    facts = [Fact(f"Person {number:06}", "r", f"Town {number % 5000}") for number in range(200_000)]
    tracemalloc.start()
    names = names_of(facts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000 * 600
    (tmp_path / "t.txt").write_text("Person 000007 of Town 7\fPerson 199999 of Town 1\fTown 4999")
    found = count_pieces(names, pieces_of([tmp_path / "t.txt"]), "document", 2, lambda count: None)
    assert np.flatnonzero(found.both).tolist() == [7]
    assert np.flatnonzero(found.subject).tolist() == [7, 199_999]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Zo\u00eb", "Zoe\u0308 was born in Rome."),
        ("Zoe\u0308", "Zo\u00eb was born in Rome."),
        ("New York", "New\u00a0York and Rome."),
        ("New\u00a0York", "New York and Rome."),
        ("Krankenhaus", "Kranken\u00adhaus in Rome."),
        ("Zo\u00eb", "Zo\u200bë, from Rome."),
        ("Griffin", "Gri\ufb03n of Rome."),
        ("O\ufb03ce", "Office of Rome."),
        ("NASA", "\uff2e\uff21\uff33\uff21 in \uff32\uff4f\uff4d\uff45."),
    ],
)
def test_the_encoding_of_letters_does_not_matter(name, text):
    facts = [Fact(name, "P19", "Rome", "a")]
    assert counted(facts, [text], "sentence") == ([1], [1], [1])


def test_full_width_marks_end_sentences_without_a_space():
    facts = [Fact("東京", "P36", "日本", "a")]
    for mark in "\uff01\uff1f":
        assert counted(facts, [f"東京は大きい{mark}日本は広い。"], "sentence")[2] == [0]
        assert counted(facts, [f"東京は大きい{mark}日本は広い。"], "document")[2] == [1]


def test_a_long_text_is_never_cut_before_an_accent(tmp_path):
    text = "a" * 9 + "e\u0301" * 20
    path = tmp_path / "t.txt"
    path.write_text(text, encoding="utf-8")
    pieces = [part.text for part in parts(pieces_of([path])[0], lambda _: None, longest=10)]
    assert "".join(pieces) == text
    assert not any(piece.startswith("\u0301") for piece in pieces)
