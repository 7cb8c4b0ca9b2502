"""Finds log files, hands each to the reader that claims it, and keeps one of every run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.log import LOG_NAME
from kis_predict.observed import RunSequence
from kis_predict.protocols import LogReader, MappedReader, MergingReader, NamedReader, SplitReader
from kis_predict.readers.archive import ENDINGS
from kis_predict.readers.column_mapping import sidecar_names
from kis_predict.readers.csv_table import mapping_hint
from kis_predict.readers.files import files_below
from kis_predict.readers.foreign import ForeignRun, LeftOut, MapUse
from kis_predict.readers.merging import Completion
from kis_predict.readers.places import Place, resolve
from kis_predict.readers.same_run import Found, deduplicate

__all__ = ["gather"]

SHOWN = 20


@dataclass(frozen=True)
class _Log:
    """Files that are one log: a reader's, of one run where it merges several."""

    reader: Any
    paths: tuple[Path, ...]
    root: Path
    place: Place


@dataclass
class _Search:
    """How places are searched, and what was passed over."""

    mapping: Mapping[str, str]
    notify: Callable[[str], None]
    stack: ExitStack
    follow_links: bool
    outside: list[str] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)

    def notes(self) -> Iterator[str]:
        for found, what in (
            (self.outside, "that lead out of their folder; --follow-links follows them"),
            (self.archives, "below a folder: name them in --logs to read them"),
        ):
            if found:
                kind = "link" if found is self.outside else "archive"
                yield f"Left out {len(found):,} {kind}{'s' if len(found) > 1 else ''} {what}: {_some(found)}"


def gather(
    places: Sequence[str | Path],
    readers: Mapping[str, LogReader],
    mapping: Mapping[str, str] | None = None,
    notify: Callable[[str], None] = lambda line: None,
    follow_links: bool = False,
    general_split: str | None = None,
) -> RunSequence:
    """Read every run at or under ``places``.

    Args:
        places: Files, folders that are searched to the bottom, or URLs of either, or archives of collected logs.
            A file reached twice is read once.
        readers: By name; the first that claims a file reads it. Those of the sub-protocols in
            ``kis_predict.protocols`` merge files, apply ``mapping``, or name the files to copy from elsewhere.
        mapping: Where foreign logs have the values of a run, by field of ``ObservedRun``.
        notify: Gets a line about what takes time.
        follow_links: Whether to follow links that lead out of the folders searched.
        general_split: The evaluation set whose loss is general loss; None for what each log says.

    Raises:
        KISError: Everything wrong in any file, a place that does not exist, or no run at all.
    """
    mapping = mapping or {}
    with ExitStack() as stack:
        problems: list[Problem] = []
        search = _Search(mapping, notify, stack, follow_links)
        logs = list(_logs(places, _set_up(readers, mapping, general_split), search, problems))
        completion = Completion(mapping)
        runs: list[Found] = []
        left_out: list[LeftOut] = []
        lacking: list[tuple[LeftOut, ForeignRun]] = []
        for log in logs:
            try:
                for item in _read(log, completion):
                    if isinstance(item, Found):
                        runs.append(item)
                    elif item[1] is None:
                        left_out.append(item[0])
                    else:
                        lacking.append((item[0], item[1]))
            except KISError as error:
                problems.extend(_shown(problem, log) for problem in error.problems)
            except OSError as error:
                problems.append(_shown(Problem(str(log.paths[0]), str(error.strerror or error), "a readable log"), log))
    problems += completion.unused()
    kept, duplicates = deduplicate(runs, lacking)
    notes = [*_folded(left_out), *_folded(duplicates), *_partly_unmatched(completion), *search.notes()]
    if len(problems) > SHOWN:
        more = Problem("--logs", f"{len(problems) - SHOWN:,} more problems", "none", "Mend those above first.")
        problems = [*problems[:SHOWN], more]
    if not problems and not kept:
        hint = " ".join(f"{note}." for note in notes) or "Folders are searched to the bottom."
        problems = [
            Problem(f"--logs {' '.join(map(str, places))}", "no runs", f"logs of runs: {', '.join(readers)}", hint)
        ]
    if problems:
        raise KISError(problems)
    return RunSequence(tuple(kept), tuple(notes))


