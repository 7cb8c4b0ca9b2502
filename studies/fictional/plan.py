"""Plan the sweeps of a part of the study: one for each arm, by ``kis sweep plan`` and ``kis sweep add``.

    python -m studies.fictional.prepare work/data
    python -m studies.fictional.plan templates work
    kis sweep run work/templates/t10-b512

The commands are printed as they are run. An arm that changes what ``kis sweep plan`` has no option for (an optimizer's
setting, a guard that acts) has the files of its runs edited after the plan.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from studies.fictional.prepare import KIS

__all__ = ["ARMS", "Arm"]

FULL = 600_000
"""Token budget D of all arms but those that say otherwise."""


@dataclass(frozen=True)
class Arm:
    """The runs of one setting.

    Attributes:
        sizes: Model sizes, as ``kis sweep plan --sizes`` takes them; empty for those that continue from trained models.
        frequencies: Exposures per fact.
        seeds: Runs of each size and frequency.
        templates: Training templates of a fact.
        tokens: Token budget D.
        batch: Tokens per step.
        rate: Peak learning rate times model width.
        facts: Name of the set of facts.
        control: Facts held back.
        every: Evaluation interval; without one at the start and the end alone.
        start: Arm of the part ``continued`` from whose models the runs continue, with the same seed.
        keep: Whether trained models are kept.
        infusion: More keys of ``infusion``.
        retention: More keys of ``retention``.
        recipe: What is edited in each run's ``run.yaml``.
    """

    sizes: str
    frequencies: Sequence[int]
    seeds: int = 1
    templates: int = 10
    tokens: int = FULL
    batch: int = 512
    rate: float = 0.5
    facts: str = "20"
    control: int = 12
    every: float | int = 100_000
    start: str = ""
    keep: bool = False
    infusion: Mapping[str, Any] = field(default_factory=dict)
    retention: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)


SHARES = (160, 240, 320, 400, 480, 580)
"""Exposures per fact that take shares of 0.24 to 0.87 of ``FULL`` tokens."""
DOUBLE = tuple(2 * frequency for frequency in SHARES)
ARMS: Mapping[str, Mapping[str, Arm]] = {
    "templates": {
        **{f"t{count}-b512": Arm("100k,200k", [320], 3, count) for count in (1, 2, 5, 10, 20)},
        **{f"t{count}-b1024": Arm("100k,200k", [320], 3, count, batch=1024) for count in (2, 20)},
    },
    "budgets": {
        "single": Arm("55k,100k,200k,400k", SHARES),
        "double": Arm("55k,100k,200k", DOUBLE, tokens=2 * FULL),
        "left_out": Arm("400k", DOUBLE, tokens=2 * FULL),
    },
}
"""Parts of the study, and their arms in the order in which they are trained."""


def config(arm: Arm, data: Path) -> dict[str, Any]:
    """Return the ``kis.yaml`` that the runs of an arm share."""
    return {
        "knowledge": str(data / f"facts-{arm.facts}.jsonl"),
        "templates": str(data / "templates.yaml"),
        "infusion": {"template_order": "cycle", "max_templates": arm.templates, **arm.infusion},
        "retention": {
            "every": arm.every,
            "control": arm.control,
            "by": ["template"],
            "probes": {"facts": 1000, "options": 4, "templates_per_fact": 10, "kinds": "held_out"},
            **arm.retention,
        },
    }


def plan(part: str, name: str, work: Path) -> None:
    """Plan the sweep of an arm in ``work/PART/NAME``; nothing is done where it is planned already."""
    arm, sweep, data = ARMS[part][name], work / part / name, (work / "data").resolve()
    if sweep.exists():
        return
    settings = work / part / f"{name}.yaml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(yaml.safe_dump(config(arm, data), sort_keys=False), encoding="utf-8")
    frequencies = ",".join(map(str, arm.frequencies))
    start = ["--sizes", arm.sizes, "--tokenizer", data / "tokenizer"]
    kis(
        "plan", *start, "--frequency", frequencies, "--no-uninfused", "--config", settings, "--text", data / "text.txt",
        "--block", 64, "--tokens", arm.tokens, "--batch-tokens", arm.batch, "--rate", arm.rate, "--saves", 1,
        "--no-time", *["--keep-models"] * arm.keep, "-o", sweep,
    )  # fmt: skip
    if arm.seeds > 1:
        kis("add", sweep, "--sizes", arm.sizes, "--frequency", frequencies, "--seeds", arm.seeds)
    for path in sweep.glob("configs/*/run.yaml"):
        edit(path, "recipe", arm.recipe)


def edit(path: Path, section: str, changes: Mapping[str, Any]) -> None:
    """Change keys of a section of a YAML file."""
    if changes:
        content = yaml.safe_load(path.read_text("utf-8"))
        content[section] = {**content.get(section, {}), **changes}
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def kis(verb: str, *words: object) -> None:
    """Print and run a command of ``kis sweep``."""
    line = ["kis", "sweep", verb, *map(str, words)]
    print("$", shlex.join(line), flush=True)
    subprocess.run([KIS, *line[1:]], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 (our own program)


def main() -> None:
    """Plan what the command line names."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("part", choices=sorted(ARMS), help="part of the study")
    options.add_argument("work", type=Path, help="folder of prepared data, in which sweeps are planned")
    args = options.parse_args()
    for name in ARMS[args.part]:
        plan(args.part, name, args.work)


if __name__ == "__main__":
    main()
