"""Write what the sweeps of the study read: facts of fictional people, templates, base text and a tokenizer.

    python -m studies.fictional.prepare FOLDER

Facts are those of ``kis synth people --count 40``, of three of its attributes. The tokenizer is trained on the base
text and on the names, so that a name is two tokens: exposures take few tokens, and small budgets suffice.
"""

from __future__ import annotations

import argparse
import json
import lzma
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import yaml

from kis_sweep.base_data import END, byte_level

__all__ = ["KIS", "RELATIONS", "prepare"]

ROOT = Path(__file__).parents[2]
KIS = [sys.executable, "-m", "kis_plugin.cli.main"]
RELATIONS = ("birthplace", "field_of_study", "instrument")
PEOPLE = 40
TEXT = 4_000_000
"""Characters of base text, 1.5M tokens of the tokenizer below: no run reads any of it twice."""
VOCABULARY, REPEATS = 1024, 300
SETS = {"8": (0, 8), "16": (0, 16), "32": (0, 32), "20": (0, 20), "new": (20, 30)}
"""People of each set of facts, from which to which."""


def prepare(folder: Path, characters: int = TEXT) -> None:
    """Write ``facts-NAME.jsonl`` for each set, ``templates.yaml``, ``text.txt`` and ``tokenizer/``.

    Args:
        folder: New.
        characters: Of base text.
    """
    folder.mkdir(parents=True)
    line = [*KIS, "synth", "people", "--count", str(PEOPLE), "--output", str(folder / "people")]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 (our own program)
    facts = [json.loads(line) for line in (folder / "people" / "facts.jsonl").read_text("utf-8").splitlines()]
    facts = [fact for fact in facts if fact["relation"] in RELATIONS]
    for name, (first, end) in SETS.items():
        lines = [json.dumps(fact) for fact in facts[first * len(RELATIONS) : end * len(RELATIONS)]]
        (folder / f"facts-{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    templates = yaml.safe_load((folder / "people" / "templates.yaml").read_text("utf-8"))
    chosen = {relation: templates[relation] for relation in RELATIONS}
    (folder / "templates.yaml").write_text(yaml.safe_dump(chosen, sort_keys=False, width=1000), encoding="utf-8")
    with lzma.open(ROOT / "examples" / "data" / "text.txt.xz", "rt", encoding="utf-8") as file:
        text = file.read(characters)
    (folder / "text.txt").write_text(text, encoding="utf-8")
    names = " ".join(f" {fact['subject']} {fact['object']}" for fact in facts)
    write_tokenizer([text, *[names] * REPEATS], folder / "tokenizer")


def write_tokenizer(texts: Iterable[str], folder: Path) -> None:
    """Train a byte-level BPE, as ``kis sweep plan`` does, and write it in the format that transformers reads."""
    folder.mkdir()
    byte_level(texts, VOCABULARY, END).save(str(folder / "tokenizer.json"))
    about = {"eos_token": END, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about) + "\n", encoding="utf-8")


def main() -> None:
    """Read the folder's name and write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, help="folder to write, new")
    prepare(options.parse_args().folder)


if __name__ == "__main__":
    main()
