"""Writes the infused data set of a whole run ahead of it: in shards, by any number of processes, the same bytes."""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from filelock import FileLock

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.run.manifest import MANIFEST, Manifest, file_of, write_manifest
from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.storage.json_file import read_json
from kis_plugin.tokenized.document_start import start_token
from kis_write.base_tokens import TOKENS, megatron_prefix, open_base, refuse_ids
from kis_write.request import Planned, WriteRequest, planned
from kis_write.row_maker import RowMaker

__all__ = ["Watch", "write_dataset"]

Watch = Callable[[str, int, int | None], None]
"""Called with what is going on, how much of it is done, and of how much; None while that is not known."""

_SHARD_TOKENS = 1 << 22
_WORK = ".work"
_REQUEST = "request.json"


def write_dataset(
    request: WriteRequest, folder: Path, part: tuple[int, int] = (1, 1), workers: int = 1, watch: Watch | None = None
) -> Path | None:
    """Write a data set, or one part of it.

    Parts share a folder and may be written at once, on several machines. The bytes are the same for any number of
    parts and workers. A write that was interrupted goes on where it stopped when it is given again.

    Args:
        request: What to write.
        folder: A new folder, or that of an unfinished write of the same request.
        part: Which one, from 1, and of how many.
        workers: Processes.
        watch: Shows progress.

    Returns:
        The manifest, once all parts are written; None while others are missing.

    Raises:
        KISError: A request that cannot be kept, or a folder that holds something else.
    """
    show = watch or (lambda what, done, total: None)
    _refuse_folder(folder, request)
    all_of_it = planned(request)
    work = _begin(folder, request)
    begin = start_token(all_of_it.config, all_of_it.tokenizer)
    with FileLock(work / "base.lock"):  # text is tokenized once, whatever the number of parts
        tokenizer, vocabulary = all_of_it.tokenizer, all_of_it.host.vocabulary
        base = open_base(request.base, tokenizer, vocabulary, work, begin, lambda done: show("tokenizing", done, None))
    job = _Job(all_of_it, _maker(all_of_it, base), folder, work, _rows_in_files(all_of_it))
    _write_shards(job, [shard for shard in job.shards(part) if not job.marker(shard).exists()], workers, show)
    with FileLock(work / "finish.lock"):
        if not (folder / MANIFEST).exists():  # another part may have been the last one
            if not all(job.marker(shard).exists() for shard in range(job.count)):
                return None
            _finish(job, show)
    _clear(work)
    return folder / MANIFEST


