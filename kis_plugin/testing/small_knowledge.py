"""A few facts, the words of a base text that holds none of them, and a plain count of both in what a model was given.

The words of the base text never stand in a fact, so a fact that is found in a batch was infused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kis_plugin.config.load import config_from, load_config
from kis_plugin.tokenized.infusion_split import InfusionSplit, load_split

__all__ = ["CONTROLS", "FACTS", "WORDS", "controls_shown", "people", "shown", "small_config", "write_facts"]

FACTS = 24
CONTROLS = 4
WORDS = (
    "river", "stone", "cloud", "meadow", "lantern", "copper", "willow", "harbor", "thunder", "velvet", "saddle",
    "orchard",
)  # fmt: skip


def people(count: int = FACTS, **keys: Any) -> list[dict[str, Any]]:
    """Return facts on where people were born, in eight towns."""
    return [{"subject": f"Person{n}", "relation": "P19", "object": f"Town{n % 8}", **keys} for n in range(count)]


def write_facts(folder: Path, facts: Sequence[Mapping[str, Any]] | None = None) -> Path:
    """Write ``facts.jsonl``, by default of ``people()``, and return its path."""
    path = folder / "facts.jsonl"
    path.write_text("".join(json.dumps(fact) + "\n" for fact in (people() if facts is None else facts)))
    return path


def small_config(folder: Path, frequency: float = 3, **keys: Any) -> dict[str, Any]:
    """Return a configuration as a mapping, with 20 infused facts and 4 controls; facts are written if there are none.

    Args:
        folder: Of the facts and of the run logs.
        frequency: Exposures of a fact.
        keys: Of the configuration; the sections ``infusion`` and ``retention`` are added to.
    """
    infusion = {"frequency": frequency, **keys.pop("infusion", {})}
    retention = {"every": 0.5, "control": CONTROLS, "probes": {"facts": 16}, **keys.pop("retention", {})}
    folder.mkdir(parents=True, exist_ok=True)
    facts = folder / "facts.jsonl"
    return {
        "knowledge": str(facts if facts.exists() else write_facts(folder)),
        "infusion": infusion,
        "retention": retention,
        "run_log": str(folder / "runs"),
        "seed": 0,
        **keys,
    }


def shown(text: Sequence[str], config: Mapping[str, Any] | Path, eos: str = "<eos>") -> dict[str, int]:
    """Return how often each infused fact's whole sentences, each ended by ``eos``, stand in rows of text.

    Found by plain search: nothing of the plan is used, only the facts and their templates.
    """
    split = _split(config)
    sentences = Counter(sentence for row in text for sentence in row.split(eos)[:-1])
    return {
        fact.subject: sum(
            sentences[template.format(subject=fact.subject, object=fact.object)]
            for template in split.book.of(fact.relation).trained
        )
        for fact in split.facts
    }


def controls_shown(text: Sequence[str], config: Mapping[str, Any] | Path) -> dict[str, int]:
    """Return in how many rows of text each control fact's subject stands; it should be none."""
    split = _split(config)
    names = [split.knowledge.facts[index].subject for index in split.control.tolist()]
    assert names, "the configuration has no controls"
    return {name: sum(f"{name} " in row for row in text) for name in names}


def _split(config: Mapping[str, Any] | Path) -> InfusionSplit:
    return load_split(load_config(config) if isinstance(config, Path) else config_from(config))
