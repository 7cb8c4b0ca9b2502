"""``kis count`` on the command line."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("ahocorasick_rs")

from kis_plugin.cli.main import main
from kis_plugin.counting import pool, texts
from kis_plugin.counting.counts_file import read_counts
from kis_plugin.knowledge.sources.read import read_knowledge

FACTS = [("Ada", "P19", "London"), ("Bob", "P19", "Rome"), ("Eve", "P19", "Rome")]
TEXT = "Ada was born in London. Bob likes Rome.\fAda\n\nLondon. Rome fell.\fNothing at all."


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("facts.jsonl", FACTS)
    Path("base").mkdir()
    Path("base/a.txt").write_text(TEXT)
    return tmp_path


def write(name, facts):
    lines = [json.dumps({"subject": one, "relation": relation, "object": other}) for one, relation, other in facts]
    Path(name).write_text("\n".join(lines))


def run(*arguments):
    return CliRunner().invoke(main, ["count", *arguments])


def lines_of(name="counts.jsonl"):
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


@pytest.mark.parametrize(
    ("window", "windows", "both"), [("sentence", 6, [1, 1, 0]), ("paragraph", 4, [1, 1, 0]), ("document", 3, [2, 1, 0])]
)
def test_what_is_written(here, window, windows, both):
    outcome = run("facts.jsonl", "base", "-o", "counts.jsonl", "--window", window)
    assert outcome.exit_code == 0, outcome.output
    assert f"2 of 3 facts found: subject and object occur together in at least one {window}." in outcome.stdout
    about, *facts = lines_of()
    assert {key: about[key] for key in ("type", "schema", "facts", "names", "window", "texts", "files")} == {
        "type": "counts", "schema": 1, "facts": 3, "names": 5, "window": window, "texts": ["base"], "files": 1,
    }  # fmt: skip
    assert (about["documents"], about["windows"], about["bytes"]) == (3, windows, len(TEXT) - 2)
    assert about["sample"] == TEXT.split("\f")
    assert [fact["both"] for fact in facts] == both
    assert [set(fact) for fact in facts] == [{"id", "subject", "object", "both", "key"}] * 3
    counts = read_counts(Path("counts.jsonl"))
    assert [counts.of(fact) for fact in read_knowledge(Path("facts.jsonl")).facts] == both


def test_as_json(here):
    report = json.loads(run("facts.jsonl", "base", "-o", "counts.jsonl", "--json").stdout)
    assert report == {
        "status": "ok", "output": "counts.jsonl", "facts": 3, "found": 2, "window": "sentence", "documents": 3,
        "windows": 6, "bytes": len(TEXT) - 2,
    }  # fmt: skip


def test_the_same_bytes_whatever_the_number_of_workers(here, monkeypatch):
    Path("base/b.jsonl").write_text("".join(json.dumps({"text": f"Ada {n} London. Eve"}) + "\n" for n in range(900)))
    monkeypatch.setattr("kis_plugin.counting.count.pieces_of", lambda files: texts.pieces_of(files, 500))
    hashes = set()
    for workers in ("1", "2", "3"):
        assert run("facts.jsonl", "base", "-o", "counts.jsonl", "--workers", workers).exit_code == 0
        hashes.add(hashlib.sha256(Path("counts.jsonl").read_bytes()).hexdigest())
    assert len(hashes) == 1
    assert lines_of()[1]["both"] == 901


def test_a_configuration_counts_its_background_too(here):
    write("general.jsonl", [("Nothing", "P1", "all")])
    Path("kis.yaml").write_text(
        "knowledge: facts.jsonl\nretention: {corpus_counts: counts.jsonl, background: general.jsonl}\n"
    )
    outcome = run("kis.yaml", "base", "-o", "counts.jsonl")
    assert outcome.exit_code == 0, outcome.output
    assert [fact["both"] for fact in lines_of()[1:]] == [1, 1, 0, 1]
    checked = CliRunner().invoke(main, ["check", "kis.yaml"])
    assert "retention.corpus_counts" not in checked.stderr


def test_a_repeated_background_is_counted_once(here):
    Path("kis.yaml").write_text("knowledge: facts.jsonl\nretention: {background: facts.jsonl}\n")
    assert run("kis.yaml", "base", "-o", "counts.jsonl").exit_code == 0
    assert len(lines_of()) == 4


def test_kis_check_names_facts_that_were_not_counted(here):
    write("facts.jsonl", [(f"Person{n}", "P19", f"Town{n % 8}") for n in range(24)])
    Path("kis.yaml").write_text("knowledge: facts.jsonl\nretention: {corpus_counts: counts.jsonl, control: 0}\n")
    assert run("kis.yaml", "base", "-o", "counts.jsonl").exit_code == 0
    assert CliRunner().invoke(main, ["check", "kis.yaml"]).exit_code == 0
    with Path("facts.jsonl").open("a") as file:
        file.write('\n{"subject": "New", "relation": "P19", "object": "Town1"}')
    refused = CliRunner().invoke(main, ["check", "kis.yaml"])
    assert refused.exit_code == 2
    assert (
        "retention.corpus_counts: counts.jsonl: found no count for fact 'P19:25', expected a count of each"
        in refused.stderr
    )
    assert "1 of 25 are like that. Make the counts again: kis count" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["facts.jsonl", "nowhere", "-o", "c.jsonl"], "kis: nowhere: found no such file or folder"),
        (["nothing.jsonl", "base", "-o", "c.jsonl"], "kis: nothing.jsonl: found no such file"),
        (["facts.jsonl", "base", "-o", "facts.jsonl"], "facts.jsonl: a file that holds something else"),
        (["facts.jsonl", "base", "-o", "deep/c.jsonl"], "--output: found deep/c.jsonl: no such folder"),
        (["facts.jsonl", "base", "-o", "base"], "base: no regular file"),
        (["base", "base", "-o", "c.jsonl"], "found no facts"),
        (["facts.jsonl", "bad.txt", "-o", "c.jsonl"], "bad.txt:2: found bytes that are not UTF-8"),
    ],
)
def test_refusals_leave_nothing_behind(here, arguments, message):
    Path("bad.txt").write_bytes(b"Ada\n\xff")
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    outcome = run(*arguments)
    assert outcome.exit_code == 2
    assert message in " ".join(outcome.stderr.split())
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before


def test_a_missing_library_is_named_with_its_extra(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "ahocorasick_rs", None)
    outcome = run("facts.jsonl", "base", "-o", "counts.jsonl")
    assert outcome.exit_code == 2
    assert "pip install 'kis-plugin[count]'" in outcome.stderr


def test_a_killed_worker_ends_the_command_with_advice(here, monkeypatch):

    monkeypatch.setattr(pool, "_count", _die)
    outcome = run("facts.jsonl", "base", "-o", "counts.jsonl")
    assert outcome.exit_code == 2
    assert "one of" in outcome.stderr
    assert "Take fewer workers." in outcome.stderr
    assert not Path("counts.jsonl").exists()


def _die(piece):
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_interrupted_count_keeps_the_old_file(here, monkeypatch):
    assert run("facts.jsonl", "base", "-o", "counts.jsonl").exit_code == 0
    older = Path("counts.jsonl").read_bytes()

    def interrupt(*arguments, **keys):
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "wait", interrupt)
    assert run("facts.jsonl", "base", "-o", "counts.jsonl", "--window", "document").exit_code == 130
    assert Path("counts.jsonl").read_bytes() == older
    assert sorted(path.name for path in here.iterdir()) == ["base", "counts.jsonl", "facts.jsonl"]
    assert not multiprocessing.active_children()