@dataclass(frozen=True)
class _Job:
    planned: Planned
    maker: RowMaker
    folder: Path
    work: Path
    numbers: IntArray  # (file rows,) the row of the run at each place of the files

    @property
    def shard_rows(self) -> int:
        return max(_SHARD_TOKENS // self.maker.row_tokens, 1)

    @property
    def count(self) -> int:
        """Shards in all."""
        return -(-self.planned.host.rows // self.shard_rows)

    def shards(self, part: tuple[int, int]) -> Sequence[int]:
        """Return the shards of a part."""
        number, parts = part
        return range(number - 1, self.count, parts)

    def marker(self, shard: int) -> Path:
        """Return the file that says that a shard is written."""
        return self.work / f"{shard:06}.done"

    def write(self, shard: int) -> int:
        """Write one shard and return its rows."""
        first = shard * self.shard_rows
        stop = min(first + self.shard_rows, self.planned.host.rows)
        rows = self.maker.rows(self.numbers[first:stop])
        refuse_ids(rows, self.planned.host.vocabulary, f"--base {self.planned.request.base[0]}")
        self.planned.format.write(self.folder, rows, shard, first, self.planned.host)
        write_atomically(self.marker(shard), b"")
        return stop - first


def _rows_in_files(all_of_it: Planned) -> IntArray:
    """Return the row of the run at each place of the files: (file rows,)."""
    plan, rows, order = all_of_it.plan, all_of_it.request.rows, all_of_it.layout.rows_of
    if all_of_it.request.mode == "whole":
        return np.arange(rows, dtype=np.int64) if order is None else order
    infused = np.fromiter((row for row in range(rows) if plan.infused(row)), dtype=np.int64, count=plan.infused_rows)
    return infused if order is None else infused[order]


def _maker(all_of_it: Planned, base: np.ndarray) -> RowMaker:
    request = all_of_it.request
    maker = RowMaker(
        all_of_it.plan,
        base,
        all_of_it.tokenizer.eos,
        all_of_it.config.seed,
        request.shuffle,
        all_of_it.format.with_target,
    )
    if not maker.base_rows:
        found = f"{len(base):,} tokens"
        raise KISError(Problem(f"--base {request.base[0]}", found, f"at least a row of {maker.row_tokens:,}"))
    return maker


def _write_shards(job: _Job, shards: Sequence[int], workers: int, show: Watch) -> None:
    total = sum(min(job.shard_rows, job.planned.host.rows - shard * job.shard_rows) for shard in shards)
    done = 0
    for rows in _each(job, shards, workers):
        done += rows
        show("writing rows", done, total)


def _each(job: _Job, shards: Sequence[int], workers: int) -> Iterator[int]:
    if workers == 1 or len(shards) < 2 or sys.platform != "linux":  # only forked workers share the plan
        yield from map(job.write, shards)
        return
    global _job
    _job = job
    with ProcessPoolExecutor(min(workers, len(shards)), multiprocessing.get_context("fork")) as pool:
        try:
            for done in as_completed([pool.submit(_write_one, shard) for shard in shards]):
                yield done.result()
        except BrokenProcessPool as error:
            hint = "Take fewer workers; what is written stays."
            raise KISError(Problem("--workers", "one that was killed", "memory for all of them", hint)) from error


_job: _Job | None = None


def _write_one(shard: int) -> int:
    assert _job is not None
    return _job.write(shard)


def _refuse_folder(folder: Path, request: WriteRequest) -> None:
    """Refuse a folder that holds another data set, or anything else."""
    if (folder / MANIFEST).exists():
        raise KISError(Problem(f"-o {folder}", "a data set that is whole", "a new folder"))
    if not folder.exists():
        return
    if not folder.is_dir():
        raise KISError(Problem(f"-o {folder}", "a file", "a new folder"))
    noted = folder / _WORK / _REQUEST
    if (folder / _WORK).is_symlink():
        raise KISError(Problem(str(folder / _WORK), "a link", "a folder of kis write's own", "Choose a new folder."))
    if noted.is_file():
        if read_json(noted, "the request of an unfinished data set", hint="Choose a new folder.") != _as_json(request):
            found = "an unfinished data set of other options"
            raise KISError(Problem(f"-o {folder}", found, "the same options as before, or a new folder"))
    elif any(folder.iterdir()):
        raise KISError(Problem(f"-o {folder}", "a folder with other files", "a new folder"))


def _begin(folder: Path, request: WriteRequest) -> Path:
    work = folder / _WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KISError(Problem(f"-o {folder}", error.strerror or str(error), "a folder that can be made")) from error
    write_atomically(work / _REQUEST, json.dumps(_as_json(request), indent=2))
    return work


def _as_json(request: WriteRequest) -> object:
    return json.loads(json.dumps(asdict(request), default=str))


def _finish(job: _Job, show: Watch) -> None:
    all_of_it, plan, request = job.planned, job.planned.plan, job.planned.request
    files = all_of_it.format.finish(job.folder, job.count, all_of_it.host)
    written = []
    for number, path in enumerate(files):
        show("hashing files", number, len(files))
        written.append(file_of(job.folder, path))
    tokens = request.rows * request.sequence_length
    write_manifest(
        job.folder,
        Manifest(
            version=Manifest.VERSION,
            kis=version("kis-plugin"),
            config=str(request.config.resolve()),
            format=request.format,
            mode=request.mode,
            order=all_of_it.layout.order,
            sequence_length=request.sequence_length,
            rows=request.rows,
            written_rows=all_of_it.host.rows,
            infused_rows=plan.infused_rows,
            tokens=tokens,
            tokenizer=all_of_it.tokenizer.fingerprint,
            tokenizer_name=_full(request.tokenizer),
            vocabulary=all_of_it.host.vocabulary,
            eos=all_of_it.host.eos,
            host_seed=request.host_seed,
            batch=request.batch,
            frequency=float(plan.frequency),
            facts=len(plan),
            control=len(all_of_it.inputs.split.control),
            infused_tokens=plan.infused_tokens,
            share=plan.infused_tokens / tokens,
            schedule_hash=plan.schedule_hash,
            flags=_flags(job),
            files=tuple(written),
        ),
    )


def _full(name: str) -> str:
    return str(Path(name).resolve()) if Path(name).exists() else name


def _flags(job: _Job) -> dict[str, str]:
    request, host = job.planned.request, job.planned.host
    flags = dict(job.planned.format.flags(job.folder.resolve(), host))
    if request.mode == "side":
        left = request.rows - host.rows
        prefix = megatron_prefix(request.base[0])
        assert prefix is not None  # checked with the request
        flags["--data-path"] = f"{left} {prefix.resolve()} {host.rows} {flags['--data-path']}"
        flags["--train-samples"] = str(request.rows)
    return flags


def _clear(work: Path) -> None:
    """Remove what only the writing needed; another part may be doing the same."""
    for path in (*work.glob("*.done"), work / TOKENS, work / _REQUEST, *work.glob("*.lock")):
        path.unlink(missing_ok=True)
    try:
        work.rmdir()
    except OSError:  # another part has just made its lock
        return
