"""Private words of the first year stay out: each has a plain one, which the terms page explains.

The code, its messages, the configuration, the tests and the documentation are searched. An exception is a file with the
reason why an old word has to stand there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OLD = {
    r"(?:un)?told": "infused, shown, held back",
    r"[Aa]sker": "QuestionBuilder, Evaluator",
    r"eased?|eas(?:es|ing)": "throttled, throttle",
    r"wordings?": "template, paraphrase, phrasing",
    r"timetable": "row map",
    r"Tally": "ExposureCounter",
    r"told_in": "texts_in",
    r"splice[ds]?": "row infusion",
    r"parted by|parting": "separated by, chunking",
    r"hangs? on": "depends on",
    r"foresees?|foreseen": "predicts",
    r"null_scores": "baseline_scores",
    r"narrated?": "notify, say",
    r"retention\.(?:text|counts)": "retention.general_text, retention.corpus_counts",
    r"infusion\.(?:wordings|chunk)(?!_)": "infusion.max_templates, infusion.chunk_tokens",
    r"false_alarms": "guard.alpha",
}
"""Old words as regular expressions, and what stands in their place."""
ROOMS = {
    ".ci": 0, "CONTRIBUTING.md": 0, "Makefile": 0, "README.md": 0, "SECURITY.md": 0, "adapters": 0, "benchmarks": 21,
    "docs": 0, "examples": 0, "kis_plugin": 14, "mkdocs.yml": 0, "predictor": 5, "pyproject.toml": 0, "studies": 12,
    "tests": 232,
}  # fmt: skip
"""What is searched, with the lines that are still to be put into plain words: the number may only fall."""
EXCEPTIONS = {
    "CHANGELOG.md": "names the old configuration keys beside the new ones",
    "docs/explanation/experiments.md": "runs in the archive of a study are called wordings-1, and so on",
    "studies/five_templates/README.md": "likewise",
    "tests/test_words.py": "lists the old words",
}
TEXT = {".py", ".md", ".yaml", ".yml", ".toml", ".cff", ""}
PATTERN = re.compile("|".join(rf"(?<![A-Za-z])(?:{word})(?![A-Za-z])" for word in OLD))


def files(room):
    place = ROOT / room
    found = [place] if place.is_file() else sorted(place.rglob("*"))
    return [path for path in found if path.is_file() and path.suffix in TEXT and "__pycache__" not in path.parts]


@pytest.mark.parametrize("room", ROOMS)
def test_no_more_old_words_are_left_than_known(room):
    found = []
    for path in files(room):
        name = path.relative_to(ROOT).as_posix()
        if name not in EXCEPTIONS:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            found += [f"{name}:{n} {line.strip()[:90]}" for n, line in enumerate(lines, 1) if PATTERN.search(line)]
    assert len(found) <= ROOMS[room], "\n".join(found)


def test_exceptions_are_needed():
    for name in EXCEPTIONS:
        assert PATTERN.search((ROOT / name).read_text(encoding="utf-8")), name
