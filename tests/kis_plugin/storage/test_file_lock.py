"""Locks on open files, and imports on a system that has none of the POSIX modules."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from kis_plugin.storage.file_lock import exclusive

ROOT = Path(__file__).parents[3]

HOLDER = """
import sys, time
from pathlib import Path
from kis_plugin.storage.file_lock import exclusive
with Path(sys.argv[1]).open("r+b") as file, exclusive(file):
    print("held", flush=True)
    time.sleep(1)
    Path(sys.argv[1]).write_bytes(b"done")
"""

# Windows has no fcntl, resource, pwd, grp, termios; its locks are msvcrt's, here kept in a list.
WITHOUT_POSIX = """
import sys, types
import filelock, multiprocessing.util, subprocess  # the standard library's own imports go before
for name in ("fcntl", "resource", "pwd", "grp", "termios", "pty"):
    sys.modules[name] = None
calls = []
class Windows(types.ModuleType):
    LK_LOCK, LK_UNLCK = 1, 0
    def locking(self, handle, mode, count):
        calls.append((mode, count))
        if len(calls) == 1:
            raise OSError("locked for ten seconds")
sys.modules["msvcrt"] = Windows("msvcrt")
"""


def run(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_others_wait_until_the_block_is_over(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"    ")
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    start = time.monotonic()
    with path.open("r+b") as file, exclusive(file):
        assert file.read() == b"done"
    assert time.monotonic() - start > 0.5
    process.communicate(timeout=60)


def test_on_windows_the_lock_is_waited_for_and_freed(tmp_path):
    program = WITHOUT_POSIX + (
        "from kis_plugin.infusion.throttle_file import ThrottleFile\n"
        "import pickle\n"
        "throttles = ThrottleFile()\n"
        "copy = pickle.loads(pickle.dumps(throttles))\n"
        "assert throttles.add(0.5, agreed=lambda row: row, drawn=7) == 7\n"
        "assert copy[0] == (7, 0.5)\n"
        "print(calls)\n"
    )
    assert run(program) == "[(1, 1), (1, 1), (0, 1)]\n"


def test_everything_imports_without_posix_modules():
    program = WITHOUT_POSIX + (
        "import pkgutil, importlib, kis_plugin\n"
        "for module in pkgutil.walk_packages(kis_plugin.__path__, 'kis_plugin.'):\n"
        "    importlib.import_module(module.name)\n"
        "print('imported')\n"
    )
    assert run(program) == "imported\n"
