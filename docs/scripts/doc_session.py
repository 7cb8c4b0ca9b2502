"""Record the commands of a page as a terminal session with times, in asciinema's format.

    python docs/scripts/doc_session.py docs/tutorial/own-facts.md session.cast
    asciinema play session.cast

The commands of the page's console blocks run in a new folder, one after the other, as they do in the tests, in a
terminal of 80 columns. The file is asciicast v2: a header, then a line for each piece of output with the seconds since
the start. A line ``# 3.2 s`` after each command says how long it took. (https://docs.asciinema.org/manual/asciicast/v2/)
"""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from doc_pages import COMMANDS, ROOT, commands, enters, prepare

COLUMNS, ROWS = 80, 24
_PIECE = 65536


def output_of(line: str, folder: Path) -> Iterator[str]:
    """Run one command in a terminal and yield what it prints.

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
    here, there = pty.openpty()
    done = subprocess.Popen([*COMMANDS[program], *words], cwd=folder, env=environment, stdout=there, stderr=there)
    os.close(there)
    while True:
        ready, _, _ = select.select([here], [], [], 0.1)
        if not ready:
            continue
        try:
            piece = os.read(here, _PIECE)
        except OSError:  # the other end is closed: the command has ended
            break
        if not piece:
            break
        yield piece.decode(errors="replace")
    os.close(here)
    if done.wait():
        raise SystemExit(f"{line}: exit code {done.returncode}")


def recorded(page: Path) -> Iterator[tuple[float, str]]:
    """Run the page's commands; yield each piece of output with the seconds since the start."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, page)
        for command, _ in commands(page):
            began = time.monotonic()
            yield began - started, f"$ {command}\r\n"
            if (entered := enters(command, folder)) is not None:
                folder = entered
                continue
            for piece in output_of(command, folder):
                yield time.monotonic() - started, piece.replace(name, "~")
            now = time.monotonic()
            yield now - started, f"# {now - began:.1f} s\r\n"


def main() -> None:
    """Record a page."""
    page, target = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": page.stem, "env": {"TERM": "xterm-256color"}}
    lines = [json.dumps(header)]
    lines += [json.dumps([round(at, 3), "o", text], ensure_ascii=False) for at, text in recorded(page)]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
