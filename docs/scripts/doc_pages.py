"""The pages of the documentation: their blocks, and how the commands they show are run.

    python docs/scripts/doc_pages.py docs/how-to/inspect.md     # run its commands, write what they print into the page

Tests run the same commands (tests/test_docs.py). A block marked ``console`` is run line by line, in the order of the
page, in one folder that holds ``facts.jsonl``, ``kis.yaml`` and the files that the page itself shows (blocks with a
title); the text under a command is all of its output.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
COMMANDS = {
    "kis": [sys.executable, "-m", "kis_plugin.cli.main"],
    "kis-predict": [sys.executable, "-m", "kis_predict.cli"],
    "python": [sys.executable],
}
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.M)
"""One command of a console block, and the output shown under it."""


def name_of(page: Path) -> str:
    """Return a page's path from the root of the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language, indented ones (in tabs and admonitions) among them."""
    fence = re.compile(rf"^( *)```{language}\b[^\n]*\n(.*?)^\1```", re.S | re.M)
    found = fence.findall(page.read_text(encoding="utf-8"))
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, text in found]


def files_of(page: Path) -> dict[str, str]:
    """Return the files that a tutorial shows: blocks with a title, by their names."""
    titled = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```', re.S | re.M)
    return dict(titled.findall(page.read_text(encoding="utf-8")))


def commands(page: Path) -> list[tuple[str, str]]:
    """Return every command of the page's console blocks with the output that is shown, or an empty string."""
    return [step for block in blocks(page, "console") for step in COMMAND.findall(block)]


def facts_of_one_relation(path: Path) -> None:
    """Write 24 invented facts: the ``facts.jsonl`` of pages that show none of their own."""
    lines = [{"subject": f"Person{n}", "relation": "P19", "object": f"Town{n % 8}"} for n in range(24)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def prepare(folder: Path, page: Path) -> None:
    """Fill the folder in which the commands of ``page`` run: the shipped data, facts, a configuration, a tokenizer."""
    for name in ("examples", "studies"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    facts_of_one_relation(folder / "facts.jsonl")
    (folder / "kis.yaml").write_text("knowledge: facts.jsonl\nretention: {control: 4}\n", encoding="utf-8")
    files = files_of(page)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    if not files and "--tokenizer tokenizer" in page.read_text(encoding="utf-8"):
        sys.path.insert(0, str(ROOT))
        from tests.world.tokenizers import hugging_face

        hugging_face("byte-level").save_pretrained(folder / "tokenizer")


def run(line: str, folder: Path, limit: float = 600) -> subprocess.CompletedProcess[str]:
    """Run one command as a user would, with 80 columns and no colours."""
    program, *words = shlex.split(line)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, [ROOT, ROOT / "adapters", ROOT / "predictor"])),
        "COLUMNS": "80",
        "NO_COLOR": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    command = [*COMMANDS[program], *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=limit)


def enters(line: str, folder: Path) -> Path | None:
    """Return the folder that ``cd FOLDER`` enters; None for any other command."""
    words = shlex.split(line)
    return folder / words[1] if words[0] == "cd" else None


def as_shown(text: str) -> list[str]:
    """Return output as pages show it: without spaces at the ends of lines, without empty lines around it."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n").splitlines()


def refreshed(page: Path) -> Iterator[tuple[str, str, str]]:
    """Run the page's commands and yield each with what the page shows and what was printed now."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, page)
        for command, shown in commands(page):
            if (entered := enters(command, folder)) is not None:
                folder = entered
                continue
            done = run(command, folder)
            yield command, shown, "\n".join(as_shown(done.stdout)) + "\n"


def main() -> None:
    """Write the present output of every command that shows some into the pages named."""
    for word in sys.argv[1:]:
        page = Path(word).resolve()
        text = page.read_text(encoding="utf-8")
        for command, shown, printed in refreshed(page):
            if shown.strip() and as_shown(shown) != as_shown(printed):
                print(f"{word}: {command}")
                text = text.replace(f"$ {command}\n{shown}", f"$ {command}\n{printed}")
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
