"""Counts a corpus on more than one machine: one task a piece of text, run by datatrove's executors.

datatrove only runs the tasks and remembers which are done. Reading and counting are those of ``pool.py``, so the sums
are the same. Its tasks know their text by its place in the list of pieces, so the list is kept, and a corpus that has
changed since is refused instead of being counted in part twice.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kis_plugin.counting.matcher import Matcher
from kis_plugin.counting.names import Names
from kis_plugin.counting.places import identity_of, place_of, version_of
from kis_plugin.counting.pool import Counted, Sums
from kis_plugin.counting.presence import Found, Presence, Size
from kis_plugin.counting.texts import Piece, parts
from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.array_archive import read_archive
from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.storage.json_file import read_json

__all__ = ["ENGINES", "CountTask", "Engine", "count_on_engine"]

_LIST = "pieces.json"
_LARGEST = 1 << 30  # bytes of it: a line for each piece of a corpus of any size
_ARRAYS = ("entities", "in_windows", "pairs", "together")


@dataclass(frozen=True)
class Engine:
    """Where tasks run.

    Attributes:
        name: ``local``, ``ray`` or ``slurm``.
        work: A folder that all tasks see; a count that was interrupted goes on there.
        workers: Tasks at a time; -1: as many as the engine likes.
        options: Of SLURM: ``time``, ``partition`` and others of datatrove's ``SlurmPipelineExecutor``.
    """

    name: str
    work: Path
    workers: int = -1
    options: Mapping[str, str] | None = None


@dataclass(frozen=True)
class CountTask:
    """Counts one piece: a step of datatrove's pipelines. It pickles small, for each task reads the names itself.

    Attributes:
        names: Returns the names from ``source``.
        source: What they come from.
        window: One of ``kis_plugin.counting.windows.WINDOWS``.
        work: The folder of the list of pieces and of the results.
    """

    names: Callable[[Path], Names]
    source: Path
    window: str
    work: Path

    def __call__(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterable[Any]:
        """Count piece ``rank`` and write what was found."""
        piece = _pieces_in(self.work)[rank]
        names, matcher = _tools(self.names, self.source)
        presence = Presence(names, matcher, self.window)
        for part in parts(piece, lambda count: None):
            presence.add(part)
        _write_found(_result(self.work, rank), presence.found())
        return data or ()


def count_on_engine(names: Names, pieces: Sequence[Piece], task: CountTask, engine: Engine) -> Counted | None:
    """Count the pieces of a corpus on an engine.

    Args:
        names: The names of the facts.
        pieces: Of the corpus.
        task: Counts one.
        engine: Where.

    Returns:
        The counts; None where tasks are queued and still to come, as on SLURM. Call it again then.

    Raises:
        KISError: datatrove or the engine is not installed, another corpus than before in the same folder, files that
            changed meanwhile, or tasks that failed.
    """
    _keep_list(engine.work, pieces, task.window, names)
    made = _executor(engine, task, len(pieces))
    try:
        made.run()
    except KISError:
        raise
    except Exception as error:  # of any task, in any process: datatrove raises what it raised
        hint = f"Its log is in {engine.work / 'datatrove'}; what is counted stays."
        raise KISError(Problem(f"--engine {engine.name}", str(error), "tasks that finish", hint)) from error
    missing = [rank for rank in range(len(pieces)) if not _result(engine.work, rank).is_file()]
    if missing and engine.name == "slurm":
        return None
    if missing:
        found = f"{len(missing)} of {len(pieces)} pieces without a result, {pieces[missing[0]].path} among them"
        raise KISError(Problem(f"--work {engine.work}", found, "a result for each"))
    _refuse_changed(engine.work, pieces)
    sums = Sums(names, len(pieces))
    for rank in range(len(pieces)):
        sums.add(rank, _read_found(_result(engine.work, rank), names))
    return sums.counted()


def _executor(engine: Engine, task: CountTask, tasks: int) -> Any:
    try:
        return ENGINES[engine.name](engine, [task], tasks)
    except ImportError as error:
        hint = "Install it with pip install 'kis-plugin[corpus]'; ray also needs pip install ray."
        found = f"no package {error.name or error}"
        raise KISError(Problem(f"--engine {engine.name}", found, "datatrove and the engine", hint)) from error
    except TypeError as error:
        expected = "time=HH:MM:SS, partition=NAME and other options of datatrove's SlurmPipelineExecutor"
        raise KISError(Problem("--slurm", str(error), expected)) from error


def _local(engine: Engine, pipeline: list[Any], tasks: int) -> Any:
    from datatrove.executor.local import LocalPipelineExecutor

    place = str(engine.work / "datatrove")
    return LocalPipelineExecutor(pipeline, tasks=tasks, workers=engine.workers, logging_dir=place)


def _ray(engine: Engine, pipeline: list[Any], tasks: int) -> Any:
    import ray
    from datatrove.executor.ray import RayPipelineExecutor

    if not ray.is_initialized():
        ray.init(ignore_reinit_error=True, log_to_driver=False, include_dashboard=False)
    place = str(engine.work / "datatrove")
    return RayPipelineExecutor(pipeline, tasks=tasks, workers=engine.workers, logging_dir=place, log_first=False)


def _slurm(engine: Engine, pipeline: list[Any], tasks: int) -> Any:
    from datatrove.executor.slurm import SlurmPipelineExecutor

    place, options = str(engine.work / "datatrove"), dict(engine.options or {})
    if not {"env_command", "condaenv", "venv_path"} & set(options):  # tasks need this environment, active or not
        options["env_command"] = f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"'
    return SlurmPipelineExecutor(pipeline, tasks=tasks, workers=engine.workers, logging_dir=place, **options)


ENGINES: dict[str, Callable[[Engine, list[Any], int], Any]] = {"local": _local, "ray": _ray, "slurm": _slurm}
"""By name."""


def _keep_list(work: Path, pieces: Sequence[Piece], window: str, names: Names) -> None:
    """Write the list of pieces, or compare it with the one that is there."""
    listed = {
        "window": window,
        "names": _fingerprint(names),
        "pieces": [[identity_of(piece.path), piece.start, piece.stop] for piece in pieces],
        "versions": _versions(pieces),
    }
    path = work / _LIST
    try:
        (work / "counts").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KISError(Problem(f"--work {work}", error.strerror or str(error), "a folder that can be made")) from error
    if not path.exists():
        write_atomically(path, json.dumps(listed))
        return
    if read_json(path, "the pieces of a count", f"--work {path}", "Choose a new folder.", _LARGEST) != listed:
        found = "a count of other facts, text or windows, or of files that changed since"
        raise KISError(Problem(f"--work {work}", found, "a new folder, or the same facts and text as before"))


def _fingerprint(names: Names) -> str:
    """Return a digest of all names and facts: results are numbers of them."""
    digest = hashlib.blake2b("\n".join(names.patterns).encode(), digest_size=16)
    for numbers in (names.entity_bounds, names.entity, names.pair_bounds, names.pair, names.other):
        digest.update(b"|" + np.ascontiguousarray(numbers, dtype="<i8").tobytes())
    digest.update(b"|" if names.folded is None else b"|folded" + names.folded.tobytes())
    return digest.hexdigest()


def _versions(pieces: Sequence[Piece]) -> dict[str, str]:
    return {identity_of(place): version_of(place) for place in {piece.path: None for piece in pieces}}


def _refuse_changed(work: Path, pieces: Sequence[Piece]) -> None:
    """Refuse files that changed while they were counted: some tasks may have read the old text, others the new."""
    before = json.loads((work / _LIST).read_text(encoding="utf-8"))["versions"]
    changed = [place for place, version in _versions(pieces).items() if before[place] != version]
    if changed:
        found = f"{len(changed)} files that changed while they were counted, {changed[0]} among them"
        raise KISError(Problem(f"--work {work}", found, "the same text to the end", "Count again in a new folder."))


@lru_cache(maxsize=1)
def _pieces_in(work: Path) -> tuple[Piece, ...]:
    listed = json.loads((work / _LIST).read_text(encoding="utf-8"))["pieces"]
    return tuple(Piece(place_of(place), start, stop) for place, start, stop in listed)


@lru_cache(maxsize=1)
def _tools(names: Callable[[Path], Names], source: Path) -> tuple[Names, Matcher]:
    made = names(source)
    return made, Matcher(made.patterns, made.folded)


def _result(work: Path, rank: int) -> Path:
    return work / "counts" / f"{rank:06}.npz"


def _write_found(path: Path, found: Found) -> None:
    about = json.dumps({"size": asdict(found.size), "sample": found.sample}).encode()
    arrays = {name: getattr(found, name) for name in _ARRAYS}

    def write(file: BinaryIO) -> None:
        np.savez(file, about=np.frombuffer(about, dtype=np.uint8), **arrays)

    write_atomically(path, write)


def _read_found(path: Path, names: Names) -> Found:
    try:
        arrays = read_archive(path)
        about = json.loads(arrays["about"].tobytes())
        kept = {name: arrays[name] for name in _ARRAYS}
        found = Found(**kept, size=Size(**about["size"]), sample=tuple(about["sample"]))
        _check(found, names)
        return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "Remove it and its mark in datatrove/completions, and count again."
        raise KISError(Problem(str(path), f"a damaged result ({error})", "what a task wrote", hint)) from error


def _check(found: Found, names: Names) -> None:
    """Raise ValueError for numbers of entities or pairs that there are not, and for counts that are none."""
    for numbers, counts, most in (
        (found.entities, found.in_windows, names.entities),
        (found.pairs, found.together, names.pairs),
    ):
        whole = all(np.issubdtype(array.dtype, np.integer) and array.ndim == 1 for array in (numbers, counts))
        if not whole or len(numbers) != len(counts) or counts.min(initial=0) < 0:
            raise ValueError("no counts")
        if numbers.min(initial=0) < 0 or numbers.max(initial=-1) >= most:
            raise ValueError("counts of other names")
