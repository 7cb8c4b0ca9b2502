"""The kis.yaml of a new project, with the keys that are changed first and what they mean."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from kis_plugin.amounts import short
from kis_plugin.starter.amount import LEAST_EXPOSURES, MOST_EXPOSURES, RUN_TOKENS, SHARE

__all__ = ["EVERY", "configuration"]

EVERY = 0.1


def configuration(
    knowledge: str, columns: Mapping[str, str], facts: int, exposures: int, infused_tokens: int, every: float = EVERY
) -> str:
    """Return the text of the file.

    Args:
        knowledge: Path of the facts from the project's folder.
        columns: Columns of a table by part, where they are not named as KIS names them.
        facts: Their number.
        exposures: Of each fact.
        infused_tokens: Of all exposures, about.
        every: The fraction of the run between two evaluations.
    """
    mapped = f"columns: {yaml.safe_dump(dict(columns), default_flow_style=True, width=1000, sort_keys=False)}"
    return f"""\
# What a run infuses and measures. kis check kis.yaml says whether it is right; kis schema makes your editor complete it
{yaml.safe_dump({"knowledge": knowledge}, width=1000, allow_unicode=True).strip()}
{mapped if columns else ""}templates: templates.yaml

infusion:
  frequency: {exposures}        # exposures of each fact in the whole run, exact. Or share: 0.05, or tokens: 1.2B
  # {_taken(facts, infused_tokens)} {_why(exposures)}
  # template_order: cycle      # each exposure takes the next of a fact's training sentences

retention:
  every: {every:g}             # measured at every tenth of the run, at its start and at its end
  control: 200           # facts that are never shown, at most a fifth: how well can they be guessed?
  probes:
    facts: 1000          # facts that are probed, at most
    options: 4           # answers to choose from: chance is 1 in 4
    templates_per_fact: 4  # held-out sentences by which each fact is probed
  # guard: {{action: throttle}}   # what to do when retention collapses; by default it is only reported

run_log: runs            # one folder for each run
seed: 0
"""


def _taken(facts: int, tokens: int) -> str:
    """Return what the exposures of all facts take, with two digits."""
    rounded = short(round(tokens, 2 - len(str(tokens))))
    taken = f"{facts:,} fact{' takes' if facts == 1 else 's take'} about {rounded} tokens"
    return f"{taken} so, at most {SHARE} of the run."


def _why(exposures: int) -> str:
    """Return why there are so many, and what else to choose."""
    if exposures == MOST_EXPOSURES:
        return "Small models need many; larger ones fewer."
    if exposures == LEAST_EXPOSURES:
        return "With fewer, small models of the studies learned nothing."
    return f"As many as fit a run of {short(RUN_TOKENS)} tokens; fewer facts may have more."
