"""Passages from JSONL and text files, and which source a path is given to."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Passage
from kis_plugin.knowledge.sources.read import read_knowledge, source_for

pytestmark = pytest.mark.usefixtures("here")


def write(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def jsonl(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def problems(path: Path) -> list[str]:
    with pytest.raises(KISError) as caught:
        read_knowledge(path)
    return [str(problem) for problem in caught.value.problems]


def test_jsonl_with_text():
    path = write("d.jsonl", jsonl({"text": " One.\nTwo. "}, {"text": "Three.", "id": 3}))
    assert read_knowledge(path).passages == (Passage("One.\nTwo.", "d.jsonl:1"), Passage("Three.", "3"))


def test_form_feeds_separate_documents_of_a_text_file():
    assert read_knowledge(write("a.txt", "\ufeffOne.\r\nTwo.\n")).passages == (Passage("One.\nTwo.", "a.txt"),)
    chunked = lzma.compress(b"One.\n\f\nTwo.\n\f\n")
    assert read_knowledge(write("a.txt.xz", chunked)).passages == (
        Passage("One.", "a.txt.xz:1"),
        Passage("Two.", "a.txt.xz:2"),
    )


def test_form_feeds_separate_documents_anywhere():
    path = write("a.txt", "\f One.\fTwo.\n\n \f\f\nThree,\r\nand more.\f")
    assert read_knowledge(path).passages == (
        Passage("One.", "a.txt:1"),
        Passage("Two.", "a.txt:2"),
        Passage("Three,\nand more.", "a.txt:3"),
    )


def test_a_folder_of_text_files_is_read_by_name():
    write("docs/b.txt", "Two.")
    write("docs/a.txt", "One.")
    write("docs/readme.rst", "No document.")
    assert [passage.id for passage in read_knowledge(Path("docs")).passages] == ["a.txt", "b.txt"]


def test_all_problems_are_reported_at_once():
    path = write(
        "d.jsonl", jsonl({"text": "a"}, {"txt": "b"}, {"text": 3}, {"text": ""}, {"text": "a"}, {"text": "\ud800"})
    )
    assert problems(path) == [
        "d.jsonl:2 text: found only the keys 'txt', expected the key 'text', as the first record has",
        "d.jsonl:3 text: found 3, expected text",
        "d.jsonl:4 text: found an empty value, expected text",
        "d.jsonl:5: found 'a' a second time, expected each document once; the first is at d.jsonl:1",
        "d.jsonl:6 text: found a lone surrogate, expected text that can be written as UTF-8",
    ]


def test_problems_of_a_folder_say_the_file_and_the_line():
    write("docs/a.txt", "One.\n\f\n\nOne.")
    write("docs/b.txt", " \n")
    write("docs/c.txt", b"fine\n\xff")
    assert problems(Path("docs")) == [
        "docs/a.txt:4: found 'One.' a second time, expected each document once; the first is at docs/a.txt:1",
        "docs/b.txt: found an empty document, expected text",
        "docs/c.txt:2: found bytes that are not UTF-8 (b'\\xff'), expected a file in UTF-8",
    ]


def test_an_id_twice():
    assert problems(write("d.jsonl", jsonl({"text": "a", "id": "x"}, {"text": "b", "id": "x"}))) == [
        "d.jsonl:2 id: found 'x' a second time, expected each id once; the first is at d.jsonl:1"
    ]


@pytest.mark.parametrize(
    ("name", "content", "source"),
    [
        ("a.jsonl", jsonl({"text": "a"}), "documents"),
        ("a.jsonl", jsonl({"subject": "a"}), "triples"),
        ("a.jsonl", jsonl({"text": "a", "subject": "b", "relation": "c", "object": "d"}), "triples"),
        ("a.jsonl", "{broken", "triples"),
        ("a.ndjson.xz", lzma.compress(jsonl({"text": "a"}).encode()), "documents"),
        ("A.CSV", "", "triples"),
        ("a.tsv.gz", b"", "triples"),
        ("a.txt", "", "documents"),
        ("f/a.txt", "", "folder"),
        ("f/metadata_relations.json", "", "bear"),
    ],
)
def test_name_or_first_record_decide_the_source(name, content, source):
    path = write(name, content)
    assert source_for(path.parent if "/" in name else path).name == source


@pytest.mark.parametrize(("name", "content"), [("a.docx", "PK"), ("a.jsonl", jsonl({"question": "a"}))])
def test_an_unreadable_file_lists_what_sources_read(name, content):
    (problem,) = problems(write(name, content))
    assert problem.startswith(
        f"{name}: found a file that no source reads, expected what one of these reads. triples: JSONL"
    )
    assert "bear: A folder with metadata_relations.json" in problem
    assert "documents: .txt and .md" in problem


def test_a_missing_path():
    assert problems(Path("absent.jsonl")) == [
        "absent.jsonl: found no such file or directory, expected a file or folder of facts"
    ]
