"""Base text that is compressed by zstd, stored as Parquet, or lies behind a URL: counted as plain files are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("ahocorasick_rs")
pytest.importorskip("fsspec")

import fsspec

from kis_plugin.cli.main import main
from kis_plugin.counting import texts
from kis_plugin.counting.places import place_of
from kis_plugin.counting.texts import parts, pieces_of, text_files
from kis_plugin.errors import KISError
from kis_plugin.knowledge.store.load import load_knowledge

FACTS = [("Ada", "London"), ("Bob", "Rome"), ("Eve", "Rome")]
DOCUMENTS = [
    "Ada was born in London. Bob likes Rome.",
    "Ada\n\nLondon. Rome fell.",
    "Nothing at all.",
    "Eve in Rome.",
] * 9
COUNTS = {"Ada": 9, "Bob": 9, "Eve": 9}


def as_lines(documents) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in documents).encode()


def as_zst(content: bytes) -> bytes:
    return pytest.importorskip("backports.zstd").compress(content)


def as_parquet(documents, **columns) -> bytes:
    import io

    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    parquet.write_table(arrow.table({"id": list(range(len(documents))), "text": documents} | columns), file, 5)
    return file.getvalue()


KINDS = {
    "a.jsonl": lambda: as_lines(DOCUMENTS),
    "a.jsonl.zst": lambda: as_zst(as_lines(DOCUMENTS[:20])) + as_zst(as_lines(DOCUMENTS[20:])),  # two frames
    "a.txt.zst": lambda: as_zst("\f".join(DOCUMENTS).encode()),
    "a.parquet": lambda: as_parquet(DOCUMENTS),
}
kinds = pytest.mark.parametrize("name", KINDS)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps({"subject": one, "relation": "P19", "object": other}) for one, other in FACTS]
    Path("facts.jsonl").write_text("\n".join(lines))
    yield tmp_path
    memory = fsspec.filesystem("memory")
    if memory.exists("/corpus"):
        memory.rm("/corpus", recursive=True)


def store(name: str, content: bytes) -> str:
    """Put a file where fsspec finds it in the memory of this process and of those forked from it."""
    fsspec.filesystem("memory").pipe(f"/corpus/{name}", content)
    return f"memory://corpus/{name}"


def count(*arguments: str):
    return CliRunner().invoke(main, ["count", "facts.jsonl", *arguments, "-o", "counts.jsonl"])


def counted() -> dict[str, int]:
    _, *facts = [json.loads(line) for line in Path("counts.jsonl").read_text().splitlines()]
    return {fact[0]: line["both"] for fact, line in zip(FACTS, facts, strict=True)}


@kinds
@pytest.mark.parametrize("where", ["path", "file URL", "memory URL", "folder URL"])
def test_the_counts_are_those_of_plain_text(here, name, where):
    (here / name).write_bytes(KINDS[name]())
    url = store(name, KINDS[name]())
    places = {"path": name, "file URL": f"file://{here / name}", "memory URL": url, "folder URL": "memory://corpus"}
    done = count(places[where])
    assert done.exit_code == 0, done.output
    assert counted() == COUNTS


@kinds
@pytest.mark.parametrize("size", [1, 100, 700, 1 << 20])
def test_pieces_of_any_size_have_each_document_once(here, name, size):
    url = store(name, KINDS[name]())
    pieces = pieces_of([url], size)
    found = [part.text for piece in pieces for part in parts(piece, lambda count: None)]
    assert found == DOCUMENTS
    if not name.endswith(".zst") and size == 100:
        assert len(pieces) > 5


def test_a_file_under_two_names_is_refused(here):
    (here / "a.jsonl").write_bytes(KINDS["a.jsonl"]())
    done = count("a.jsonl", f"file://{here}/a.jsonl")
    assert done.exit_code == 2
    assert "a file given twice" in done.stderr
    url = store("a.jsonl", KINDS["a.jsonl"]())
    assert count(url, "memory://corpus").exit_code == 2


BROKEN = [
    ("a.jsonl.zst", lambda: as_zst(as_lines(DOCUMENTS))[:-9], "a.jsonl.zst"),
    ("a.jsonl.zst", lambda: b"no zstd at all", "a.jsonl.zst"),
    ("a.jsonl.zst", lambda: as_zst(as_lines(DOCUMENTS) + b"{\n"), "a.jsonl.zst:37"),
    ("a.parquet", lambda: KINDS["a.parquet"]()[:-9], "a.parquet"),
    ("a.parquet", lambda: b"", "an empty file"),
    ("a.parquet", lambda: as_parquet([*DOCUMENTS, None]), "a.parquet, row 37"),
    ("a.parquet", lambda: as_parquet([1, 2]), "row 1"),
    ("a.parquet", lambda: as_parquet(DOCUMENTS).replace(b"text", b"tent"), "a column 'text'"),
    ("a.parquet.zst", lambda: as_zst(KINDS["a.parquet"]()), "a file of kind"),
]


@pytest.mark.parametrize(("name", "make", "message"), BROKEN)
@pytest.mark.parametrize("remote", [False, True], ids=["path", "URL"])
def test_text_that_cannot_be_read_is_named_and_nothing_is_written(here, name, make, message, remote):
    content = make()
    (here / name).write_bytes(content)
    done = count(store(name, content) if remote else name)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert not Path("counts.jsonl").exists()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("memory://absent", "no such file or folder"),
        ("nothere://bucket/corpus", "a URL whose scheme"),
        ("zip://a::memory://corpus/a.zip", "a chained or wrapping URL"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused(here, place, message):
    done = count(place)
    assert done.exit_code == 2
    assert message in done.stderr


ENGINE = ("--engine", "local", "--work", "work")


@pytest.fixture
def in_this_process(monkeypatch):
    """Run datatrove's tasks here; return a list of functions that are called after the first task."""
    from kis_plugin.counting import engine

    meanwhile = []

    class Here:
        def __init__(self, pipeline, tasks):
            self.pipeline, self.tasks = pipeline, tasks

        def run(self):
            for rank in range(self.tasks):
                engine._pieces_in.cache_clear()
                if not engine._result(Path("work"), rank).exists():
                    self.pipeline[0](None, rank, self.tasks)
                for change in meanwhile:
                    change()

    monkeypatch.setitem(engine.ENGINES, "local", lambda _, pipeline, tasks: Here(pipeline, tasks))
    return meanwhile


