"""Plan the sweeps on number of facts, templates and acting guards: one for each arm, by ``kis sweep plan``.

    python -m studies.second_round.plan work
    kis sweep run work/counts/facts-100

Data are written to ``work/data``. The commands are printed as they are run.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from studies.collapse.plan import ACTIONS, BEYOND, DATA, HELD_BACK, PEAK, ROOT, SEEDS, TOKENS, prepare
from studies.fictional.plan import edit, kis
from studies.five_templates.facts import drawn

__all__ = ["ARMS", "CORE", "Arm", "data"]

CORE = "Core"
"""Domain of the hundred facts that are in every set, by which retention is broken down."""
HALF, WHOLE, TWICE = "facts-100", "facts-200", "facts-400"
"""Sets of facts, each a part of the next."""
SUFFIXES = {CORE: "", "Second": "b", "Third": "c"}
"""What each part of the facts adds to the names of its relations: it has distractors and a domain of its own."""
MIDDLE, LARGE = "480k", "700k"  # 474,320 and 687,120 parameters


@dataclass(frozen=True)
class Arm:
    """The runs of one setting.

    Attributes:
        size: Model size, as ``kis sweep plan --sizes`` takes it.
        frequencies: Exposures per fact.
        seeds: Runs of each frequency.
        facts: Name of the set of facts.
        templates: Training templates of a fact.
        every: Evaluation interval.
        guard: What is edited in the guard of each run's ``kis.yaml``.
        recipe: What is edited in the recipe of each run's ``run.yaml``.
    """

    size: str
    frequencies: Sequence[int]
    seeds: int = 2
    facts: str = WHOLE
    templates: int = 10
    every: float = 0.2
    guard: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)


ARMS: Mapping[str, Arm] = {
    **{
        f"guard/{action}-{size}": Arm(size, [BEYOND], SEEDS, every=0.1, guard={"action": action})
        for action in ("warn", *ACTIONS)
        for size in (MIDDLE, LARGE)
    },
    f"guard/fixed-{MIDDLE}": Arm(MIDDLE, [PEAK], SEEDS),
    f"guard/fixed-{LARGE}": Arm(LARGE, [155], SEEDS),
    f"counts/{HALF}": Arm(MIDDLE, [402, 804], facts=HALF),
    f"counts/{TWICE}": Arm(MIDDLE, [99, 201], facts=TWICE),
    "templates/t5": Arm(MIDDLE, [PEAK, BEYOND], templates=5),
    "templates/t20": Arm(MIDDLE, [PEAK, BEYOND], templates=20),
    "most/t20": Arm(MIDDLE, [500], templates=20),
    "most/t10": Arm(MIDDLE, [500]),
    "larger/t20": Arm(LARGE, [BEYOND], templates=20),
    "optimizer/decay-high": Arm(MIDDLE, [PEAK, BEYOND], recipe={"weight_decay": 1.0}),
}
"""By name of their sweep. ``fixed`` and ``warn``, with 200 facts and ten templates, are the baseline of the others."""


def data(folder: Path) -> None:
    """Write the sets of facts, those held back, 40 templates a relation, and the base text.

    The core is every second of the 200 facts of ``studies.collapse``, the second part the others. The third part is 200
    facts beside the 240 of the law's study.
    """
    prepare(folder)
    whole = (folder / "facts.jsonl").read_text("utf-8").splitlines()
    shipped = (ROOT / "studies" / "law" / "facts.jsonl").read_text("utf-8").splitlines()
    parts = {CORE: whole[::2], "Second": whole[1::2], "Third": _beside(shipped)}
    lines: list[str] = []
    for name, part in zip((HALF, WHOLE, TWICE), parts, strict=True):
        for line in parts[part]:
            fact = json.loads(line)
            lines.append(json.dumps({**fact, "relation": fact["relation"] + SUFFIXES[part]}, ensure_ascii=False))
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    templates = yaml.safe_load((folder / "templates.yaml").read_text("utf-8"))
    more = yaml.safe_load((Path(__file__).parent / "more_templates.yaml").read_text("utf-8"))
    written: dict[str, Any] = {}
    for relation, added in more.items():
        first, held_out = _halves(templates[relation]["statements"])
        trained, probed = _halves(added)
        label, statements = templates[relation]["label"], [*first, *trained, *held_out, *probed]
        for part, suffix in SUFFIXES.items():
            written[relation + suffix] = {"label": label, "domain": part, "statements": list(statements)}
    (folder / "templates.yaml").write_text(yaml.safe_dump(written, sort_keys=False), encoding="utf-8")


def _beside(shipped: Sequence[str]) -> list[str]:
    """Return 200 facts that are not among those given, of as many relations, chosen as these were."""
    left = [line for line in drawn(80) if line not in shipped]
    of_each = defaultdict[str, list[str]](list)
    for line in left:
        of_each[json.loads(line)["relation"]].append(line)
    chosen = [line for lines in of_each.values() for line in lines[: len(shipped) // len(of_each)]]
    return [line for place, line in enumerate(chosen, 1) if place % HELD_BACK]


def _halves(statements: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return those that may be trained on, and those that are held out."""
    middle = len(statements) // 2
    return statements[:middle], statements[middle:]


def config(arm: Arm, folder: Path) -> dict[str, Any]:
    """Return the ``kis.yaml`` that the runs of an arm share."""
    return {
        "knowledge": str(folder / f"{arm.facts}.jsonl"),
        "templates": str(folder / "templates.yaml"),
        "infusion": {"template_order": "cycle", "max_templates": arm.templates},
        "retention": {
            "every": arm.every,
            "control": 0,
            "background": str(folder / "held-back.jsonl"),
            "probes": {"facts": 1000, "options": 4, "templates_per_fact": 10, "kinds": "held_out"},
        },
    }


def plan(name: str, work: Path) -> None:
    """Plan the sweep of an arm in ``work/NAME``; nothing is done where it is planned already."""
    arm, sweep, folder = ARMS[name], work / name, (work / "data").resolve()
    if sweep.exists():
        return
    settings = sweep.with_suffix(".yaml")
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(yaml.safe_dump(config(arm, folder), sort_keys=False), encoding="utf-8")
    frequencies = ",".join(map(str, arm.frequencies))
    kis(
        "plan", "--sizes", arm.size, "--frequency", frequencies, "--no-uninfused", "--config", settings, "--text",
        folder / "first.txt", "--held-out-text", DATA / "heldout.txt.xz", "--vocabulary", 2048, "--block", 128,
        "--batch-tokens", 1024, "--tokens", TOKENS, "--saves", 10, "--no-time", "-o", sweep,
    )  # fmt: skip
    kis("add", sweep, "--frequency", frequencies, "--seeds", arm.seeds)
    for path in sweep.glob("configs/*/kis.yaml"):
        edit(path, "retention", {"guard": dict(arm.guard)} if arm.guard else {})
        edit(path.with_name("run.yaml"), "recipe", arm.recipe)


def main() -> None:
    """Prepare and plan what is not there yet."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("work", type=Path, help="folder of data and sweeps")
    work: Path = options.parse_args().work
    if not (work / "data").exists():
        data(work / "data")
    for name in ARMS:
        plan(name, work)


if __name__ == "__main__":
    main()
