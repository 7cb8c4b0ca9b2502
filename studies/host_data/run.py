"""Writes data sets of several frequencies, trains on them through a framework's loader, and predicts from the logs.

    python -m studies.host_data.run megatron FOLDER

FOLDER gets the data, the checkpoints and ``runs/``, the run logs. What is there already is not made again. Every
command of ``kis`` is printed as it is run. Ends with the exit code of ``kis-predict``.
"""

from __future__ import annotations

import argparse
import lzma
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from transformers.utils.logging import disable_progress_bar

from kis_plugin.amounts import parse_amount
from kis_plugin.cli.main import main as kis
from kis_predict.cli import main as kis_predict
from studies.fictional.prepare import prepare
from studies.host_data.train import LOADERS, train

ROOT = Path(__file__).parents[2]
SIZES, FREQUENCIES = ("55k", "100k"), (160, 240, 320, 480, 560)
TOKENS, BLOCK, BATCH, SAVES = 600_000, 64, 8, 5
CHARACTERS = 5
"""Of base text, for each token of the run: no row is read twice."""
HELD_OUT = 100_000
"""Characters of general text whose loss is measured."""
PROGRAMS: dict[str, Callable[[list[str]], Any]] = {"kis": kis, "kis-predict": kis_predict}


def main(argv: Sequence[str] | None = None) -> int:
    """Run all of it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("framework", choices=sorted(LOADERS), help="whose loader reads the data")
    options.add_argument("folder", type=Path, help="folder of all that is written")
    options.add_argument("--sizes", nargs="+", default=SIZES, help="parameters of the models")
    options.add_argument("--frequencies", nargs="+", type=int, default=FREQUENCIES, help="exposures of each fact")
    options.add_argument("--tokens", type=parse_amount, default=TOKENS, help="tokens of a run (default: 600,000)")
    args = options.parse_args(argv)
    folder: Path = args.folder
    disable_progress_bar()  # type: ignore[no-untyped-call]
    if not (folder / "data" / "heldout.txt").exists():
        prepare(folder / "data", CHARACTERS * args.tokens)
        with lzma.open(ROOT / "examples" / "data" / "heldout.txt.xz", "rt", encoding="utf-8") as file:
            (folder / "data" / "heldout.txt").write_text(file.read(HELD_OUT), encoding="utf-8")
    rows = -(-args.tokens // (BLOCK * BATCH)) * BATCH  # whole batches
    for frequency in args.frequencies:
        infused = written(folder, args.framework, frequency, rows)
        for size in args.sizes:
            trained(folder, infused, size)
    return command("kis-predict", "--logs", folder / "runs", "--target", "1M")


def written(folder: Path, framework: str, frequency: int, rows: int) -> Path:
    """Write and audit the data set of one frequency; return its folder."""
    place = folder / f"F{frequency}"
    infused, audit = place / "infused", place / "audit.json"
    if not (infused / "kis.manifest.json").exists():
        place.mkdir(exist_ok=True)
        (place / "kis.yaml").write_text(yaml.safe_dump(config(frequency), sort_keys=False), encoding="utf-8")
        must(
            "write", place / "kis.yaml", "--tokenizer", folder / "data" / "tokenizer", "--block", BLOCK,
            "--base", folder / "data" / "text.txt", "--format", framework, "--rows", rows, "--host-seed", 1234,
            "--batch", BATCH, "-o", infused,
        )  # fmt: skip
    if not audit.exists():
        must("audit", infused, "--as", framework, "-o", audit)
    return infused


def trained(folder: Path, infused: Path, size: str) -> None:
    """Train a model on a data set, and write its run log."""
    checkpoints, logs = infused.parent / f"N{size}", folder / "runs" / infused.parent.name / f"N{size}"
    if not logs.exists():
        seconds = train(infused, checkpoints, parse_amount(size), BATCH, SAVES)
        print(f"{infused.parent.name}, N = {size}: trained in {seconds:.0f} s of CPU", flush=True)
        must(
            "probe", "--log", logs, "--checkpoints", checkpoints / "step-*", "--manifest", infused,
            "--audit", infused.parent / "audit.json", "--device", "cpu",
        )  # fmt: skip


def config(frequency: int) -> dict[str, object]:
    """Return the kis.yaml of one frequency."""
    return {
        "knowledge": "../data/facts-20.jsonl",
        "templates": "../data/templates.yaml",
        "infusion": {"frequency": frequency, "template_order": "cycle", "max_templates": 10},
        "retention": {
            "control": 12,
            "probes": {"facts": 1000, "options": 4, "templates_per_fact": 10, "kinds": "held_out"},
            "general_text": "../data/heldout.txt",
        },
    }


def must(*words: object) -> None:
    """Run a command of ``kis``; end with its exit code if that is not 0."""
    if code := command("kis", *words):
        sys.exit(code)


def command(program: str, *words: object) -> int:
    """Print and run a command in this process, which has imported its libraries; return its exit code."""
    line = [*map(str, words)]
    print("$", shlex.join([program, *line]), flush=True)
    try:
        return int(PROGRAMS[program](line) or 0)
    except SystemExit as ended:
        return int(ended.code or 0)


if __name__ == "__main__":
    sys.exit(main())
