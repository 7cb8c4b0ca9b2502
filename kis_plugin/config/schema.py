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
    "general_text": "a file or folder of text",
    "corpus_counts": "what kis count wrote",
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
    template_order: str = "cycle"
    """``cycle``: the exposures of a fact go through its templates in turn; ``first``: all use the first template;
    ``random``: each draws one."""
    max_templates: int | None = None
    """Templates of a fact that are used at most, the first ones; by default all. ``template_order: first`` is 1."""
    loss: str = "all"
    """Which infused tokens are training targets: ``all``, or the ``object``'s only."""
    attention: str = "row"
    """``row``: infused sentences of a row see those before them, parted by EOS; ``sentence``: each sees itself only."""
    chunk_tokens: int | None = None
    """Most tokens of a chunk of a document; by default a document is split only where it is longer than a row."""
    selection: Choice = field(default_factory=lambda: Choice("all"))
    """Which facts or passages are worth their tokens."""
    skip_known: bool = False
    """Probe before the first step; facts that the model knows already get ``known_frequency``."""
    known_frequency: float = 0.0
    """Exposures of a fact that ``skip_known`` found known; needs it, and is at most ``frequency``."""

    @property
    def templates_used(self) -> int | None:
        """Templates of a fact that are used at most; None for all that it has."""
        return 1 if self.template_order == "first" else self.max_templates


@dataclass(frozen=True)
class ProbesConfig:
    """What is asked."""

    facts: int = 1000
    """At most so many infused facts are probed."""
    options: int = 4
    templates_per_fact: int = 1
    """Templates of a probe kind by which each fact is probed, where its relation has that many."""
    kinds: tuple[str, ...] = ("held_out",)
    """Probe kinds of infused facts. ``seen`` is always evaluated beside them; control facts are probed by the first."""


@dataclass(frozen=True)
class GuardConfig:
    """What is done when retention collapses while the run goes on."""

    action: str = "warn"
    """``none``, ``warn``, ``throttle`` (lower the remaining frequency), ``stop_infusing`` or ``stop_training``."""
    min_drop: float = 0.05
    """A fall below the running best by less than this part of its height above chance is no collapse."""
    alpha: float = 0.05
    """Most probability of an alarm in a whole run in which retention never falls."""
    patience: int = 2
    """Evaluations in a row that must show the fall."""
    max_loss_rise: float | None = None
    """Nats by which general loss may rise above its running best; null: it may."""
    throttle_to: float = 0.5
    """Part of the remaining frequency that ``throttle`` leaves."""


@dataclass(frozen=True)
class RetentionConfig:
    """When and how retention is measured."""

    every: float | int = 0.1
    """A fraction of the run (``0.1`` or ``10%``) or a number of steps (``500`` or ``500 steps``). The first and the
    last step are always evaluated."""
    probes: ProbesConfig = field(default_factory=ProbesConfig)
    control: int = 200
    """Facts kept back from infusion, to be asked like the infused ones."""
    by: tuple[str, ...] = ("relation", "domain")
    """What series are broken down by, beside the whole."""
    background: Path | None = None
    """Facts that the base data teaches, in any form that ``knowledge`` takes: what is forgotten."""
    qa: Path | None = None
    """Questions and answers of the user's own, about documents or facts."""
    general_text: Path | None = None
    """Held-out general text whose loss is measured at every evaluation."""
    corpus_counts: Path | None = None
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