def rewrite(name: str, content: bytes) -> None:
    store(name, content)
    Path(name).write_bytes(content)
    os.utime(name, ns=(1, 1))


CHANGES = {
    "changed": lambda: rewrite("b.jsonl", as_lines(["Ada in London."])),
    "gone": lambda: (fsspec.filesystem("memory").rm("/corpus/b.jsonl"), Path("b.jsonl").unlink()),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("during", [False, True], ids=["between", "during"])
@pytest.mark.parametrize("remote", [False, True], ids=["path", "URL"])
def test_a_changed_or_vanished_file_of_a_frozen_list_is_refused(here, in_this_process, change, during, remote):
    for name in ("a.jsonl", "b.jsonl"):
        rewrite(name, KINDS["a.jsonl"]())
        os.utime(name, ns=(5, 5))
    places = ("memory://corpus/a.jsonl", "memory://corpus/b.jsonl") if remote else ("a.jsonl", "b.jsonl")
    if during:
        in_this_process.append(lambda: Path("b.jsonl").exists() and not in_this_process.clear() and CHANGES[change]())
    else:
        assert count(*places, *ENGINE).exit_code == 0
        assert counted() == {name: 2 * number for name, number in COUNTS.items()}
        Path("counts.jsonl").unlink()
        CHANGES[change]()
    done = count(*places, *ENGINE)
    assert done.exit_code == 2, done.output
    assert "b.jsonl" in done.stderr or "files that changed since" in done.stderr
    assert not Path("counts.jsonl").exists()


def test_a_count_of_a_store_goes_on_by_piece(here, in_this_process, monkeypatch):
    monkeypatch.setattr(texts, "PIECE", 100)
    for name, make in KINDS.items():
        store(name, make())
    assert count("memory://corpus", *ENGINE).exit_code == 0
    assert counted() == {name: 4 * number for name, number in COUNTS.items()}
    results = sorted(Path("work/counts").iterdir())
    assert len(results) == 4
    results[1].unlink()
    kept = results[0].stat().st_mtime_ns
    assert count("memory://corpus", *ENGINE).exit_code == 0
    assert counted() == {name: 4 * number for name, number in COUNTS.items()}
    assert results[0].stat().st_mtime_ns == kept


def test_a_store_that_shows_no_changes_is_refused(here, in_this_process, monkeypatch):
    url = store("a.jsonl", KINDS["a.jsonl"]())
    memory = type(fsspec.filesystem("memory"))
    real = memory.info
    monkeypatch.setattr(memory, "info", lambda self, path, **more: real(self, path, **more) | {"created": None})
    done = count(url, *ENGINE)
    assert done.exit_code == 2
    assert "neither a checksum nor a time of change" in done.stderr
    assert count(url).exit_code == 0  # no list is kept


def test_a_store_that_fails_while_it_is_read_is_named(here, monkeypatch):
    url = store("a.jsonl", KINDS["a.jsonl"]())

    class Broken:
        def read(self, size):
            raise RuntimeError("the other side hung up")

        def close(self):
            pass

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "open", lambda *args, **more: Broken())
    with pytest.raises(KISError, match="hung up"):
        list(parts(pieces_of(text_files([place_of(url)]))[0], lambda count: None))


def test_missing_packages_are_named_with_their_extras(here, monkeypatch):
    import sys

    store("a.jsonl.zst", KINDS["a.jsonl.zst"]())
    store("a.parquet", KINDS["a.parquet"]())
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("kis_plugin.storage.compressed_files._zstd", None)
    assert "kis-plugin[zstd]" in count("memory://corpus/a.jsonl.zst").stderr
    assert "kis-plugin[parquet]" in count("memory://corpus/a.parquet").stderr
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert "kis-plugin[remote]" in count("memory://corpus").stderr


def test_knowledge_compressed_by_zstd_is_read(here, tmp_path):
    Path("facts.jsonl.zst").write_bytes(as_zst(Path("facts.jsonl").read_bytes()))
    loaded = [load_knowledge(Path(name), tmp_path / "cache") for name in ("facts.jsonl", "facts.jsonl.zst")]
    first, second = ([(fact.subject, fact.object) for fact in one.knowledge.facts] for one in loaded)
    assert first == second == FACTS


def test_a_written_data_set_takes_its_base_from_a_url(tmp_path, here):
    pytest.importorskip("transformers")
    from dataclasses import replace

    from kis_plugin.run.manifest import read_manifest
    from kis_write import write_dataset
    from tests.kis_write.conftest import write_world

    world = tmp_path / "world"
    world.mkdir()
    request = write_world(world)
    write_dataset(request, tmp_path / "plain")
    documents = (world / "base.txt").read_text().split("\f")
    for name, content in {"base.parquet": as_parquet(documents), "base.jsonl.zst": as_zst(as_lines(documents))}.items():
        write_dataset(replace(request, base=(store(name, content),)), tmp_path / name)
        assert read_manifest(tmp_path / name).files == read_manifest(tmp_path / "plain").files
