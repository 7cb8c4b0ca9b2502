"""The kis.yaml of a new project, with the keys that are changed first and what they mean."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

__all__ = ["EVERY", "FREQUENCY", "configuration"]

FREQUENCY = 500
"""Exposures of each fact: as many as a model of a quarter of a million parameters needs in a run of minutes
(``docs/tutorial/first-infusion.md``). Larger models need fewer."""
EVERY = 0.1


def configuration(knowledge: str, columns: Mapping[str, str], every: float = EVERY) -> str:
    """Return the text of the file.

    Args:
        knowledge: Path of the facts from the project's folder.
        columns: Columns of a table by part, where they are not named as KIS names them.
        every: The fraction of the run between two evaluations.
    """
    mapped = f"columns: {yaml.safe_dump(dict(columns), default_flow_style=True, width=1000, sort_keys=False)}"
    return f"""\
# What a run infuses and measures. kis check kis.yaml says whether it is right; kis schema makes your editor complete it
{yaml.safe_dump({"knowledge": knowledge}, width=1000, allow_unicode=True).strip()}
{mapped if columns else ""}templates: templates.yaml

infusion:
  frequency: {FREQUENCY}        # exposures of each fact in the whole run, exact. Or share: 0.05, or tokens: 1.2B
  # template_order: cycle      # each exposure takes the next of a fact's training sentences

retention:
  every: {every:g}             # measured at every tenth of the run, at its start and at its end
  control: 200           # facts that are never shown, at most a fifth: how well can they be guessed?
  probes:
    facts: 1000          # facts that are probed, at most
    options: 4           # answers to choose from: chance is 1 in 4
    templates_per_fact: 4  # held-out sentences by which each fact is probed
  # guard: {{action: stop_infusing}}   # what to do when retention collapses; by default it is only reported

run_log: runs            # one folder for each run
seed: 0
"""
