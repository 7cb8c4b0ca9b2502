"""Base corpora, manifests and unfinished writes that are damaged or hostile: refused by name, nothing is written."""

from __future__ import annotations

import json
import lzma
import os
import resource
import struct
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from kis_plugin.cli.main import main
from kis_plugin.errors import KISError
from kis_plugin.run.manifest import MANIFEST, changed_files, read_manifest
from kis_write import write_dataset
from kis_write.base_tokens import open_base
from tests.world.tokenizers import make_tokenizer

IDX = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8, 1, 2)


def npy(header: str):
    raw = header.encode("latin1").ljust(118 if len(header) < 118 else len(header) + 1) + b"\n"
    return lambda path: path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + bytes(4000))


def archive(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.npy", b"no array")


def shape(text: str):
    return npy(f"{{'descr': '<u2', 'fortran_order': False, 'shape': ({text},)}}")


def with_idx(idx: bytes):
    def make(path):
        path.write_bytes(b"\1\0" * 500)
        path.with_suffix(".idx").write_bytes(idx)

    return make


BASES = {
    "empty.npy": (lambda path: path.write_bytes(b""), "numpy.save"),
    "archive.npy": (archive, "an archive of arrays"),
    "pipe.npy": (os.mkfifo, "a named pipe"),
    "device.npy": (lambda path: path.symlink_to("/dev/zero"), "a device"),
    "endless.npy": (shape("10000000000000000000000"), "numpy.save"),
    "long.npy": (shape("1000000000000000"), "numpy.save"),
    "nested.npy": (npy("(" * 5000), "numpy.save"),
    "code.npy": (npy("{'descr': __import__('os').system('true'), 'shape': (1,)}"), "numpy.save"),
    "negative.npy": (lambda path: np.save(path, np.full(900, -3)), "token id -3"),
    "cut.bin": (with_idx(IDX[:20]), "cut one"),
    "more.bin": (with_idx(IDX[:-16] + struct.pack("<QQ", 2**62, 1) + bytes(64)), "a cut file"),
    "minus.bin": (with_idx(IDX + np.array([-5, 0, 0], dtype=np.int32).tobytes()), "a document of -5 tokens"),
}


@pytest.mark.parametrize("name", BASES)
def test_a_hostile_base_is_refused_by_its_name(tmp_path, name):
    make, message = BASES[name]
    make(tmp_path / name)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KISError, match=message) as caught:
        open_base([tmp_path / name], make_tokenizer(), 500, tmp_path, None, lambda done: None)
    assert name.partition(".")[0] in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_an_id_that_no_token_has_is_found_wherever_it_stands(request_for, tmp_path, monkeypatch):
    """The first look at a base is at some of its tokens; an id beyond uint16 would become another token."""
    monkeypatch.setattr("kis_write.base_tokens._LOOKED_AT", 10)
    tokens = np.ones(9_000, dtype=np.int32)
    tokens[1_001] = 2**16 + 1
    np.save(tmp_path / "base.npy", tokens)
    with pytest.raises(KISError, match="token id 65537"):
        write_dataset(request_for(base=(tmp_path / "base.npy",), shuffle=False), tmp_path / "out")
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_a_line_that_is_larger_than_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("kis_plugin.counting.text_readers.MOST_BYTES", 5000)
    with lzma.open(tmp_path / "base.jsonl.xz", "wb") as file:
        file.write(json.dumps({"text": "river"}).encode() + b"\n" + b'{"text": "' + b"a" * 6000 + b'"}\n')
    with pytest.raises(KISError, match=r"base\.jsonl\.xz:2: found a line of more than 5,000 bytes"):
        open_base([tmp_path / "base.jsonl.xz"], make_tokenizer(), 500, tmp_path, None, lambda done: None)
    assert [path.name for path in tmp_path.iterdir()] == ["base.jsonl.xz"]


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"[" * 100_000], ids=["empty", "bytes", "deep"])
def test_a_damaged_request_of_an_unfinished_write_is_named(request_for, tmp_path, raw):
    (tmp_path / "out" / ".work").mkdir(parents=True)
    (tmp_path / "out" / ".work" / "request.json").write_bytes(raw)
    with pytest.raises(KISError, match=r"request\.json: found no JSON"):
        write_dataset(request_for(), tmp_path / "out")


