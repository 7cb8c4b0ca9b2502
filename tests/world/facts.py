"""A few facts, the words of a base text that holds none of them, and a plain count of both in what a model was given.

The words of the base text never stand in a fact, so that a fact found in a batch was infused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kis_plugin.config.load import config_from, load_config
from kis_plugin.tokenized.infusion_split import InfusionSplit, load_split

FACTS = 24
WORDS = [
    "river",
    "stone",
    "cloud",
    "meadow",
    "lantern",
    "copper",
    "willow",
    "harbor",
    "thunder",
    "velvet",
    "saddle",
    "orchard",
]


def people(count: int = FACTS, **keys: Any) -> list[dict[str, Any]]:
    """Facts on where people were born, in eight towns."""
    return [{"subject": f"Person{n}", "relation": "P19", "object": f"Town{n % 8}", **keys} for n in range(count)]


def write_facts(folder: Path, facts: Sequence[Mapping[str, Any]] | None = None) -> Path:
    path = folder / "facts.jsonl"
    path.write_text("".join(json.dumps(fact) + "\n" for fact in (people() if facts is None else facts)))
    return path


def kis(folder: Path, frequency: float = 3, **keys: Any) -> dict[str, Any]:
    """A configuration as a mapping; facts are written where there are none. Sections given are added to."""
    infusion = {"frequency": frequency, **keys.pop("infusion", {})}
    retention = {"every": 0.5, "control": 4, "probes": {"facts": 16}, **keys.pop("retention", {})}
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


def shown(text: Sequence[str], config: Mapping[str, Any] | Path) -> dict[str, int]:
    """How often each infused fact's whole sentences, ended by ``<eos>``, stand in rows of text: by plain search."""
    split = _split(config)
    sentences = Counter(sentence for row in text for sentence in row.split("<eos>")[:-1])
    return {
        fact.subject: sum(
            sentences[template.format(subject=fact.subject, object=fact.object)]
            for template in split.book.of(fact.relation).trained
        )
        for fact in split.facts
    }


def controls_shown(text: Sequence[str], config: Mapping[str, Any] | Path) -> dict[str, int]:
    """In how many rows of text each control fact's subject stands."""
    split = _split(config)
    names = [split.knowledge.facts[index].subject for index in split.control.tolist()]
    assert names
    return {name: sum(f"{name} " in row for row in text) for name in names}


def _split(config: Mapping[str, Any] | Path) -> InfusionSplit:
    return load_split(load_config(config) if isinstance(config, Path) else config_from(config))
