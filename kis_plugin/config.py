"""``kis.yaml`` as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Config", "InfusionConfig", "ProbesConfig", "RetentionConfig", "load_config"]


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
    window: tuple[float, float] = (0.0, 1.0)
    """Part of the run that is infused, as fractions of its rows."""
    schedule: str = "uniform"


@dataclass(frozen=True)
class ProbesConfig:
    """What is asked."""

    facts: int = 1000
    """At most so many infused facts are probed."""
    options: int = 4
    templates: tuple[str, ...] = ("held_out",)
    """Probe kinds asked of infused facts; ``seen`` is always asked beside them, and controls by the first."""


@dataclass(frozen=True)
class RetentionConfig:
    """When and how retention is measured."""

    every: float | int = 0.1
    """A fraction of the run (a number below 1) or a number of steps (a whole number); start and end always."""
    probes: ProbesConfig = field(default_factory=ProbesConfig)
    control: int = 200
    """Facts kept back from infusion, to be asked like the infused ones."""


@dataclass(frozen=True)
class Config:
    """All of ``kis.yaml``."""

    knowledge: Path
    """Relative paths are taken from the folder of the file."""
    templates: str | None = None
    infusion: InfusionConfig = field(default_factory=lambda: InfusionConfig(frequency=64.0))
    retention: RetentionConfig = field(default_factory=RetentionConfig)
    run_log: Path = Path("runs")
    seed: int = 0
    path: Path | None = None
    """The file this came from; None for one made in code."""


def load_config(path: Path) -> Config:
    """Read ``kis.yaml``."""
    raise NotImplementedError