def _set_up(
    readers: Mapping[str, LogReader], mapping: Mapping[str, str], general_split: str | None
) -> dict[str, LogReader]:
    """Return the readers; those that apply ``--map`` or ``--general-split`` themselves have it."""
    found = dict(readers)
    for name, reader in readers.items():
        if isinstance(reader, MappedReader):
            found[name] = reader = reader.with_mapping(mapping)
        if isinstance(reader, SplitReader) and general_split is not None:
            found[name] = reader.with_general_split(general_split)
    return found


def _logs(
    places: Sequence[str | Path], readers: Mapping[str, Any], search: _Search, problems: list[Problem]
) -> Iterator[_Log]:
    """Yield the logs of all places, files of one run together."""
    names = [
        *sidecar_names(search.mapping.values()),
        *(n for r in readers.values() for n in (r.names if isinstance(r, NamedReader) else ())),
    ]
    seen: set[str] = set()
    for given in places:
        try:
            place = resolve(given, names, search.notify, search.stack)
        except KISError as error:
            problems.extend(error.problems)
            continue
        root = place.root
        together: dict[tuple[int, object], list[Path]] = defaultdict(list)
        claimed: dict[tuple[int, object], Any] = {}
        for path, real in files_below(root, problems, follow_links=search.follow_links, outside=search.outside):
            if real in seen:
                continue
            seen.add(real)
            reader = next((reader for reader in readers.values() if _claims(reader, path, problems)), None)
            if reader is not None:
                key = (id(reader), reader.together(path) if isinstance(reader, MergingReader) else path)
                together[key].append(path)
                claimed[key] = reader
            elif path != root and path.name.lower().endswith(ENDINGS):
                search.archives.append(str(path))
            elif path == root:
                formats = ", ".join(readers)
                known = f"A run log is called {LOG_NAME}; a table has columns params, tokens, frequency, retention."
                hint = mapping_hint(path) or known
                problems.append(Problem(f"--logs {given}", "a file of no known format", f"one of: {formats}", hint))
        top = root if root.is_dir() else root.parent
        for key, paths in together.items():
            yield _Log(claimed[key], tuple(paths), top, place)


def _claims(reader: Any, path: Path, problems: list[Problem]) -> bool:
    try:
        return bool(reader.claims(path))
    except OSError as error:
        problems.append(Problem(str(path), str(error.strerror or error), "a readable log"))
        return False


def _read(log: _Log, completion: Completion) -> Iterator[Found | tuple[LeftOut, ForeignRun | None]]:
    """Yield what the reader finds, foreign runs completed, under the names that the user knows."""
    reader = log.reader
    merges = isinstance(reader, MergingReader)
    found: Iterable[Any] = reader.read_together(log.paths) if merges else reader.read(log.paths[0])
    for item in found:
        if isinstance(item, MapUse):
            completion.note(item)
            continue
        run = completion.complete(item, log.root) if isinstance(item, ForeignRun) else item
        run = replace(run, source=log.place.shown(run.source))
        foreign = item if isinstance(item, ForeignRun) else None
        if isinstance(run, LeftOut):
            yield run, foreign
            continue
        if run.warnings:
            run = replace(run, warnings=tuple(map(log.place.shown, run.warnings)))
        yield Found(run, log.reader.name, foreign)


def _shown(problem: Problem, log: _Log) -> Problem:
    return replace(problem, where=log.place.shown(problem.where))


def _folded(left_out: Sequence[LeftOut]) -> list[str]:
    """Return a line a reason, with the first three logs."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for item in left_out:
        by_reason[item.reason].append(item.source)
    return [
        f"Left out {len(logs):,} log{'s' if len(logs) > 1 else ''} ({reason}): {_some(logs)}"
        for reason, logs in by_reason.items()
    ]


def _partly_unmatched(completion: Completion) -> list[str]:
    return [
        f"--map {name}={completion.mapping[name]} matches nothing in {len(logs):,} of {completion.runs:,} foreign "
        f"logs: {_some(logs)}"
        for name, logs in completion.unmatched.items()
        if len(logs) < completion.runs
    ]


def _some(logs: Sequence[str]) -> str:
    rest = f" and {len(logs) - 3:,} more" if len(logs) > 3 else ""
    return ", ".join(logs[:3]) + rest
