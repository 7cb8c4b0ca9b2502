"""Small compressed files that hold huge ones, wherever files of others are read: exit code 2, the name and the bound.

The commands run in a process of its own, whose peak memory is looked at: that of this one says nothing.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import subprocess
import sys
from pathlib import Path

import pytest

from kis_plugin.errors import KISError
from kis_plugin.storage import compressed_files
from kis_plugin.storage.compressed_files import content_of, is_compressed

FACT = '{"subject": "Ada", "relation": "P19", "object": "Rome"}\n'
RUN = {"type": "run", "run_id": "r", "params": 10, "tokens": 10, "frequency": 4, "schema": 2}
PART = 2**24
PACKED = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lambda content: lzma.compress(content, preset=1)}
if zstd := compressed_files._zstd:
    PACKED[".zst"] = zstd.compress
MEMORY = 500  # MB
CHILD = """
import contextlib, io, json, resource, sys
from click.testing import CliRunner
from kis_plugin.cli.main import main as cli
from kis_plugin.storage import compressed_files
from kis_predict.cli import main as predict
compressed_files._LEAST_BOUND, compressed_files._MOST_RATIO = 2**27, 1
found = []
for words in json.loads(sys.argv[1]):
    if words[0] == "kis-predict":
        with contextlib.redirect_stderr(io.StringIO()) as said:
            found.append([predict(words[1:]), said.getvalue()])
    else:
        done = CliRunner().invoke(cli, words[1:])
        found.append([done.exit_code, done.stderr + repr(done.exception)])
peak = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
if sys.platform == "linux":  # where ru_maxrss also counts the memory of the parent at the time of the fork
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    peak[0] = int(status["VmHWM"].split()[0])
print(json.dumps([found, max(peak) / (1e6 if sys.platform == "darwin" else 1e3)]))
"""


def run_apart(folder: Path, *commands: list[str]) -> list[tuple[int, str]]:
    """Run commands in one process in ``folder``, check its peak memory, and return exit codes and messages."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(commands)], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found, peak = json.loads(done.stdout.splitlines()[-1])
    assert peak < MEMORY
    return [(code, text) for code, text in found]


