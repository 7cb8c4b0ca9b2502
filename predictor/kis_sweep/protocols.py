"""The protocol of a framework that trains the runs of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from kis_sweep.run_spec import Shape, SweepRun

__all__ = ["Framework"]


@runtime_checkable
class Framework(Protocol):
    """Trains the runs of ``kis sweep``, each in a process of its own; selected by ``--framework <name>``."""

    name: str

    def train(self, run: SweepRun) -> None:
        """Train a run to its end, from its last checkpoint where ``run.work`` holds one.

        Raises:
            KISError: What is wrong with the run's configuration; or the extra that is not installed.
        """

    def seconds_per_step(self, run: SweepRun) -> float:
        """Time a few steps of a run on this machine, and leave nothing behind."""

    def shape_of(self, model: str, sequence_length: int) -> Shape:
        """Return the shape of a trained model that runs with rows of ``sequence_length`` tokens go on from.

        Args:
            model: A folder or a name.
            sequence_length: Tokens of a row.

        Raises:
            KISError: There is no such model, or it is none that this framework's runs can be.
        """
