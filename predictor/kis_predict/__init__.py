"""kis-predict: how much domain knowledge a large model takes, learnt from a sweep of small ones, without torch.

>>> import kis_predict
>>> runs = kis_predict.read_runs("runs/")  # doctest: +SKIP
>>> kis_predict.predict(runs, target="7B", tokens="140B")  # doctest: +SKIP

In a notebook the result shows itself; ``to_dict`` and ``to_frame`` hand its numbers on. Imports wait until a name is
used, so that ``kis-predict --help`` answers at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kis_predict.api import predict, read_runs
    from kis_predict.observed import ObservedRun
    from kis_predict.protocols import Law, LogReader
    from kis_predict.readers.foreign import ForeignRun, LeftOut, MapUse
    from kis_predict.results import Prediction, Runs

__all__ = [
    "ForeignRun", "Law", "LeftOut", "LogReader", "MapUse", "ObservedRun", "Prediction", "Runs", "predict", "read_runs",
]  # fmt: skip

_HOMES = {
    "predict": "api", "read_runs": "api", "Prediction": "results", "ObservedRun": "observed", "Runs": "results",
    "Law": "protocols", "LogReader": "protocols",
    "ForeignRun": "readers.foreign", "LeftOut": "readers.foreign", "MapUse": "readers.foreign",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
