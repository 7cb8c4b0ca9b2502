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
from dataclasses import dataclass, field, replace
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
        start: Run whose model the runs continue from, as ARM/NAME in the same part; ``sizes`` then says its size.
        keep: Whether trained models are kept.
        infusion: More keys of ``infusion``.
        recipe: What is edited in the recipe of each run's ``run.yaml``.
        guard: What is edited in the guard of each run's ``kis.yaml``: ``kis sweep plan`` lets no guard act, since
            ``kis-predict`` learns nothing from such runs.
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
    recipe: Mapping[str, Any] = field(default_factory=dict)
    guard: Mapping[str, Any] = field(default_factory=dict)


SHARES = (160, 240, 320, 400, 480, 540)
"""Exposures per fact that take shares of about 0.24 to 0.8 of ``FULL`` tokens."""
DOUBLE = tuple(2 * frequency for frequency in SHARES)
NEW = Arm("100k", [200], tokens=FULL // 2, facts="new", control=0, every=0.2)
"""Facts of ten other people, infused into models that know those of the first twenty."""
PRESET: Mapping[str, Any] = {
    "rate": 0.25,
    "infusion": {"skip_known": True, "known_frequency": 2, "window": [0.05, 1.0]},
}
CONTINUED: Mapping[str, Arm] = {
    "naive": NEW,
    "slow": replace(NEW, rate=0.25, frequencies=[0, 200]),
    "preset": replace(NEW, **PRESET, guard={"action": "stop_infusing", "max_loss_rise": 0.05}),
}
"""As from scratch; half the peak rate alone, and without facts; the preset of the page on continued pretraining."""
ARMS: Mapping[str, Mapping[str, Arm]] = {
    "templates": {
        **{f"t{count}-b512": Arm("100k,200k", [320], 3, count) for count in (1, 2, 5, 10, 20)},
        **{f"t{count}-b1024": Arm("100k,200k", [320], 3, count, batch=1024) for count in (2, 20, 1, 5, 10)},
    },
    "budgets": {
        "single": Arm("55k,100k,200k,400k", SHARES),
        "double": Arm("55k,100k,200k", DOUBLE, tokens=2 * FULL),
        "left_out": Arm("400k", DOUBLE, tokens=2 * FULL),
    },
    "continued": {
        "base": Arm("100k", [320], 3, control=0, keep=True),
        **{
            f"{name}-{seed}": replace(arm, start=f"base/N105K-L2-d48-D600K-F320-seed{seed}")
            for seed in range(3)
            for name, arm in CONTINUED.items()
        },
    },
    "guard": {
        "warn": Arm("100k,200k", [540], 3, every=0.1),
        **{
            action: Arm("100k,200k", [540], 3, every=0.1, guard={"action": action})
            for action in ("throttle", "stop_infusing")
        },
    },
    "counts": {
        "facts-24": Arm("100k", [320, 640], 2, facts="8", control=0),
        "facts-48": Arm("100k", [160, 320], 2, facts="16", control=0),
        "facts-96": Arm("100k", [80, 160], 2, facts="32", control=0),
        "facts-96-double": Arm("100k", [320], 2, facts="32", control=0, tokens=2 * FULL),
    },
    "shares": {
        **{f"t{count}": Arm("100k", [160, 480], 2, count) for count in (2, 20)},
        **{f"t{count}-double": Arm("100k", [640], 2, count, tokens=2 * FULL) for count in (20, 2, 10)},
    },
    "optimizer": {
        "rate-low": Arm("100k", [320, 540], 2, rate=0.25),
        "rate-high": Arm("100k", [320, 540], 2, rate=1.0),
        "decay-none": Arm("100k", [320, 540], 2, recipe={"weight_decay": 0.0}),
        "decay-high": Arm("100k", [320, 540], 2, recipe={"weight_decay": 1.0}),
        "constant": Arm("100k", [320, 540], 2, recipe={"least_rate": 1.0}),
        "batch": Arm("100k", [320, 540], 2, batch=1024),
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
            **({"background": str(data / "facts-20.jsonl")} if arm.start else {}),
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
    start: list[object] = ["--sizes", arm.sizes, "--tokenizer", data / "tokenizer"]
    if arm.start:
        base, _, run = arm.start.partition("/")
        start = ["--from", work / part / base / "work" / run / "model"]
    kis(
        "plan", *start, "--frequency", frequencies, "--no-uninfused", "--config", settings, "--text", data / "text.txt",
        "--block", 64, "--tokens", arm.tokens, "--batch-tokens", arm.batch, "--rate", arm.rate, "--saves", 1,
        "--no-time", *["--keep-models"] * arm.keep, "-o", sweep,
    )  # fmt: skip
    if arm.seeds > 1:
        kis("add", sweep, "--sizes", arm.sizes, "--frequency", frequencies, "--seeds", arm.seeds)
    for path in sweep.glob("configs/*/run.yaml"):
        edit(path, "recipe", arm.recipe)
        edit(path.with_name("kis.yaml"), "retention", {"guard": dict(arm.guard)} if arm.guard else {})


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
    subprocess.run([*KIS, *line[1:]], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 (our own program)


def main() -> None:
    """Plan what the command line names."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("part", choices=sorted(ARMS), help="part of the study")
    options.add_argument("work", type=Path, help="folder of prepared data, in which sweeps are planned")
    options.add_argument("--arm", action="append", help="plan this arm alone; repeatable")
    args = options.parse_args()
    for name in args.arm or ARMS[args.part]:
        plan(args.part, name, args.work)


if __name__ == "__main__":
    main()
