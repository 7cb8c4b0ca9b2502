"""Archives of collected logs: the same bytes from the same logs, and nothing trusted when they are read."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest

from kis_plugin.errors import KISError
from kis_plugin.registry import registered
from kis_plugin.storage import compressed_files
from kis_predict.readers import archive, temporary_copies
from kis_predict.readers.gather import gather

END = {"type": "end", "status": "completed", "step": 1, "tokens": 1}


@pytest.fixture
def logs(write_log, tmp_path) -> Path:
    write_log("runs/b", END, seed=1)
    write_log("runs/a", END)
    (tmp_path / "runs" / "a" / "model.safetensors").write_bytes(b"\0" * 1000)
    (tmp_path / "runs" / "kis.json").write_text('{"facts": 5}')
    return tmp_path / "runs"


def collect(folder: Path, output: Path) -> int:
    return archive.collect(folder, output, ["kis.jsonl", "kis.json"], lambda line: None)


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:xz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def read(path: Path, into: Path) -> Path:
    into.mkdir()
    return archive.unpack(path, PurePosixPath("."), ["kis.jsonl"], into)


@pytest.fixture(autouse=True)
def temporary_files_of_its_own(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


def left_behind() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("kis-predict-*"))


class TestCollecting:
    @pytest.mark.parametrize("ending", [".tar.xz", ".tar.gz", ".tar", ".tgz"])
    def test_an_archive_is_read_as_its_folder_is(self, logs, tmp_path, ending):
        assert collect(logs, tmp_path / f"logs{ending}") == 3
        found = gather([tmp_path / f"logs{ending}"], registered("log_readers"))
        assert [run.source for run in found.runs] == [f"{tmp_path}/logs{ending}/{name}/kis.jsonl" for name in "ab"]
        assert not left_behind()

    @pytest.mark.parametrize("ending", [".tar.xz", ".tar.gz", ".tar"])
    def test_the_same_logs_give_the_same_bytes(self, logs, tmp_path, ending):
        collect(logs, tmp_path / f"one{ending}")
        for path in logs.rglob("*"):
            os.utime(path, (1, 1))
            path.chmod(0o700)
        collect(logs, tmp_path / f"two{ending}")
        assert (tmp_path / f"one{ending}").read_bytes() == (tmp_path / f"two{ending}").read_bytes()

    def test_members_are_sorted_and_nobodys(self, logs, tmp_path):
        collect(logs, tmp_path / "logs.tar.xz")
        with tarfile.open(tmp_path / "logs.tar.xz") as tar:
            assert tar.getnames() == ["a/kis.jsonl", "b/kis.jsonl", "kis.json"]
            assert {(info.mtime, info.uid, info.gid, info.uname, info.mode) for info in tar} == {(0, 0, 0, "", 0o644)}

    def test_links_are_not_followed(self, logs, tmp_path):
        (tmp_path / "secret").write_text("{}")
        (logs / "a" / "kis.json").symlink_to(tmp_path / "secret")
        (logs / "c").symlink_to(logs / "a")
        assert collect(logs, tmp_path / "logs.tar") == 3

    def test_no_logs_are_an_error_and_leave_no_file(self, tmp_path):
        with pytest.raises(KISError, match="no run logs"):
            collect(tmp_path, tmp_path / "logs.tar.xz")
        assert not list(tmp_path.iterdir())

    def test_an_ending_that_is_none_is_refused(self, logs, tmp_path):
        with pytest.raises(KISError, match=r"expected one of \.tar, \.tar\.xz"):
            collect(logs, tmp_path / "logs.zip")

    def test_the_command_says_what_it_made(self, logs, tmp_path):
        from click.testing import CliRunner

        from kis_predict.runs_command import runs

        made = CliRunner().invoke(runs, ["collect", str(logs), "-o", str(tmp_path / "logs.tar.xz")])
        assert made.exit_code == 0
        assert made.output.startswith("Collected 3 files in ")


class TestPartsOfAnArchive:
    def test_a_folder_inside_is_read_alone(self, logs, tmp_path):
        collect(logs, tmp_path / "logs.tar.xz")
        found = gather([tmp_path / "logs.tar.xz" / "b"], registered("log_readers"))
        assert [run.seed for run in found.runs] == [1]

    def test_a_file_inside_is_read_alone(self, logs, tmp_path):
        collect(logs, tmp_path / "logs.tar.xz")
        assert len(gather([tmp_path / "logs.tar.xz" / "b" / "kis.jsonl"], registered("log_readers"))) == 1

    def test_a_place_that_is_not_inside_is_named(self, logs, tmp_path):
        collect(logs, tmp_path / "logs.tar.xz")
        with pytest.raises(KISError, match=r"logs.tar.xz/c: found no log of that place"):
            gather([tmp_path / "logs.tar.xz" / "c"], registered("log_readers"))

    def test_what_is_wrong_inside_is_named_by_the_archive(self, logs, tmp_path):
        (logs / "b" / "kis.jsonl").write_text('{"type": "run"}\n{}\n')
        collect(logs, tmp_path / "logs.tar.xz")
        with pytest.raises(KISError) as caught:
            gather([tmp_path / "logs.tar.xz"], registered("log_readers"))
        assert str(tmp_path / "logs.tar.xz" / "b" / "kis.jsonl") in str(caught.value)
        assert "kis-predict-" not in str(caught.value)


class TestHostileArchives:
    @pytest.mark.parametrize("name", ["../kis.jsonl", "/tmp/kis.jsonl", "a/../../kis.jsonl", "a\\..\\kis.jsonl"])
    def test_a_name_that_climbs_out_is_refused(self, tmp_path, name):
        with pytest.raises(KISError, match="leads out of the archive"):
            read(tar_of(tmp_path / "x.tar.xz", (member(name), b"{}")), tmp_path / "in")
        assert {path.name for path in tmp_path.rglob("*")} == {"x.tar.xz", "in"}

    @pytest.mark.parametrize(
        "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
    )
    def test_links_and_devices_are_refused(self, tmp_path, kind):
        path = tar_of(tmp_path / "x.tar.xz", (member("a/kis.jsonl", kind, "/etc/passwd"), b""))
        with pytest.raises(KISError, match="a link, a device"):
            read(path, tmp_path / "in")

    def test_a_file_twice_is_refused(self, tmp_path):
        path = tar_of(tmp_path / "x.tar.xz", (member("kis.jsonl"), b"1"), (member("kis.jsonl"), b"2"))
        with pytest.raises(KISError, match="File exists"):
            read(path, tmp_path / "in")

    def test_a_bomb_stops_at_the_limit(self, tmp_path, monkeypatch):
        path = tmp_path / "x.tar.xz"
        path.write_bytes(lzma.compress(member_bytes("kis.jsonl", 50 * 2**20)))
        assert path.stat().st_size < 20_000
        monkeypatch.setattr(compressed_files.open_stream, "__defaults__", (2**20,))
        with pytest.raises(KISError, match="more than 1,048,576 bytes once decompressed"):
            read(path, tmp_path / "in")

    def test_a_full_disk_is_predicted(self, tmp_path, monkeypatch, logs):
        collect(logs, tmp_path / "x.tar.xz")
        monkeypatch.setattr(temporary_copies, "_FREE", 2**62)
        with pytest.raises(KISError, match="no room for the logs"):
            read(tmp_path / "x.tar.xz", tmp_path / "in")

    def test_a_huge_header_is_not_read(self, tmp_path):
        header = tarfile.TarInfo("pax")
        header.type, header.size = tarfile.XHDTYPE, 2**31
        path = tmp_path / "x.tar.gz"
        path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT)))
        with pytest.raises(KISError, match="an extended header of 2,147,483,648 bytes"):
            read(path, tmp_path / "in")

    def test_a_chain_of_headers_is_no_traceback(self, tmp_path):
        header = tarfile.TarInfo("pax")
        header.type, header.size = tarfile.XHDTYPE, 0
        (path := tmp_path / "x.tar.gz").write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) * 5000))
        with pytest.raises(KISError):
            read(path, tmp_path / "in")

    def test_an_xz_that_asks_for_gigabytes_is_refused(self, tmp_path):
        filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**30}]
        path = tmp_path / "x.tar.xz"
        path.write_bytes(lzma.compress(member_bytes("kis.jsonl", 10), filters=filters))
        with pytest.raises(KISError, match="more than 268,435,456 bytes of memory"):
            read(path, tmp_path / "in")

    @pytest.mark.parametrize("keep", [0, 10, 100, 200])
    def test_a_cut_file_is_named(self, logs, tmp_path, keep):
        collect(logs, tmp_path / "x.tar.xz")
        (tmp_path / "x.tar.xz").write_bytes((tmp_path / "x.tar.xz").read_bytes()[:keep])
        with pytest.raises(KISError, match=r"x\.tar\.xz"):
            read(tmp_path / "x.tar.xz", tmp_path / "in")

    @pytest.mark.parametrize("seed", range(20))
    def test_damaged_bytes_never_give_a_traceback(self, logs, tmp_path, seed):
        import random

        random.seed(seed)
        ending = random.choice([".tar.xz", ".tar.gz", ".tar"])
        collect(logs, path := tmp_path / f"x{ending}")
        data = bytearray(path.read_bytes())
        for _ in range(random.randint(1, 30)):
            data[random.randrange(len(data))] = random.randrange(256)
        path.write_bytes(bytes(data))
        with suppress(KISError):  # any other error fails
            gather([path], registered("log_readers"))
        assert not left_behind()

    @pytest.mark.parametrize(
        ("number", "code", "url"),
        [(signal.SIGTERM, 143, False), (signal.SIGINT, 130, False), (signal.SIGTERM, 143, True)],
        ids=["SIGTERM", "SIGINT", "URL"],
    )
    def test_a_command_that_is_ended_leaves_no_copies(self, tmp_path, number, code, url):
        path = tmp_path / "x.tar"
        with path.open("wb") as file:
            file.write(member_bytes("kis.jsonl", 0, size=3 * 2**30))
            file.truncate(3 * 2**30)
        environment = os.environ | {"TMPDIR": str(tmp_path)}
        logs = path.as_uri() if url else str(path)
        words = [sys.executable, "-m", "kis_predict.cli", "--logs", logs, "--target", "7B"]
        with subprocess.Popen(
            words,
            env=environment,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell's & ignores it
        ) as process:
            for _ in range(400):
                time.sleep(0.05)
                if list(tmp_path.glob("kis-predict-*/*")):
                    break
            assert process.poll() is None
            process.send_signal(number)
            process.communicate(timeout=30)
        assert process.returncode == code
        assert not list(tmp_path.glob("kis-predict-*"))


def member_bytes(name: str, zeros: int, size: int | None = None) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = zeros if size is None else size
    return info.tobuf() + b"\0" * (zeros + 10240)


class TestCompressedStreams:
    @pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, __import__("bz2").compress, bytes])
    def test_content_is_given_whatever_the_name(self, tmp_path, pack):
        content = os.urandom(300_000)
        (path := tmp_path / "odd.name").write_bytes(pack(content))
        with compressed_files.open_stream(path) as stream:
            assert b"".join(iter(lambda: stream.read(1000), b"")) == content

    def test_xz_streams_that_follow_each_other_are_one(self, tmp_path):
        (path := tmp_path / "two.xz").write_bytes(lzma.compress(b"one ") + b"\0" * 8 + lzma.compress(b"two"))
        with compressed_files.open_stream(path) as stream:
            assert b"".join(iter(stream.read, b"")) == b"one two"

    def test_zstd_is_read_where_python_can(self, tmp_path):
        zstd = compressed_files._zstd
        (path := tmp_path / "a.zst").write_bytes(zstd.compress(b"abc") if zstd else b"\x28\xb5\x2f\xfd")
        if zstd:
            with compressed_files.open_stream(path) as stream:
                assert stream.read() == b"abc"
            path.write_bytes(zstd.compress(b"abc" * 999)[:-9])
            with compressed_files.open_stream(path) as stream, pytest.raises(KISError, match="damaged"):
                b"".join(iter(stream.read, b""))
            path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(range(200, 255)))
            with compressed_files.open_stream(path) as stream, pytest.raises(KISError, match="damaged"):
                stream.read()
        else:
            with pytest.raises(KISError, match=r"compressed by zstd.*Python 3\.14"):
                compressed_files.open_stream(path)

    @pytest.mark.parametrize(
        ("name", "plain"), [("a.csv.gz", "a.csv"), ("a.csv", "a.csv"), ("kis.jsonl.xz", "kis.jsonl"), ("A.GZ", "A")]
    )
    def test_a_name_loses_its_ending(self, name, plain):
        assert compressed_files.plain_name(name) == plain
