"""``kis.yaml`` as frozen dataclasses."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from kis_plugin.config.choice import Choice

__all__ = [
    "AMOUNTS", "CHOICES", "DEFAULT_FREQUENCY", "RETENTION_PATHS", "Config", "GuardConfig", "InfusionConfig",
    "ProbesConfig", "RetentionConfig", "is_file_name", "nearest_existing",
]  # fmt: skip

DEFAULT_FREQUENCY = 64.0
AMOUNTS = ("frequency", "share", "tokens")
CHOICES = {"schedule": "schedules", "rendering": "renderers", "selection": "selections"}
"""Keys of ``infusion`` that name something plugins register, with its kind."""
RETENTION_PATHS = {
    "background": "a file or folder of facts",
    "qa": "a file of questions and answers",
    "text": "a file or folder of text",
    "counts": "what kis count wrote",
}
"""Keys of ``retention`` that name a file, and what should be there."""


@dataclass(frozen=True)
class InfusionConfig:
    """How much is infused, and where. Exactly one of the three amounts is set."""

    frequency: float | None = None
    """Exposures per fact in the whole run; 0 infuses nothing (the run to compare with)."""
    share: float | None = None
    """Infused tokens as a fraction of the run's tokens."""
    tokens: int | None = None
    """Infused tokens; ``1.2B`` and the like in the file."""
    placement: str = "rows"
    """``rows``: rows begin with packed sentences; ``inline``: single ones stand between those of the base text."""
    window: tuple[float, float] = (0.0, 1.0)
    """Part of the run that is infused, as fractions of its rows."""
    schedule: Choice = field(default_factory=lambda: Choice("uniform"))
    """How densely each part of the window is infused."""
    rendering: Choice = field(default_factory=lambda: Choice("sentences"))
    """How a fact is worded."""
    templates: str = "rotate"
    """``rotate`` tells a fact in all of its wordings in turn, ``one`` in the first alone, ``random`` in any, drawn anew
    for each exposure."""
    wordings: int | None = None
    """Wordings of a fact that are told at most, the first ones; by default all. ``templates: one`` is 1."""
    loss: str = "all"
    """Which infused tokens are training targets: ``all``, or the ``object``'s only."""
    attention: str = "row"
    """``row``: infused sentences of a row see those before them, parted by EOS; ``sentence``: each sees itself only."""
    chunk: int | None = None
    """Tokens that a document is parted into at most; by default documents stay whole where rows hold them."""
    selection: Choice = field(default_factory=lambda: Choice("all"))
    """Which facts or passages are worth their tokens."""
    skip_known: bool = False
    """Probe before the first step; facts that the model knows already get ``known_frequency``."""
    known_frequency: float = 0.0
    """Exposures of a fact that ``skip_known`` found known; needs it, and is at most ``frequency``."""

    @property
    def most_wordings(self) -> int | None:
        """Wordings that are told at most; None for all that a fact has."""
        return 1 if self.templates == "one" else self.wordings


@dataclass(frozen=True)
class ProbesConfig:
    """What is asked."""

    facts: int = 1000
    """At most so many infused facts are probed."""
    options: int = 4
    wordings: int = 1
    """Sentences of a probe kind in which each fact is asked, as far as its relation has so many."""
    templates: tuple[str, ...] = ("held_out",)
    """Probe kinds asked of infused facts; ``seen`` is always asked beside them, and controls by the first."""


@dataclass(frozen=True)
class GuardConfig:
    """What is done when retention collapses while the run goes on."""

    action: str = "warn"
    """``none``, ``warn``, ``lower`` what is left of the frequency, ``stop_infusing`` or ``stop_training``."""
    drop: float = 0.05
    """A fall below the running best by less than this part of its height above chance is no collapse."""
    false_alarms: float = 0.05
    """Probability of an alarm in a whole run in which retention never falls, at most."""
    patience: int = 2
    """Evaluations in a row that must show the fall."""
    max_loss_rise: float | None = None
    """Nats by which general loss may rise above its running best; null: it may."""
    keep: float = 0.5
    """Part of the remaining frequency that ``lower`` leaves."""


@dataclass(frozen=True)
class RetentionConfig:
    """When and how retention is measured."""

    every: float | int = 0.1
    """A fraction of the run (a number below 1) or a number of steps (a whole number); start and end always."""
    probes: ProbesConfig = field(default_factory=ProbesConfig)
    control: int = 200
    """Facts kept back from infusion, to be asked like the infused ones."""
    by: tuple[str, ...] = ("relation", "domain")
    """What series are broken down by, beside the whole."""
    background: Path | None = None
    """Facts that the base data teaches, in any form that ``knowledge`` takes: what is forgotten."""
    qa: Path | None = None
    """Questions and answers of the user's own, about documents or facts."""
    text: Path | None = None
    """Held-out general text whose loss is measured at every evaluation."""
    counts: Path | None = None
    """What ``kis count`` found: how often the base text tells each fact."""
    max_cost: float | None = None
    """Evaluation takes at most this part of the training time so far; probes are left out to fit."""
    batch_tokens: int | None = None
    """Tokens of one pass; by default what memory takes."""
    guard: GuardConfig = field(default_factory=GuardConfig)


@dataclass(frozen=True)
class Config:
    """All of ``kis.yaml``."""

    knowledge: Path
    """Relative paths are taken from the folder of the file."""
    templates: str | None = None
    infusion: InfusionConfig = field(default_factory=lambda: InfusionConfig(frequency=DEFAULT_FREQUENCY))
    retention: RetentionConfig = field(default_factory=RetentionConfig)
    run_log: Path = Path("runs")
    cache: Path | None = None
    """Where prepared knowledge is kept; by default ``$KIS_CACHE``, else ``~/.cache/kis``."""
    on_mismatch: str = "error"
    """What a resume does that finds other facts, templates, tokenizer, seed or schedule: ``error`` or ``warn``."""
    seed: int = 0
    path: Path | None = None
    """The file this came from; None for one made in code."""


def nearest_existing(path: Path) -> Path:
    """Return ``path``, or of the folders it is to be made in the nearest one that is there."""
    return next((place for place in (path, *path.parents) if os.path.lexists(place)), Path())


def is_file_name(templates: str) -> bool:
    """Return whether ``templates`` names a file, not a set that a plugin registered."""
    return templates.endswith((".yaml", ".yml"))