def bomb(path: Path, begin: str, filling: bytes, size: int) -> str:
    """Write ``begin`` and then ``size`` bytes of ``filling``, as streams that follow each other; return the name."""
    pack = PACKED[path.suffix]
    part = pack(filling * (PART // len(filling)))
    path.write_bytes(pack(begin.encode()) + part * (size // PART))
    assert path.stat().st_size < size // 100
    return path.name


@pytest.mark.slow
@pytest.mark.parametrize("ending", PACKED)
def test_bombs_are_refused_by_name_in_bounded_memory(tmp_path, ending):
    (tmp_path / "facts.jsonl").write_text(FACT)
    (tmp_path / "text.txt").write_text("Ada was born in Rome.")
    (tmp_path / "log").mkdir()
    long = {
        "facts": bomb(tmp_path / f"line.jsonl{ending}", FACT, b" ", 2**30),
        "list": bomb(tmp_path / f"list.json{ending}", "[", b"0,\n\n", 2**30),
        "text": bomb(tmp_path / f"text.jsonl{ending}", '{"text": "', b"a", 2**30),
        "log": bomb(tmp_path / f"kis.jsonl{ending}", json.dumps(RUN) + "\n", b" ", 2**30),
    }
    large = {
        "facts": bomb(tmp_path / f"many.jsonl{ending}", FACT, b" " * 4095 + b"\n", 2**28),
        "text": bomb(tmp_path / f"many.txt{ending}", "Ada", b" ", 2**28),
    }
    found = run_apart(
        tmp_path,
        ["kis", "count", long["facts"], "text.txt", "-o", "out"],
        ["kis", "count", long["list"], "text.txt", "-o", "out"],
        ["kis", "count", "facts.jsonl", long["text"], "-o", "out"],
        ["kis", "show", long["log"]],
        ["kis-predict", "--logs", long["log"], "--target", "100", "--tokens", "100"],
        ["kis", "count", large["facts"], "text.txt", "-o", "out"],
        ["kis", "count", "facts.jsonl", large["text"], "-o", "out"],
    )
    names = [*(long[name] for name in ("facts", "list", "text", "log", "log")), *large.values()]
    bounds = ["67,108,864"] * 3 + ["16,777,216"] * 2 + ["134,217,728"] * 2
    for (code, text), name, bound in zip(found, names, bounds, strict=True):
        assert code == 2, text
        assert name in text
        assert bound in text


def test_a_dictionary_of_gigabytes_and_a_packed_template_file_are_refused(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**30, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3}]
    for name, content in {"facts.jsonl.xz": FACT, "text.jsonl.xz": '{"text": "Ada"}\n', "kis.jsonl.xz": "{}"}.items():
        (tmp_path / name).write_bytes(lzma.compress(content.encode(), filters=filters))
    (tmp_path / "facts.jsonl").write_text(FACT)
    (tmp_path / "templates.yaml").write_bytes(gzip.compress(b"a" * 10**8))
    (tmp_path / "kis.yaml").write_text("knowledge: facts.jsonl\ntemplates: templates.yaml\ninfusion: {frequency: 4}\n")
    found = run_apart(
        tmp_path,
        ["kis", "count", "facts.jsonl.xz", "facts.jsonl", "-o", "out"],
        ["kis", "count", "facts.jsonl", "text.jsonl.xz", "-o", "out"],
        ["kis", "show", "kis.jsonl.xz"],
        ["kis-predict", "--logs", "kis.jsonl.xz", "--target", "100", "--tokens", "100"],
        ["kis", "check", "kis.yaml"],
    )
    assert [code for code, _ in found] == [2] * 5, found
    for (_, text), name in zip(found, ["facts", "text", "kis", "kis"], strict=False):
        assert f"{name}.jsonl.xz" in text
        assert "more than 268,435,456 bytes of memory" in text
    assert "templates.yaml" in found[-1][1]


@pytest.mark.slow
def test_a_run_log_of_200_mb_is_shown_in_bounded_memory(tmp_path):
    names = ("held_out", "seen", "control", "held_out/relation/P19", "held_out/relation/P36")
    log = tmp_path / "kis.jsonl.gz"
    with gzip.open(log, "wt", compresslevel=1) as file:
        file.write(json.dumps(RUN) + "\n")
        for step in range(200_000):
            for name in names:
                values = {"tokens": step, "probe": name, "accuracy": 0.5, "n": 1000, "correct": 500, "margin": 0.123456}
                file.write(f'{{"type": "retention", "step": {step}, {json.dumps(values)[1:]}{" " * 60}\n')
        file.write(json.dumps({"type": "retention", "step": step + 1, **values, "probe": "held_out"}) + "\n")
    ((code, text),) = run_apart(tmp_path, ["kis", "show", log.name])
    assert (code, "steps with records are shown" in text) == (0, True)


def test_first_bytes_say_how_a_file_is_compressed_and_plain_ones_are_given_as_they_are():
    for pack in (*PACKED.values(), lambda content: b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstd.compress(content)):
        file = io.BytesIO(pack(b"abc"))
        assert is_compressed(file)
        assert content_of(file, "a").read() == b"abc"
    for plain in (b"", b"BZh", b"BZh91 was its name", b"(\xb5", b"P*M and more", b"\x1f"):
        file = io.BytesIO(plain)
        assert not is_compressed(file)
        assert content_of(file, "a") is file
        assert file.read() == plain


def test_the_bound_grows_with_the_file(monkeypatch):
    monkeypatch.setattr(compressed_files, "_LEAST_BOUND", 1000)
    varied = bytes(range(256)) * 400
    assert content_of(io.BytesIO(gzip.compress(varied, mtime=0)), "a").read() == varied
    packed = gzip.compress(bytes(200_000), mtime=0)
    most = 250 * len(packed)
    with pytest.raises(KISError, match=f"a: found more than {most:,} bytes once decompressed, expected {most:,} bytes"):
        content_of(io.BytesIO(packed), "a").read()


@pytest.mark.slow
def test_values_without_end_in_one_line_are_refused_before_they_are_made(tmp_path):
    (tmp_path / "facts.jsonl").write_text(FACT + '{"subject": [' + "[]," * 16_000_000 + "[]]}\n")
    (tmp_path / "text.txt").write_text("Ada was born in Rome.")
    ((code, said),) = run_apart(tmp_path, ["kis", "count", "facts.jsonl", "text.txt", "-o", "out"])
    assert code == 2
    assert "facts.jsonl:2: found" in said
    assert "more than 2,000,000 lists and objects" in said
