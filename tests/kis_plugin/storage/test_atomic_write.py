"""A file is there whole, or as it was before, whatever happens on the way."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kis_plugin.errors import KISError
from kis_plugin.storage import atomic_write
from kis_plugin.storage.atomic_write import write_atomically

ROOT = Path(__file__).parents[3]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", ["zwölf\n", "zwölf\n".encode(), lambda file: file.write("zwölf\n".encode())])
def test_text_bytes_and_a_writer_give_the_same_file(tmp_path, content):
    path = tmp_path / "file"
    write_atomically(path, content)
    assert path.read_bytes() == "zwölf\n".encode()
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("failure", [RuntimeError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_any_exception_leaves_the_old_file_alone(tmp_path, failure):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(file):
        file.write(b"half of")
        raise failure

    with pytest.raises(type(failure)):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_killed_writer_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from kis_plugin.storage.atomic_write import write_atomically\n"
        "def killed(file):\n"
        "    file.write(b'x' * 1_000_000); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(Path(sys.argv[1]), killed)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_an_existing_file_is_kept_where_the_caller_says_so(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, "first", overwrite=False)
    with pytest.raises(KISError, match="a file that exists already, expected the name of a new file"):
        write_atomically(path, "second", overwrite=False)
    assert path.read_text() == "first"
    assert names(tmp_path) == ["file"]


def test_an_existing_file_is_kept_on_a_disk_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "file"
    write_atomically(path, "first", overwrite=False)
    with pytest.raises(KISError, match="exists already"):
        write_atomically(path, "second", overwrite=False)
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(KISError, match="exists already"):
        write_atomically(path, "second", overwrite=False)
    assert names(tmp_path) == ["file"]


def test_a_link_is_replaced_and_never_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("precious")
    path = tmp_path / "file"
    path.symlink_to(target)
    write_atomically(path, "content")
    assert target.read_text() == "precious"
    assert not path.is_symlink()
    assert path.read_text() == "content"


def test_a_planted_link_at_the_temporary_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_write.secrets, "token_hex", lambda _: "guessed")
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / ".file.guessed.partial").symlink_to(target)
    with pytest.raises(KISError):
        write_atomically(tmp_path / "file", "content")
    assert target.read_text() == "precious"


def test_temporary_names_differ_from_write_to_write(tmp_path):
    seen = set()
    for _ in range(20):
        write_atomically(tmp_path / "file", lambda _: seen.update(names(tmp_path)))
    assert len({name for name in seen if name.endswith(".partial")}) == 20


def test_permissions_are_those_of_any_new_file(tmp_path):
    old = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", "content")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_long_name_is_written_too(tmp_path):
    path = tmp_path / ("ü" * 127)
    write_atomically(path, "content")
    assert path.read_text() == "content"


def test_errors_name_the_file_and_the_way_out(tmp_path, monkeypatch):
    with pytest.raises(KISError, match=r"--report .*r.html: found no such file or directory, expected a file that can"):
        write_atomically(tmp_path / "gone" / "r.html", "x", where=f"--report {tmp_path / 'gone' / 'r.html'}")

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_write, "flush", full)
    with pytest.raises(KISError, match=r"no space left on device, expected .* Free some space"):
        write_atomically(tmp_path / "file", "x")
    assert names(tmp_path) == []
