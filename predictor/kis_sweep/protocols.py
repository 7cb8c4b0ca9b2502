"""The protocol of a framework that trains the runs of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from kis_sweep.run_spec import Shape, SweepRun

__all__ = ["Framework"]


@runtime_checkable
class Framework(Protocol):
    """Trains the runs of ``kis sweep``, each in a separate process; selected by ``--framework <name>``."""

    name: str

    def train(self, run: SweepRun) -> None:
        """Train a run to its end, from its last checkpoint where ``run.work`` holds one.

        Raises:
            KISError: The run's configuration is wrong, or a required extra is not installed.
        """

    def seconds_per_step(self, run: SweepRun) -> float:
        """Return the seconds per step of a run, timed over a few steps on this machine; leaves no files behind."""

    def shape_of(self, model: str, sequence_length: int) -> Shape:
        """Return the shape of a trained model from which runs with rows of ``sequence_length`` tokens continue.

        Args:
            model: Folder or name of the model.
            sequence_length: Tokens of a row.

        Raises:
            KISError: The model does not exist, or this framework cannot train its architecture.
        """
