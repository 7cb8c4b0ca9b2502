"""Runs and answers as scripts and notebooks get them: they show themselves, and hand on their numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kis_predict import observed, prediction

if TYPE_CHECKING:
    import pandas

__all__ = ["Prediction", "Runs"]


@dataclass(frozen=True)
class Runs(observed.RunSequence):
    """The runs of a sweep, with what was noticed while they were read.

    Attributes:
        runs: In the order of places and then of paths; those that had to be completed from other files last.
        notes: What was left out or assumed on the way, one line for each reason.
    """

    def to_frame(self) -> pandas.DataFrame:
        """Return a table with one row for each run and the fields of ``ObservedRun`` as columns.

        Raises:
            KISError: pandas is not installed.
        """
        from kis_predict.report.frames import frame_of

        columns = [name for name in observed.ObservedRun.__dataclass_fields__ if name != "warnings"]
        return frame_of([asdict(run) for run in self.runs], columns)

    def _repr_html_(self) -> str:
        from kis_predict.report.notebook import runs_html

        return runs_html(self)


@dataclass(frozen=True)
class Prediction(prediction.Prediction):
    """The whole answer. If ``insufficient``, there is no number, and ``missing`` names the runs that would give one."""

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain dicts, lists, strings, numbers and None: what ``--json`` prints."""
        from kis_predict.report.as_json import as_object

        return as_object(self)

    def to_frame(self) -> pandas.DataFrame:
        """Return the estimates as a table, one row for each size and budget: the ``groups`` of ``to_dict``.

        Raises:
            KISError: pandas is not installed.
        """
        from kis_predict.report.frames import frame_of

        return frame_of(self.to_dict()["groups"])

    def _repr_html_(self) -> str:
        from kis_predict.report.notebook import prediction_html

        return prediction_html(self)
