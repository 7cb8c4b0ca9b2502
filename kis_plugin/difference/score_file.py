"""The file that ``kis score`` writes and the selection ``difference`` reads: two models' losses on every entry.

The format is JSON lines. The first line describes the scores; each other line is one fact or passage, in the order of
the knowledge::

    {"type": "scores", "schema": 1, "unit": "nats per byte", "small": "gpt2", "large": "gpt2-xl", ...}
    {"id": "P19:1", "small": 0.91, "large": 0.62, "gap": 0.29, "tokens": [9, 9], "bytes": 35, "key": "5d41402abc4b2a76"}

Losses are per UTF-8 byte of the text. Losses per token could not be compared between tokenizers, and sums would rank
long texts first. ``loss * bytes / tokens`` is the mean loss per token; where both models have one tokenizer
(``one_tokenizer``), entries can be ranked by that too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.facts import Fact, Passage
from kis_plugin.knowledge.per_entry_file import EntryFile, entry_key, entry_name

__all__ = [
    "UNITS",
    "Score",
    "Scores",
    "entry_key",
    "entry_name",
    "read_gaps",
    "read_scores",
    "refuse_other_file",
    "write_scores",
]

UNIT = "nats per byte"
UNITS = ("byte", "token")
"""What a gap may be the mean of."""
_FILE = EntryFile(
    one="score",
    schema=1,
    of="fact and passage",
    make="kis score kis.yaml --small MODEL --large MODEL -o FILE makes them.",
    command="kis score",
)


@dataclass(frozen=True)
class Score:
    """The losses of one entry.

    Attributes:
        id: Id of the fact or passage.
        small: Loss under the small model, nats per byte.
        large: Loss under the large model, nats per byte.
        tokens: Tokens of the text for the small and the large model.
        bytes: UTF-8 bytes of the text.
        key: ``entry_key`` of the entry as 16 hexadecimal digits; it changes when the entry is edited.
    """

    id: str
    small: float
    large: float
    tokens: tuple[int, int]
    bytes: int
    key: str

    @property
    def gap(self) -> float:
        """How much more likely the text is under the large model: nats per byte."""
        return self.small - self.large


@dataclass(frozen=True)
class Scores:
    """The content of a file.

    Attributes:
        about: Its first line.
        keys: (entries,) ``entry_key`` of each entry, sorted.
        gaps: (entries,) nats per byte or per token, in the order of ``keys``.
    """

    about: Mapping[str, Any]
    keys: npt.NDArray[np.uint64]
    gaps: npt.NDArray[np.float64]


def refuse_other_file(path: Path) -> None:
    """Refuse to overwrite a file that holds no scores.

    Raises:
        KISError: There is another file, or no folder to write to.
    """
    _FILE.refuse_other(path)


def write_scores(path: Path, about: Mapping[str, Any], scores: Iterable[Score]) -> None:
    """Write a file, completely or not at all.

    Args:
        path: The file; an older one is replaced.
        about: Description of the scores, as JSON values.
        scores: In the order of the knowledge.

    Raises:
        KISError: The file cannot be written, or a loss is not finite.
    """
    _FILE.write(path, {"unit": UNIT, **about}, (_line(score) for score in scores))


def read_scores(path: Path, unit: str = "byte") -> Scores:
    """Read a file; 16 bytes an entry stay in memory.

    Args:
        path: The file.
        unit: One of ``UNITS``: what the gaps are the mean of.

    Raises:
        KISError: The file does not exist, or has something wrong, with the line; gaps per token of models with two
            tokenizers.
    """
    check, value_of = (_check, _gap) if unit == "byte" else (_check_tokens, _gap_of_tokens)
    return Scores(*_FILE.columns(path, check, value_of, "d"))


def read_gaps(
    path: Path, entries: Sequence[Fact] | Sequence[Passage], where: str, unit: str = "byte"
) -> npt.NDArray[np.float64]:
    """Return the gap of every entry, nats per byte or per token: (entries,).

    Raises:
        KISError: The file does not exist or has something wrong, or entries without a score; ``where`` names the
            configuration key.
    """
    scores = read_scores(path, unit)
    return scores.gaps[_FILE.places(path, scores.keys, entries, where)]


def _line(score: Score) -> dict[str, Any]:
    if not (isfinite(score.small) and isfinite(score.large)):
        found = f"a loss of {score.small} under the small model and {score.large} under the large one"
        raise KISError(Problem(f"entry {score.id!r}", found, "numbers", "Score in float32: --dtype float32."))
    values = asdict(score)
    key, tokens, size = values.pop("key"), values.pop("tokens"), values.pop("bytes")
    return {**values, "gap": score.gap, "tokens": list(tokens), "bytes": size, "key": key}


def _check(line: Mapping[str, Any], where: str) -> None:
    """Refuse a first line that describes no scores."""
    if line.get("type") != _FILE.type or line.get("schema") != _FILE.schema or line.get("unit") != UNIT:
        found = f"{line.get('type')!r}, schema {line.get('schema')!r}, unit {line.get('unit')!r}"
        raise KISError(Problem(where, found, f"'scores', schema {_FILE.schema}, unit {UNIT!r}", _FILE.again))


def _gap(line: Mapping[str, Any], where: str) -> tuple[int, float]:
    """Return key and gap of a line."""
    try:
        key, gap = int(line["key"], 16), float(line["gap"])
    except (KeyError, TypeError, ValueError) as error:
        raise KISError(Problem(where, "no score", "a line with key and gap", _FILE.again)) from error
    if not isfinite(gap) or key >> 64:
        raise KISError(Problem(where, f"gap {gap}, key {line['key']}", "a finite gap", _FILE.again))
    return key, gap


def _check_tokens(line: Mapping[str, Any], where: str) -> None:
    """Refuse scores of models that do not share a tokenizer."""
    _check(line, where)
    if line.get("one_tokenizer") is not True:
        found = f"models with two tokenizers, {line.get('tokenizers')!r}"
        if "one_tokenizer" not in line:
            found = "a file that does not say whether the models share a tokenizer"
        hint = "A loss per token compares models of one tokenizer only. Take unit: byte, or score again."
        raise KISError(Problem(where, found, "one tokenizer, for unit: token", hint))


def _gap_of_tokens(line: Mapping[str, Any], where: str) -> tuple[int, float]:
    """Return key and gap of a line in nats per token."""
    key, _ = _gap(line, where)
    try:
        (small, large), size = map(int, line["tokens"]), int(line["bytes"])
        gap = float(line["small"]) * size / small - float(line["large"]) * size / large
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        expected = "small, large, tokens of both, and bytes"
        raise KISError(Problem(where, "no score per token", expected, _FILE.again)) from error
    if small != large or not isfinite(gap):
        found = f"{small} and {large} tokens, a gap of {gap}"
        raise KISError(Problem(where, found, "as many tokens for both, and a finite gap", _FILE.again))
    return key, gap
