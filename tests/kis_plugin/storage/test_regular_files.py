"""Files that a run adds to or writes in place are its own: no link, no device, no pipe leads the content elsewhere."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from kis_plugin.errors import KISError
from kis_plugin.run.log import LOG_NAME, Run, RunLogWriter
from kis_plugin.storage import regular_files
from kis_plugin.storage.regular_files import open_in_place

ROOT = Path(__file__).parents[3]
RUN = Run(run_id="r", params=1, tokens=1, frequency=4)


@pytest.mark.parametrize("flagless", [False, True])
@pytest.mark.parametrize("target", ["there", "missing"])
def test_a_link_is_refused_and_what_it_names_stays(tmp_path, monkeypatch, target, flagless):
    if flagless:  # a system without O_NOFOLLOW
        monkeypatch.delattr(regular_files.os, "O_NOFOLLOW")
    (tmp_path / "there").write_text("years of work")
    (path := tmp_path / "run" / LOG_NAME).parent.mkdir()
    path.symlink_to(tmp_path / target)
    for open_it in (open_in_place, lambda path: open_in_place(path, append=True)):
        with pytest.raises(KISError, match=f"{path}: found a link, expected a file of the run's own. Remove it"):
            open_it(path)
    with pytest.raises(KISError, match="found a link"):
        RunLogWriter(path.parent)
    assert (tmp_path / "there").read_text() == "years of work"
    assert not (tmp_path / "missing").exists()


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / LOG_NAME)
    with pytest.raises(KISError, match="a device or a pipe"):
        RunLogWriter(tmp_path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b""),
        (b'{"a": 1}\n', b'{"a": 1}\n'),
        (b'{"a": 1}\n{"b"', b'{"a": 1}\n'),
        (b'{"a"', b""),
        (b'{"a": 1}', b'{"a": 1}\n'),
        (b'{"a": "' + b"x" * 3_000_000 + b'"}\n{"b": "' + b"y" * 2_500_000, b'{"a": "' + b"x" * 3_000_000 + b'"}\n'),
        (b"[" * 100_000, b""),
    ],
    ids=["empty", "whole", "torn", "all torn", "no end", "long", "deep"],
)
def test_a_torn_last_line_is_taken_away_before_a_run_goes_on(tmp_path, before, after):
    (tmp_path / LOG_NAME).write_bytes(before)
    writer = RunLogWriter(tmp_path)
    assert writer.path.read_bytes() == after
    writer.write(RUN)
    assert writer.path.read_bytes().startswith(after + b'{"type": "run"')


def test_no_other_place_opens_a_file_to_add_to_it():
    """Whole files are written atomically; the rest is new (mode x), or goes through ``open_in_place``."""
    opens = re.compile(r"""open\([^)\n]*["'](?:a|a\+|ab|r\+b?|rb\+|w|wb)["']""")
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("kis_plugin", "adapters", "predictor")
        for path in (ROOT / folder).rglob("*.py")
        if any(opens.search(line) for line in path.read_text().splitlines())
    }
    assert found == {
        "kis_plugin/infusion/throttle_file.py",  # a temporary file that mkstemp made
        "kis_plugin/run/exposure_file.py",  # a member of an archive
        "kis_plugin/storage/atomic_write.py",  # a new file under a name that cannot be guessed
        "kis_plugin/storage/regular_files.py",
        "predictor/kis_predict/readers/remote.py",  # in a temporary folder that was just made
    }
