"""LitGPT: ``metrics.csv`` of its CSV logger, one file a start of the run, in ``version_0``, ``version_1`` and so on."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.text_lines import text_lines
from kis_predict.readers.column_mapping import load_mapping, look_up
from kis_predict.readers.evaluation_losses import general_loss_key
from kis_predict.readers.foreign import ForeignRun, LeftOut, last_measured

__all__ = ["LitGPTReader"]

_NAME = "metrics.csv"
_VERSION = re.compile(r"version_(\d{1,9})")
_SEEN = "total_tokens"


class LitGPTReader:
    """Reads what ``litgpt pretrain --logger_name csv`` writes; the versions of one run are merged.

    Retention is the last ``retention/held_out``, general loss the last ``val_loss``, and ``total_tokens`` is how far
    the run went. D is ``train.max_tokens`` of the ``hyperparameters.yaml`` that LitGPT saves with its checkpoints; N
    and F are not in the log.

    Args:
        general_split: The evaluation set whose loss is general loss, where there are several.
    """

    name = "LitGPT metrics.csv"
    names = (_NAME, "hyperparameters.yaml")

    def __init__(self, general_split: str | None = None) -> None:
        self._general_split = general_split

    def with_general_split(self, name: str) -> LitGPTReader:
        """Return a reader that takes general loss from the evaluation set ``name``."""
        return type(self)(name)

    def claims(self, path: Path) -> bool:
        """Return whether it is a ``metrics.csv`` with a column of steps and none of model sizes."""
        if path.name != _NAME or not path.is_file():
            return False
        with path.open("rb") as file:
            first = file.readline(100_000).decode("utf-8", errors="replace")
        columns = {name.strip() for name in first.split(",")}
        return "step" in columns and "params" not in columns

    def together(self, path: Path) -> Path:
        """Return the logger's folder: a resumed run writes a new version into it."""
        return path.parent.parent if _VERSION.fullmatch(path.parent.name) else path.parent

    def read(self, path: Path) -> Iterable[ForeignRun | LeftOut]:
        """Return the run that one file records."""
        return self.read_together([path])

    def read_together(self, paths: Sequence[Path]) -> Iterable[ForeignRun | LeftOut]:
        """Return the run, each value as the latest version has it.

        Raises:
            KISError: A file that cannot be read.
        """
        last: dict[str, object] = {}
        seen, step, measured = 0.0, 0.0, 0.0
        for path in sorted(paths, key=_version):
            for row in _rows(path):
                last |= row
                seen, step = max(seen, _finite(row.get(_SEEN, ""))), max(step, _finite(row.get("step", "")))
                if "retention/held_out" in row:
                    measured = step
        path = max(paths, key=_version)
        if not last:
            return [LeftOut(str(path), "no row in it")]
        # logs/csv/ lies in the folder that `out_dir` names.
        folder = self.together(path)
        out = folder.parent.parent if folder.name == "csv" and folder.parent.name == "logs" else folder
        values: dict[str, object] = {}
        loss, loss_splits = general_loss_key(last, self._general_split)
        for name, key in (("retention", "retention/held_out"), ("loss", loss)):
            if key in last:
                values[name] = last[key]
        stale = last_measured(str(path), measured, step) if "retention" in values else ()
        near = _checkpoint(out)
        budget = _budget(near)
        if budget is not None:
            values["tokens"] = budget
        near_by = () if near is None else (near,)
        return [
            ForeignRun(
                str(path), out, values, last, seen or None, near=near_by, warnings=stale, loss_splits=loss_splits
            )
        ]


def _version(path: Path) -> tuple[int, str]:
    match = _VERSION.fullmatch(path.parent.name)
    return (int(match[1]) if match else -1, str(path))


def _rows(path: Path) -> Iterable[Mapping[str, str]]:
    """Yield the filled cells of each row; a last row that was cut short is ignored."""
    rows = csv.reader(text_lines(path))
    cut: KISError | None = None  # of a row that is too short: no problem if it is the last one
    try:
        header = [name.strip() for name in next(rows, [])]
        for row in rows:
            if cut:
                raise cut
            if len(row) == len(header):
                yield {name: cell.strip() for name, cell in zip(header, row, strict=True) if cell.strip()}
            elif any(row):
                found = f"{len(row)} columns"
                cut = KISError(Problem(f"{path}:{rows.line_num}", found, f"{len(header)}, as the first row has"))
    except csv.Error as error:
        raise KISError(Problem(f"{path}:{rows.line_num}", str(error), "a row of a CSV table")) from error
    except OSError as error:
        raise KISError(Problem(str(path), str(error.strerror or error), "a readable metrics.csv")) from error


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _checkpoint(out: Path) -> Path | None:
    """Return the folder of the last checkpoint, where LitGPT keeps its settings; None if there is none."""
    saved = [*sorted(out.glob("step-*/hyperparameters.yaml")), *out.glob("final/hyperparameters.yaml")]
    return saved[-1].parent if saved else None


def _budget(checkpoint: Path | None) -> object:
    """Return ``train.max_tokens`` as it stands in a checkpoint, None if it does not."""
    tree = load_mapping(checkpoint / "hyperparameters.yaml") if checkpoint else None
    return None if tree is None else look_up("train.max_tokens", tree)
