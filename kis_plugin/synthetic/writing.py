"""Writes the folder of ``kis synth``: facts, templates, a configuration and what they contain."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from kis_plugin.knowledge.capacity import BITS_PER_PARAMETER, least_parameters
from kis_plugin.storage.atomic_write import Content, write_atomically
from kis_plugin.storage.new_folder import new_folder
from kis_plugin.synthetic.domains import Domain, read_domain
from kis_plugin.synthetic.names import invented_names

__all__ = ["SynthReport", "write_synthetic"]

_REPORT_EVERY = 1000  # entities between two reports of progress
_FREQUENCY = 100


@dataclass(frozen=True)
class SynthReport:
    """What was written.

    Attributes:
        folder: The new folder.
        domain: ``people`` or ``companies``.
        count: Entities.
        facts: Facts about them.
        seed: The seed.
        bits: Information of each fact in bits, by relation.
        options: Objects of each relation.
        total_bits: Information of all facts in bits.
        files: Files in the folder.
    """

    folder: str
    domain: str
    count: int
    facts: int
    seed: int
    bits: dict[str, float]
    options: dict[str, int]
    total_bits: float
    files: tuple[str, ...]


def write_synthetic(
    name: str, count: int, seed: int, folder: Path, watch: Callable[[int], None] = lambda done: None
) -> SynthReport:
    """Write a folder of facts about fictional entities: all of it or nothing.

    Facts are written as they are made, so the memory needed is that of a few arrays of ``count`` integers.

    Args:
        name: One of ``DOMAINS``.
        count: Entities.
        seed: The same seed and count give the same bytes.
        folder: A new or empty folder.
        watch: Called with the number of entities written so far.

    Raises:
        KISError: The folder holds something, or cannot be written.
    """
    domain = read_domain(name)
    report = SynthReport(
        folder=str(folder),
        domain=name,
        count=count,
        facts=count * len(domain.attributes),
        seed=seed,
        bits={attribute.relation: attribute.bits(count) for attribute in domain.attributes},
        options={attribute.relation: len(attribute.objects) for attribute in domain.attributes},
        total_bits=domain.bits(count),
        files=("facts.jsonl", "templates.yaml", "kis.yaml", "README.md"),
    )

    def write_facts(file: BinaryIO) -> None:
        for number, lines in enumerate(_facts(domain, count, seed)):
            if number % _REPORT_EVERY == 0:
                watch(number)
            file.write(lines.encode())
        watch(count)

    contents: tuple[Content, ...] = (write_facts, _templates(domain), _configuration(report), _readme(report))
    with new_folder(folder, "--output") as draft:
        for file, content in zip(report.files, contents, strict=True):
            write_atomically(draft / file, content)
    return report


def _facts(domain: Domain, count: int, seed: int) -> Iterator[str]:
    """Yield the lines of each entity."""
    assigned = [attribute.assigned(count, seed, number) for number, attribute in enumerate(domain.attributes)]
    heads = [json.dumps(attribute.relation) for attribute in domain.attributes]
    objects = [[json.dumps(name) for name in attribute.objects] for attribute in domain.attributes]
    for number, subject in enumerate(invented_names(count, domain.between, seed)):
        named = json.dumps(subject)
        yield "".join(
            f'{{"subject": {named}, "relation": {head}, "object": {names[one[number]]}}}\n'
            for head, names, one in zip(heads, objects, assigned, strict=True)
        )


def _templates(domain: Domain) -> str:
    first = "# The first half of the statements of a relation may be trained on, the second half is kept for probes.\n"
    entries: dict[str, Any] = {attribute.relation: attribute.templates for attribute in domain.attributes}
    return first + yaml.safe_dump(entries, sort_keys=False, width=1000)


def _configuration(report: SynthReport) -> str:
    return f"""\
# What a run infuses and measures. kis check kis.yaml reads it as a run would.
knowledge: facts.jsonl
templates: templates.yaml
infusion:
  frequency: {_FREQUENCY}         # exposures of each fact in the whole run
retention:
  every: 0.1             # a tenth of the run; start and end always
  control: 200           # facts that are never shown, at most a fifth
  probes: {{facts: 1000, options: 4}}
run_log: runs
seed: {report.seed}
"""


def _readme(report: SynthReport) -> str:
    rows = "\n".join(
        f"| `{relation}` | {report.options[relation]:,} | {bits:.3f} |" for relation, bits in report.bits.items()
    )
    entity = report.total_bits / report.count
    return f"""\
# {report.count:,} fictional {report.domain}

Made by `kis synth {report.domain} --count {report.count} --seed {report.seed}`. The same command gives the same bytes.
The names are invented, so no model knows anything of these facts from elsewhere. The idea is that of the bioS data of
Allen-Zhu and Li (arXiv 2309.14316); names, attributes and sentences are KIS's own.

| attribute | objects | bits a fact |
| --- | --- | --- |
{rows}

The facts about one of the {report.domain} have {entity:.3f} bits. All {report.facts:,} facts have
{report.total_bits:,.0f} bits. A model stores up to about {BITS_PER_PARAMETER:g} bits a parameter (Allen-Zhu and Li,
arXiv 2404.05405), so one that is to retain everything needs at least {least_parameters(report.total_bits):,.0f}
parameters.

- **Objects are uniform.** The frequencies of any two objects of an attribute differ by at most one, and all such
  assignments are equally likely. The bits of a fact are log2 of their number, divided by the number of entities.
- **Chance is exact.** A probe with k options is answered by guessing with probability 1 / k: every option of a set is
  right exactly once.
- **Nothing leaks.** Attributes are independent of each other and of the names.
- **40 sentences an attribute**, in `templates.yaml`. The first 20 are trained on. The other 20 are held out for probes.
"""
