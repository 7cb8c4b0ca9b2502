"""Record the commands of a page as a terminal session with times, in asciinema's format.

    python docs/scripts/doc_session.py                                            # docs/tutorial/own-facts.cast
    python docs/scripts/doc_session.py docs/tutorial/own-facts.md session.cast    # another page or file
    asciinema play session.cast

The commands of the page's console blocks run in a new folder, one after the other, as they do in the tests, in a
terminal of 80 columns. The file is asciicast v2: a header, then a line for each piece of output with the seconds since
the start. A line such as ``# 3.2 s, 2.9 s of CPU`` after each command says how long it took; the CPU time is that of
the command and of the processes that it started, and does not depend on what else the machine does. Output is written
twice a second, without what a progress bar has overwritten by then.
(https://docs.asciinema.org/manual/asciicast/v2/)
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from doc_pages import COMMANDS, ROOT, commands, enters, prepare

PAGE = ROOT / "docs" / "tutorial" / "own-facts.md"
COLUMNS, ROWS = 80, 24
_PIECE = 65536
_INTERVAL = 0.5  # seconds
_OVERWRITTEN = re.compile(r"(?:[^\r\n]*\r)+(?=[^\r\n])")  # a line up to the last return of the cursor in it
_PLACES = [(path, "site-packages") for path in sys.path if path.endswith("site-packages")]
_PLACES += [(str(ROOT), "kis"), (str(Path.home()), "~")]


def output_of(line: str, folder: Path) -> Iterator[str]:
    """Run one command in a terminal, yield what it prints, and last a line that says how long it took.

    Raises:
        SystemExit: The command failed.
    """
    program, *words = shlex.split(line)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, [ROOT, ROOT / "adapters", ROOT / "predictor"])),
        "COLUMNS": str(COLUMNS),
        "LINES": str(ROWS),
        "TERM": "xterm-256color",
    }
    began = time.monotonic()
    here, there = pty.openpty()
    done = subprocess.Popen([*COMMANDS[program], *words], cwd=folder, env=environment, stdout=there, stderr=there)
    os.close(there)
    for piece in _pieces(here):
        yield _shown(piece)
    os.close(here)
    _, status, used = os.wait4(done.pid, 0)
    done.returncode = os.waitstatus_to_exitcode(status)
    if done.returncode:
        raise SystemExit(f"{line}: exit code {done.returncode}")
    yield f"# {time.monotonic() - began:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of CPU\r\n"


def _pieces(terminal: int) -> Iterator[str]:
    """Yield what is printed in each interval, until the other end of the terminal is closed."""
    waiting, until = b"", time.monotonic() + _INTERVAL
    while True:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if ready:
            try:
                piece = os.read(terminal, _PIECE)
            except OSError:  # the other end is closed: the command has ended
                piece = b""
            if not piece:
                break
            waiting += piece
        if waiting and time.monotonic() >= until:
            # A character may be cut at the end of what has come.
            text = waiting.decode(errors="ignore")
            yield text
            waiting, until = waiting[len(text.encode()) :], time.monotonic() + _INTERVAL
    if waiting:
        yield waiting.decode(errors="replace")


def _shown(text: str) -> str:
    """Return a piece of output without what it overwrites itself, and without places of this machine."""
    text = re.sub(r"\r+\n", "\r\n", text)
    text = _OVERWRITTEN.sub("\r", text)
    for place, name in _PLACES:
        text = text.replace(place, name)
    return text


def recorded(page: Path) -> Iterator[tuple[float, str]]:
    """Run the page's commands; yield each piece of output with the seconds since the start."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, page)
        for command, _ in commands(page):
            yield time.monotonic() - started, f"$ {command}\r\n"
            if (entered := enters(command, folder)) is not None:
                folder = entered
                continue
            for piece in output_of(command, folder):
                yield time.monotonic() - started, piece.replace(name, "~")


def main() -> None:
    """Record a page."""
    named = [Path(word) for word in sys.argv[1:]] or [PAGE]
    page = named[0].resolve()
    target = named[1] if len(named) > 1 else page.with_suffix(".cast")
    header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": page.stem, "env": {"TERM": "xterm-256color"}}
    lines = [json.dumps(header)]
    lines += [json.dumps([round(at, 3), "o", text], ensure_ascii=False) for at, text in recorded(page)]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
