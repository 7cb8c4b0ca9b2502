"""TensorBoard event files, without TensorFlow: TFRecord framing here, the messages by tensorboardX (MIT, 90 kB).

A record is its length (uint64), the masked CRC-32C of those 8 bytes (uint32), the data and the masked CRC-32C of the
data, all little-endian (tensorflow/core/lib/io/record_writer.h).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_predict.readers.evaluation_losses import general_loss_key
from kis_predict.readers.foreign import ForeignRun, LeftOut, last_measured

__all__ = ["TensorBoardReader"]

_RETENTION = ("retention/held_out", "train/retention/held_out")  # the Trainer puts train/ before what it does not know
_SEEN = ("total_tokens", "train/num_input_tokens_seen")
_VERSION = re.compile(r"version_\d{1,9}")
_LARGEST = 256 * 2**20
_FLOAT, _DOUBLE = 1, 2  # DataType of a tensor


class TensorBoardReader:
    """Reads scalars from ``events.out.tfevents.*``; the files of one folder are one run, in the order of their steps.

    Retention is the last ``retention/held_out``, general loss the last ``eval/loss`` or ``val_loss``. All else comes
    from ``--map`` or from files next to the log. Needs the extra ``kis-plugin[tensorboard]``.

    Args:
        general_split: The evaluation set whose loss is general loss, where there are several (``eval/wiki_loss``).
    """

    name = "TensorBoard"
    names = ("*.tfevents.*",)

    def __init__(self, general_split: str | None = None) -> None:
        self._general_split = general_split

    def with_general_split(self, name: str) -> TensorBoardReader:
        """Return a reader that takes general loss from the evaluation set ``name``."""
        return type(self)(name)

    def claims(self, path: Path) -> bool:
        """Return whether it is named as event files are."""
        return ".tfevents." in path.name and path.is_file()

    def together(self, path: Path) -> Path:
        """Return the run's folder. A resumed run adds a file to it, or a folder in LitGPT's and the Trainer's way."""
        folder = path.parent
        if _VERSION.fullmatch(folder.name):
            return folder.parent
        if folder.parent.name == "runs" and any(folder.parent.parent.glob("checkpoint-*")):
            return folder.parent.parent
        return folder

    def read(self, path: Path) -> Iterable[ForeignRun | LeftOut]:
        """Return the run that one file records."""
        return self.read_together([path])

    def read_together(self, paths: Sequence[Path]) -> Iterable[ForeignRun | LeftOut]:
        """Return the run; of each tag the value at its greatest step, a later file's before an earlier one's.

        Raises:
            KISError: A file that cannot be read, or is none of events.
        """
        if find_spec("tensorboardX") is None:
            reason = "TensorBoard's, which needs pip install 'kis-plugin[tensorboard]'"
            return [LeftOut(str(path), reason) for path in paths]
        last: dict[str, tuple[int, float]] = {}
        warnings: list[str] = []
        for path in sorted(paths):
            for tag, step, value in _scalars(path, warnings):
                if step >= last.get(tag, (step, 0.0))[0]:
                    last[tag] = (step, value)
        if not last:
            return [LeftOut(str(paths[-1]), "no scalar in it")]
        values: dict[str, object] = {}
        loss, loss_splits = general_loss_key(last, self._general_split)
        for name, tags in (("retention", _RETENTION), ("loss", (loss,) if loss else ())):
            for tag in tags:
                if tag in last:
                    values.setdefault(name, last[tag][1])
        path = max(paths)
        end = max(step for step, _ in last.values())
        measured = [last[tag][0] for tag in _RETENTION if tag in last]
        stale = last_measured(str(path), max(measured), end) if measured else ()
        tree = {tag: value for tag, (_, value) in last.items()}
        counts = [last[tag][1] for tag in _SEEN if tag in last]
        seen = max((count for count in counts if math.isfinite(count)), default=None)
        return [
            ForeignRun(
                str(path), self.together(path), values, tree, seen, warnings=(*warnings, *stale),
                loss_splits=loss_splits,
            )
        ]  # fmt: skip


def _scalars(path: Path, warnings: list[str]) -> Iterator[tuple[str, int, float]]:
    """Yield (tag, step, value) in file order."""
    decode_error = import_module("google.protobuf.message").DecodeError
    event_type = import_module("tensorboardX.proto.event_pb2").Event
    for at, data in _records(path, warnings):
        try:
            event = event_type.FromString(data)
        except decode_error as error:
            raise KISError(Problem(f"{path} byte {at}", f"no event ({error})", "one of TensorBoard's")) from error
        for value in event.summary.value:
            number = _number(value)
            if number is not None:
                yield value.tag, event.step, number


def _number(value: Any) -> float | None:
    """Return the scalar of a summary value: the old form, or a tensor of one float as newer writers do."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if not value.HasField("tensor") or any(size.size != 1 for size in value.tensor.tensor_shape.dim):
        return None
    tensor = value.tensor
    for kind, held, code, size in (
        (_FLOAT, tensor.float_val, "<f", 4),
        (_DOUBLE, tensor.double_val, "<d", 8),
    ):
        if tensor.dtype == kind:
            if len(held) == 1:
                return float(held[0])
            content = tensor.tensor_content
            return float(struct.unpack(code, content)[0]) if len(content) == size else None
    return None


def _records(path: Path, warnings: list[str]) -> Iterator[tuple[int, bytes]]:
    """Yield each record with its place; a last one that was cut short is warned of and left out."""
    at = 0
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            while at < size:
                head = file.read(12)
                length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
                if len(head) == 12 and _masked_crc(head[:8]) != struct.unpack("<I", head[8:])[0]:
                    raise KISError(Problem(f"{path} byte {at}", "a wrong checksum", "a record of TensorBoard's"))
                if len(head) < 12 or at + 16 + length > size:
                    warnings.append(f"{path}: last record is torn and was left out")
                    return
                if length > _LARGEST:
                    raise KISError(Problem(f"{path} byte {at}", f"a record of {length:,} bytes", "a smaller one"))
                data, check = file.read(length), file.read(4)
                if _masked_crc(data) != struct.unpack("<I", check)[0]:
                    raise KISError(Problem(f"{path} byte {at}", "a wrong checksum", "a record of TensorBoard's"))
                yield at, data
                at += 16 + length
    except OSError as error:
        raise KISError(Problem(str(path), str(error.strerror or error), "a readable event file")) from error


def _masked_crc(data: bytes) -> int:
    crc = int(import_module("tensorboardX.crc32c").crc32c(data))
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
