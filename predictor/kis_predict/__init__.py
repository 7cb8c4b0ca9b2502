"""kis-predict: how much domain knowledge a large model takes, learnt from a sweep of small ones, without torch.

>>> import kis_predict
>>> runs = kis_predict.read_runs("runs/")  # doctest: +SKIP
>>> kis_predict.predict(runs, target="7B", tokens="140B")  # doctest: +SKIP

In a notebook the result shows itself; ``to_dict`` and ``to_frame`` hand its numbers on. Imports wait until a name is
used, so that ``kis-predict --help`` answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kis_plugin.lazy_names import lazy_names

if TYPE_CHECKING:
    from kis_predict.api import predict, read_runs
    from kis_predict.observed import ObservedRun
    from kis_predict.protocols import Law, LogReader
    from kis_predict.readers.foreign import ForeignRun, LeftOut, MapUse
    from kis_predict.results import Prediction, Runs

__all__ = [
    "ForeignRun", "Law", "LeftOut", "LogReader", "MapUse", "ObservedRun", "Prediction", "Runs", "predict", "read_runs",
]  # fmt: skip

_NAMES = {
    ".api": ("predict", "read_runs"),
    ".observed": ("ObservedRun",),
    ".protocols": ("Law", "LogReader"),
    ".readers.foreign": ("ForeignRun", "LeftOut", "MapUse"),
    ".results": ("Prediction", "Runs"),
}
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
