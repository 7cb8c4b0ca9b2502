"""The commands by which the studies' figures were made give them again from the logs that ship."""

from __future__ import annotations

import re
import shlex

import pytest
from test_docs import ROOT, run

PAGES = [
    ROOT / "docs" / "explanation" / "evidence.md",
    ROOT / "docs" / "explanation" / "experiments.md",
    *sorted(ROOT.glob("examples/*/README.md")),
]
READERS = r"`(python examples/(?:figure|study/table|law/\w+)\.py [^`>]+)`"
PICTURES = (".svg", ".png")


def commands() -> list[str]:
    """Return the commands on the pages that read logs, each once; line breaks inside them are spaces."""
    found = [" ".join(line.split()) for page in PAGES for line in re.findall(READERS, page.read_text("utf-8"))]
    return sorted({line for line in found if not re.search(r"[A-Z]{3}|\.\.\.", line)})  # NAME stands for a folder


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_studies_gives_its_table_and_its_picture(line, tmp_path):
    pytest.importorskip("matplotlib")
    words = shlex.split(line)[1:]
    shipped = next((ROOT / word for word in words if word.endswith(PICTURES)), None)
    drawn = tmp_path / shipped.name if shipped else None
    words = [str(drawn) if word.endswith(PICTURES) else word for word in words]
    done = run(shlex.join(["python", *words]), ROOT)
    assert done.returncode == 0, done.stderr
    if drawn:
        assert drawn.stat().st_size > 1000
    else:
        assert len(done.stdout.splitlines()) > 3
