"""One run in several logs: a Trainer's state, event files and KIS's own log next to each other."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kis_predict.observed import ObservedRun
from kis_predict.readers.foreign import ForeignRun, LeftOut

__all__ = ["Found", "deduplicate"]

_DUPLICATE = "another log is of the same run"


@dataclass(frozen=True)
class Found:
    """A run, the format it was logged in, and what was logged if that had to be completed."""

    run: ObservedRun
    format: str
    foreign: ForeignRun | None


def deduplicate(
    runs: Sequence[Found], lacking: Sequence[tuple[LeftOut, ForeignRun]]
) -> tuple[list[ObservedRun], list[LeftOut]]:
    """Leave out what a framework logged of a run that is there already, in another format.

    That is one whose KIS run log is there too, or one with the same N, D, F and seed that lies in the other's folder,
    or holds it, or has the same retention and loss.

    Args:
        runs: All of them.
        lacking: Logs that lack something: of runs that are there already, nothing is missing.
    """
    own = {Path(found.run.source).parent.name for found in runs if found.foreign is None}
    kept: list[ObservedRun] = []
    duplicates: list[LeftOut] = []
    there: dict[tuple[object, ...], list[tuple[Found, Path]]] = defaultdict(list)
    covered = {foreign.folder for foreign in (*(found.foreign for found in runs), *(item for _, item in lacking))
            if foreign and foreign.run_id in own}  # fmt: skip
    for found in sorted(runs, key=lambda found: found.foreign is not None):
        run, foreign = found.run, found.foreign
        folder = Path(run.source).parent if foreign is None else foreign.folder
        same = there[run.params, run.tokens, run.frequency]
        if foreign and (folder in covered or any(_is_same(found, folder, *other) for other in same)):
            duplicates.append(LeftOut(run.source, _DUPLICATE))
        else:
            kept.append(run)
            same.append((found, folder))
            covered |= {folder} if foreign else set()
    duplicates += [replace(item, reason=_DUPLICATE) if foreign.folder in covered else item for item, foreign in lacking]
    return kept, duplicates


def _is_same(found: Found, folder: Path, other: Found, at: Path) -> bool:
    one, two = found.run, other.run
    if found.format == other.format or len({one.seed, two.seed} - {None}) == 2:
        return False
    results = [(one.retention, two.retention), (one.loss, two.loss)]
    alike = all(a is not None and b is not None and math.isclose(a, b, rel_tol=1e-6) for a, b in results)
    return alike or folder.is_relative_to(at) or at.is_relative_to(folder)
