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
    r"(?:un)?asked": "probed, evaluated, requested",
    r"[Tt]ells": "states, reports, shows",
    r"[Hh]ears?|heard": "receives, is notified",
    r"spoken|speaks? (?:of|for|against)": "predicts, contradicts",
    r"what holds": "valid",
    r"material": "split, texts",
    r"eased?|eas(?:es|ing)": "throttled, throttle",
    r"wordings?": "template, paraphrase, phrasing",
    r"timetable": "row map",
    r"Tally": "ExposureCounter",
    r"told_in": "texts_in",
    r"splice[ds]?": "row infusion",
    r"part(?:ed|ing)": "separated, split, chunking",
    r"hangs? on": "depends on",
    r"foresees?|foreseen": "predicts",
    r"null_scores": "baseline_scores",
    r"narrated?": "notify, say",
    r"retention\.(?:text|counts)": "retention.general_text, retention.corpus_counts",
    r"infusion\.(?:wordings|chunk)(?!_)": "infusion.max_templates, infusion.chunk_tokens",
    r"false_alarms": "guard.alpha",
}
"""Old words as regular expressions, and what stands in their place."""
ROOMS = (
    ".ci", "CONTRIBUTING.md", "Makefile", "README.md", "SECURITY.md", "adapters", "benchmarks", "docs", "examples",
    "kis_plugin", "mkdocs.yml", "predictor", "pyproject.toml", "studies", "tests",
)  # fmt: skip
"""What is searched."""
EXCEPTIONS = {
    "CHANGELOG.md": "names the old configuration keys beside the new ones",
    "examples/data/facts.py": "languages that are spoken",
    "kis_plugin/data/templates.yaml": "sentences about languages, songs and what things are made of",
    "mkdocs.yml": "the theme's name",
    "pyproject.toml": "the theme's name",
    "tests/kis_plugin/free_form/test_cloze_spans.py": "a text of the time",
    "tests/kis_plugin/templates/test_book.py": "a sentence about languages",
    "docs/explanation/experiments.md": "runs in the archive of a study are called wordings-1, and so on",
    "studies/second_round/more_templates.yaml": "sentences that models were trained on",
    "studies/five_templates/README.md": "likewise",
    "tests/kis_plugin/config/test_config.py": "old configuration keys are refused",
    "tests/kis_plugin/infusion/test_throttle.py": "the key of a checkpoint",
    "tests/kis_plugin/run/test_log.py": "a log of schema 1",
    "tests/kis_predict/readers/test_hostile_logs.py": "a log of schema 1",
    "tests/test_words.py": "lists the old words",
    "benchmarks/same_rows.py": "translates configurations for a version with the old keys",
    "kis_plugin/config/schema.py": "errors name the old configuration keys beside the new ones",
    "kis_plugin/infusion/infuser.py": "the key of a checkpoint, which older ones have too",
    "kis_plugin/infusion/inputs.py": "a key of a hash",
    "kis_plugin/run/log_files/parse.py": "names the fields of schema 1",
    "kis_plugin/tokenized/build.py": "a key of prepared folders",
    "kis_plugin/tokenized/texts.py": "keys of a hash and of prepared folders",
}
TEXT = {".py", ".md", ".yaml", ".yml", ".toml", ".cff", ""}
PATTERN = re.compile("|".join(rf"(?<![A-Za-z])(?:{word})(?![A-Za-z])" for word in OLD))


def files(room):
    place = ROOT / room
    found = [place] if place.is_file() else sorted(place.rglob("*"))
    return [path for path in found if path.is_file() and path.suffix in TEXT and "__pycache__" not in path.parts]


@pytest.mark.parametrize("room", ROOMS)
def test_no_old_word_is_left(room):
    found = []
    for path in files(room):
        name = path.relative_to(ROOT).as_posix()
        if name not in EXCEPTIONS:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            found += [f"{name}:{n} {line.strip()[:90]}" for n, line in enumerate(lines, 1) if PATTERN.search(line)]
    assert not found, "\n".join(found)


def test_exceptions_are_needed():
    for name in EXCEPTIONS:
        assert PATTERN.search((ROOT / name).read_text(encoding="utf-8")), name
