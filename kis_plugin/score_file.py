"""What ``kis score`` writes and the selection ``difference`` reads: how likely two models find each fact or passage.

A JSONL file. The first line says what was scored; each of the others scores one entry, in the knowledge's order::

    {"type": "scores", "schema": 1, "unit": "nats per byte", "small": "gpt2", "large": "gpt2-xl", ...}
    {"id": "P19:1", "small": 0.91, "large": 0.62, "gap": 0.29, "tokens": [9, 9], "bytes": 35, "key": "5d41402abc4b2a76"}

Losses are per UTF-8 byte of the text: per token they could not be compared between tokenizers, and summed they would
rank long texts first. ``loss * bytes / tokens`` is the mean token loss.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge import Fact, Passage

__all__ = ["Score", "Scores", "entry_key", "entry_name", "read_scores", "scored_ids", "write_scores"]

SCHEMA = 1
UNIT = "nats per byte"


@dataclass(frozen=True)
class Score:
    """One entry's losses.

    Attributes:
        id: The fact's or passage's.
        small: Loss under the small model, nats per byte.
        large: Loss under the large model, nats per byte.
        tokens: Tokens of the text for the small and the large model.
        bytes: UTF-8 bytes of the text.
        key: ``entry_key`` of the entry as 16 hexadecimal digits: scores of a fact that was edited since are told apart.
    """

    id: str
    small: float
    large: float
    tokens: tuple[int, int]
    bytes: int
    key: str

    @property
    def gap(self) -> float:
        """How much likelier the large model finds the text: nats per byte."""
        return self.small - self.large


@dataclass(frozen=True)
class Scores:
    """A whole file.

    Attributes:
        about: Its first line.
        keys: (entries,) ``entry_key`` of each entry, sorted.
        gaps: (entries,) nats per byte, in the order of ``keys``.
    """

    about: Mapping[str, Any]
    keys: npt.NDArray[np.uint64]
    gaps: npt.NDArray[np.float64]


def entry_key(entry: Fact | Passage) -> int:
    """Return 64 bits that change with the entry's id or what it says."""
    parts = (entry.id, entry.text) if isinstance(entry, Passage) else (
        entry.id, entry.subject, entry.relation, entry.object,
    )  # fmt: skip
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def entry_name(entry: Fact | Passage) -> str:
    """Return what errors call an entry."""
    return f"passage {entry.id!r}" if isinstance(entry, Passage) else f"fact {entry.id!r}"


def refuse_other_file(path: Path) -> None:
    """Refuse to write over what is no file of scores: a slip of the keyboard must not cost the facts.

    Raises:
        KISError: There is something else.
    """
    if not path.exists():
        return
    expected = "a new file, or an older file of scores"
    if not path.is_file():
        raise KISError(Problem("--output", f"{path}: no regular file", expected))
    with path.open("rb") as file:
        first = file.readline(1 << 16)
    try:
        record = json.loads(first)
    except ValueError:
        record = None
    if first and not (isinstance(record, dict) and record.get("type") == "scores"):
        raise KISError(Problem("--output", f"{path}: a file that holds something else", expected))


def write_scores(path: Path, about: Mapping[str, Any], scores: Iterable[Score]) -> None:
    """Write a file under a temporary name and rename it: there is all of it, or nothing.

    Args:
        path: The file; an older one is replaced.
        about: What was scored, as JSON values.
        scores: In the knowledge's order.

    Raises:
        KISError: The file cannot be written, or a loss is no number.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            first = {"type": "scores", "schema": SCHEMA, "unit": UNIT, **about}
            file.write(json.dumps(first, ensure_ascii=False) + "\n")
            for score in scores:
                file.write(json.dumps(_line(score), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise KISError(Problem(str(path), str(error), "a file that can be written")) from error
    finally:
        partial.unlink(missing_ok=True)


def read_scores(path: Path) -> Scores:
    """Read a file; 16 bytes an entry stay in memory.

    Raises:
        KISError: No such file, or what is wrong with it, with its lines.
    """
    keys, gaps = array("Q"), array("d")
    about: Mapping[str, Any] = {}
    for number, line in lines_of(path):
        if not about:
            about = _about(line, f"{path}:{number}")
            continue
        try:
            key, gap = int(line["key"], 16), float(line["gap"])
        except (KeyError, TypeError, ValueError) as error:
            raise KISError(Problem(f"{path}:{number}", "no score", "a line with key and gap", _AGAIN)) from error
        if not isfinite(gap) or key >> 64:
            raise KISError(Problem(f"{path}:{number}", f"gap {gap}, key {line['key']}", "a finite gap", _AGAIN))
        keys.append(key)
        gaps.append(gap)
    if not about:
        raise KISError(Problem(str(path), "an empty file", "scores", _AGAIN))
    found = np.frombuffer(keys, dtype=np.uint64)
    order = np.argsort(found, kind="stable")
    found = found[order]
    if len(found) and (found[1:] == found[:-1]).any():
        raise KISError(Problem(str(path), "an entry that is scored twice", "each scored once", _AGAIN))
    return Scores(about, found, np.frombuffer(gaps, dtype=np.float64)[order])


def lines_of(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the object of each line.

    Raises:
        KISError: The file cannot be read, or a line is no JSON object.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                value = json.loads(line)
                if not isinstance(value, dict):
                    raise KISError(Problem(f"{path}:{number}", repr(line[:40]), "a JSON object", _AGAIN))
                yield number, value
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise KISError(Problem(str(path), reason, "the scores of the knowledge", _MAKE)) from error
    except ValueError as error:  # of JSON or of UTF-8
        raise KISError(
            Problem(str(path), f"a line that is no JSON: {error}", "what kis score writes", _AGAIN)
        ) from error


def scored_ids(path: Path, wanted: Set[str]) -> set[str]:
    """Return which of the ids ``wanted`` the file scores, whatever their entries said then."""
    return {line["id"] for _, line in lines_of(path) if line.get("id") in wanted}


_MAKE = "kis score kis.yaml --small MODEL --large MODEL -o FILE makes them."
_AGAIN = "Make the file anew with kis score."


def _line(score: Score) -> dict[str, Any]:
    if not (isfinite(score.small) and isfinite(score.large)):
        found = f"a loss of {score.small} under the small model and {score.large} under the large one"
        raise KISError(Problem(f"entry {score.id!r}", found, "numbers", "Score in float32: --dtype float32."))
    values = asdict(score)
    key, tokens, size = values.pop("key"), values.pop("tokens"), values.pop("bytes")
    return {**values, "gap": score.gap, "tokens": list(tokens), "bytes": size, "key": key}


def _about(line: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    if line.get("type") != "scores" or line.get("schema") != SCHEMA or line.get("unit") != UNIT:
        found = f"{line.get('type')!r}, schema {line.get('schema')!r}, unit {line.get('unit')!r}"
        raise KISError(Problem(where, found, f"'scores', schema {SCHEMA}, unit {UNIT!r}", _AGAIN))
    return line
