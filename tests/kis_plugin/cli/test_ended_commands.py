"""A command that is ended by a signal leaves nothing half written."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from kis_plugin.cli.main import main


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_a_command_that_is_ended_leaves_no_partial_file(tmp_path, number, code):
    log = tmp_path / "runs" / "r" / "kis.jsonl"
    log.parent.mkdir(parents=True)
    with log.open("wb") as file:
        file.truncate(2**36)  # compressed for minutes
    words = ["runs", "collect", str(tmp_path / "runs"), "-o", str(tmp_path / "logs.tar.xz")]
    process = subprocess.Popen(
        [sys.executable, "-m", "kis_plugin.cli.main", *words],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell's & ignores it
    )
    for _ in range(1000):
        if list(tmp_path.glob("*.partial")) or list(tmp_path.glob(".*.partial")):
            break
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


def test_a_program_that_calls_a_command_keeps_its_own_handling():
    assert CliRunner().invoke(main, ["plugins"]).exit_code == 0
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
