"""Plan the sweeps of the study: runs at and beyond the peak, runs whose guard acts, and continuations of both.

    python -m studies.collapse.plan work

Data are written to ``work/data`` and sweeps to ``work/PART/ARM``; ``kis sweep run work/PART/ARM`` trains one. The
commands are printed as they are run. Continuations are planned once the models exist from which they start.
"""

from __future__ import annotations

import argparse
import lzma
from pathlib import Path
from typing import Any

import yaml

from studies.fictional.plan import edit, kis

__all__ = ["ACTIONS", "AFTER", "BEYOND", "PEAK", "SEEDS"]

ROOT = Path(__file__).parents[2]
DATA = ROOT / "examples" / "data"
SIZE = "340k"  # 332,352 parameters
TOKENS, LATER = 2_252_800, 450_560
"""Token budget D of a run, and of a continuation."""
PEAK, BEYOND = 197, 402
"""Exposures per fact: shares of 0.35 and 0.71 of ``TOKENS``."""
AFTER = (0, 31, 81)
"""Exposures per fact of a continuation: none, and shares of 0.27 and 0.71 of ``LATER``."""
SEEDS, ORDERS = 3, 2
"""Runs from scratch of one setting, and orders of rows in which each is continued."""
ACTIONS = ("throttle", "stop_infusing")
RATE, LOW = 0.5, 0.1
"""Peak learning rate times width of a run, which falls to a tenth of it, and the constant one of a continuation."""
HELD_BACK = 6
"""Every sixth fact is infused into no model."""


def prepare(data: Path) -> None:
    """Write the facts, those held back, templates, and two texts that share no document."""
    data.mkdir(parents=True)
    lines = (ROOT / "studies" / "law" / "facts.jsonl").read_text("utf-8").splitlines(keepends=True)
    held_back = lines[HELD_BACK - 1 :: HELD_BACK]
    (data / "facts.jsonl").write_text("".join(line for line in lines if line not in held_back), encoding="utf-8")
    (data / "held-back.jsonl").write_text("".join(held_back), encoding="utf-8")
    templates = ROOT / "studies" / "five_templates" / "templates.yaml"
    (data / "templates.yaml").write_bytes(templates.read_bytes())
    documents = lzma.decompress((DATA / "text.txt.xz").read_bytes()).decode("utf-8").split("\f")
    for number, name in enumerate(("first", "later")):
        mine = [text for place, text in enumerate(documents) if (place % 3 == 2) == bool(number)]
        (data / f"{name}.txt").write_text("\f".join(mine), encoding="utf-8")


def config(data: Path, every: float) -> dict[str, Any]:
    """Return the ``kis.yaml`` of all runs: that of the law's study, but for the facts held back."""
    return {
        "knowledge": str(data / "facts.jsonl"),
        "templates": str(data / "templates.yaml"),
        "infusion": {"template_order": "cycle", "max_templates": 10},
        "retention": {
            "every": every,
            "control": 0,
            "background": str(data / "held-back.jsonl"),
            "probes": {"facts": 1000, "options": 4, "templates_per_fact": 10, "kinds": "held_out"},
        },
    }


def plan(work: Path, name: str, text: str, every: float, *words: object) -> Path:
    """Plan a sweep in ``work/NAME`` and return its folder."""
    data, sweep = (work / "data").resolve(), work / name
    settings = sweep.with_suffix(".yaml")
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(yaml.safe_dump(config(data, every), sort_keys=False), encoding="utf-8")
    kis(
        "plan", *words, "--no-uninfused", "--config", settings, "--text", data / f"{text}.txt", "--held-out-text",
        DATA / "heldout.txt.xz", "--block", 128, "--batch-tokens", 1024, "--saves", 10, "--no-time", "-o", sweep,
    )  # fmt: skip
    return sweep


def long_runs(work: Path) -> None:
    """Plan the runs from scratch: those whose guard only warns, and those whose guard acts."""
    for arm, frequencies in {"warn": f"{PEAK},{BEYOND}", **dict.fromkeys(ACTIONS, f"{BEYOND}")}.items():
        if (work / "long" / arm).exists():
            continue
        grid: list[object] = ["--sizes", SIZE, "--frequency", frequencies]
        keep = ["--keep-models"] * (arm == "warn")
        sweep = plan(
            work, f"long/{arm}", "first", 0.1, *grid, "--vocabulary", 2048, "--rate", RATE, "--tokens", TOKENS, *keep
        )
        kis("add", sweep, *grid, "--seeds", SEEDS)
        for path in sweep.glob("configs/*/kis.yaml"):
            edit(path, "retention", {"guard": {"action": arm}})


def continuations(work: Path) -> None:
    """Plan those of each model that there is: a low constant rate, and text that its run did not read."""
    for path in sorted((work / "long" / "warn" / "work").glob("*/model")):
        frequency, seed = (part.lstrip("Fsed") for part in path.parent.name.split("-")[-2:])
        name = f"after/f{frequency}-{seed[-1]}"
        if (work / name).exists():
            continue
        amounts = AFTER if frequency == str(BEYOND) else AFTER[:2]
        words: list[object] = ["--from", path, "--frequency", ",".join(map(str, amounts))]
        sweep = plan(work, name, "later", 0.25, *words, "--rate", LOW, "--tokens", LATER)
        kis("add", sweep, *words[2:], "--seeds", ORDERS)
        for settings in sweep.glob("configs/*/run.yaml"):
            edit(settings, "recipe", {"least_rate": 1.0})


def main() -> None:
    """Prepare and plan what is not there yet."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("work", type=Path, help="folder of data and sweeps")
    work: Path = options.parse_args().work
    if not (work / "data").exists():
        prepare(work / "data")
    long_runs(work)
    continuations(work)


if __name__ == "__main__":
    main()
