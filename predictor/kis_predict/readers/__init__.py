"""The built-in log readers, one format a module."""

from kis_predict.observed import ObservedRun
from kis_predict.readers.csv_table import CSVReader
from kis_predict.readers.foreign import ForeignRun, LeftOut, MapUse
from kis_predict.readers.litgpt_csv import LitGPTReader
from kis_predict.readers.run_log import RunLogReader
from kis_predict.readers.tensorboard import TensorBoardReader
from kis_predict.readers.trainer_state import TrainerStateReader

__all__ = [
    "CSVReader", "ForeignRun", "LeftOut", "LitGPTReader", "MapUse", "ObservedRun", "RunLogReader", "TensorBoardReader",
    "TrainerStateReader",
]  # fmt: skip