def test_work_that_is_a_link_is_refused_and_nothing_is_removed_there(request_for, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.done").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".work").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KISError, match="a link"):
        write_dataset(request_for(), tmp_path / "out")
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["mine.done"]


def test_a_file_as_output_is_refused(request_for, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(KISError, match="found a file"):
        write_dataset(request_for(), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    from tests.kis_write.conftest import write_world

    folder = tmp_path_factory.mktemp("written")
    write_dataset(write_world(folder), folder / "out")
    return folder / "out"


OTHER = [None, -1, 1.5, 10**18, "x\x1b]0;title\x07\u202e", [1], {"a": 1}]


def refusal(folder) -> str:
    try:
        read_manifest(folder)
    except KISError as error:
        return str(error)
    return ""


def test_no_value_of_a_manifest_is_taken_on_trust(written, tmp_path):
    """Each value is of its kind, or the manifest is refused with the key; nothing commands the terminal."""
    whole = json.loads((written / MANIFEST).read_text())
    free = {
        "frequency",
        "share",
        "infused_tokens",
        "facts",
        "control",
        "vocabulary",
        "eos",
        "host_seed",
        "batch",
        "infused_rows",
    }
    for key in whole:
        for value in OTHER:
            (tmp_path / MANIFEST).write_text(json.dumps(whole | {key: value}))
            if message := refusal(tmp_path):
                assert "\x1b" not in message
                assert "\u202e" not in message
                assert key in message or "by its rows" in message
            else:
                assert key in free or (isinstance(whole[key], str) and isinstance(value, str)), (key, value)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"null", b"[" * 200_000, b'{"version": 1}'])
def test_a_damaged_manifest_is_refused(tmp_path, raw):
    (tmp_path / MANIFEST).write_bytes(raw)
    with pytest.raises(KISError, match=MANIFEST):
        read_manifest(tmp_path)


def test_a_byte_that_changed_is_noticed_though_all_counts_are_right(written, tmp_path):
    for path in written.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    manifest = read_manifest(tmp_path)
    assert changed_files(tmp_path, manifest) == []
    rows = np.fromfile(tmp_path / "kis.ds", dtype=np.uint16).reshape(-1, 65)
    base = next(number for number in range(len(rows)) if rows[number].max() > 0 and rows[number].min() > 20)
    rows[base, 30] += 1
    rows.tofile(tmp_path / "kis.ds")
    done = CliRunner().invoke(main, ["audit", str(tmp_path)])
    assert done.exit_code == 1
    assert "every fact as often as requested" in done.stdout
    assert "changed since it was written: kis.ds" in done.stdout


def test_a_cut_data_set_and_a_pipe_are_refused(written, tmp_path):
    (tmp_path / MANIFEST).write_bytes((written / MANIFEST).read_bytes())
    os.mkfifo(tmp_path / "kis.ds")
    for message in ("a named pipe", "a multiple of 130 bytes", "No such file"):
        done = CliRunner().invoke(main, ["audit", str(tmp_path)])
        assert done.exit_code == 2
        assert message in done.stderr
        (tmp_path / "kis.ds").unlink(missing_ok=True)
        if message == "a named pipe":
            (tmp_path / "kis.ds").write_bytes((written / "kis.ds").read_bytes()[:-7])


@pytest.mark.parametrize("limit", [4_000, 20_000])  # bytes a file: reached by the tokenized base, then by the rows
def test_a_full_disk_is_named_by_the_file_that_could_not_be_written(request_for, tmp_path, limit):
    request = request_for()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(KISError, match="file too large, expected a file that can be written") as caught:
            write_dataset(request, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value).startswith(str(tmp_path / "out"))
    assert not (tmp_path / "out" / MANIFEST).exists()
