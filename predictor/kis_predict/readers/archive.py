"""Collected logs: one compressed tar file of all run logs of a sweep, made by ``kis runs collect`` and read as it is.

Writing is deterministic: the same logs give the same bytes, at any time and on any machine. Reading trusts nothing:
members are regular files below the folder that they are copied to, or they are refused.
"""

from __future__ import annotations

import lzma
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.storage.compressed_files import open_stream
from kis_predict.readers.temporary_copies import has_room

__all__ = ["ENDINGS", "collect", "in_archive", "unpack"]

ENDINGS = (".tar", ".tar.xz", ".tar.gz", ".tar.bz2", ".tar.zst", ".tgz", ".txz")
_MOST_MEMBERS = 1_000_000
_LARGEST_HEADER = 2**20
_CHUNK = 2**20
_WRITERS = {".tar": "w:", ".tar.xz": "w:xz", ".txz": "w:xz", ".tar.gz": "w:gz", ".tgz": "w:gz"}


def in_archive(place: Path) -> tuple[Path, PurePosixPath] | None:
    """Split ``logs.tar.xz/held_out`` into the archive and the path inside; None where no archive is named."""
    for path in (place, *place.parents):
        if path.name.lower().endswith(ENDINGS) and path.is_file():
            return path, PurePosixPath(place.relative_to(path).as_posix())
    return None


def unpack(archive: Path, inside: PurePosixPath, names: Sequence[str], into: Path) -> Path:
    """Copy the logs of an archive.

    Args:
        archive: The tar file, compressed or not.
        inside: The folder or file in it to copy; ``.`` for all.
        names: Patterns of the names to copy.
        into: An empty folder.

    Returns:
        ``into``, or the folder or file below it that ``inside`` names.

    Raises:
        KISError: It is damaged or no archive, has a member that is no plain file or leads outside, is larger than
            ``MOST_BYTES`` once decompressed, does not fit on the disk, or has nothing at ``inside``.
    """
    try:
        with open_stream(archive) as stream, _opened(stream) as tar:
            members = 0
            while member := tar.next():
                tar.members.clear()  # type: ignore[attr-defined]  # a stream is read once: no member behind is needed again
                members += 1
                if members > _MOST_MEMBERS:
                    raise KISError(Problem(str(archive), f"more than {_MOST_MEMBERS:,} members", "logs of a sweep"))
                path = _place(archive, member)
                selected = path is not None and (inside == PurePosixPath(".") or path.is_relative_to(inside))
                if path is not None and selected and any(fnmatch(path.name, name) for name in names):
                    _copy(tar, member, into / path)
    except (tarfile.TarError, UnicodeError, OverflowError, RecursionError) as error:
        hint = "kis runs collect makes one."
        raise KISError(Problem(str(archive), f"no archive that is whole ({error})", "a tar file", hint)) from error
    except OSError as error:
        raise KISError(Problem(str(archive), str(error.strerror or error), "an archive that can be read")) from error
    root = into / inside
    if not root.exists():
        raise KISError(Problem(f"{archive}/{inside}", "no log of that place", "a folder or log in the archive"))
    return root


class _Member(tarfile.TarInfo):
    """A member whose headers are small: tarfile reads extended headers whole, whatever length they name."""

    def _proc_member(self, tar: tarfile.TarFile) -> Any:
        if self.type in _EXTENDED and self.size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"an extended header of {self.size:,} bytes")
        return super()._proc_member(tar)  # type: ignore[misc]


_EXTENDED = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip


def _opened(stream: BinaryIO) -> tarfile.TarFile:
    # "r|": members are met once, in their order, and never sought; nothing is decompressed twice.
    return tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member)


def _place(archive: Path, member: tarfile.TarInfo) -> PurePosixPath | None:
    """Return where a member belongs, None for a folder.

    Raises:
        KISError: It is neither file nor folder, or does not stay below the archive's root.
    """
    where = f"{archive}/{member.name}"
    path = PurePosixPath(member.name)
    drive = os.name == "nt" and ":" in member.name
    if drive or path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
        raise KISError(Problem(where, "a name that leads out of the archive", "names of logs below its root"))
    if member.isdir():
        return None
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        raise KISError(Problem(where, "a link, a device or another special member", "plain files"))
    return path


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content
    with path.open("xb") as file:
        while data := content.read(_CHUNK):
            if not has_room(path.parent, len(data)):
                where, hint = tempfile.gettempdir(), "Set TMPDIR to a larger disk, or unpack the archive and name that."
                raise KISError(Problem(where, "no room for the logs of the archive", "more free space", hint))
            file.write(data)


def collect(folder: Path, output: Path, names: Sequence[str], notify: Callable[[str], None]) -> int:
    """Write the files below ``folder`` whose names match into one archive, and return how many.

    Args:
        folder: Of runs, searched to the bottom; links are not followed.
        output: The archive; its ending says how it is compressed: .tar.xz, .tar.gz or .tar.
        names: Patterns of file names.
        notify: Gets a line for every thousand files.

    Raises:
        KISError: Nothing to collect, another ending, or a file that cannot be read or written.
    """
    ending = next((ending for ending in _WRITERS if output.name.lower().endswith(ending)), None)
    if ending is None:
        raise KISError(Problem(f"-o {output}", output.suffix or "no ending", f"one of {', '.join(_WRITERS)}"))
    try:
        found = sorted(_matching(folder, names), key=lambda path: path.relative_to(folder).parts)
        if not found:
            raise KISError(Problem(str(folder), "no run logs", f"files called {', '.join(names)}"))
    except OSError as error:
        raise KISError(Problem(str(error.filename), str(error.strerror or error), "a readable folder")) from error

    def write(file: BinaryIO) -> None:
        with _writer(file, ending) as tar:
            for number, path in enumerate(found, start=1):
                _add(tar, path, path.relative_to(folder).as_posix())
                if number % 1000 == 0:
                    notify(f"Collected {number:,} of {len(found):,} files.")

    write_atomically(output.resolve(), write, where=f"-o {output}")
    return len(found)


def _matching(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for place, _, files in os.walk(folder, onerror=fail):
        for name in files:
            path = Path(place, name)
            if any(fnmatch(name, pattern) for pattern in names) and path.is_file() and not path.is_symlink():
                yield path


@contextmanager
def _writer(file: BinaryIO, ending: str) -> Iterator[tarfile.TarFile]:
    """Open a tar stream whose bytes depend on the logs alone."""
    options: dict[str, Any] = {"preset": 6 | lzma.PRESET_EXTREME} if _WRITERS[ending] == "w:xz" else {}
    if _WRITERS[ending] == "w:gz":
        import gzip

        # tarfile would write the time and the file's name into the header of gzip.
        with (
            gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w:", format=tarfile.PAX_FORMAT) as tar,
        ):
            yield tar
        return
    with tarfile.open(fileobj=file, mode=_WRITERS[ending], format=tarfile.PAX_FORMAT, **options) as tar:  # type: ignore[call-overload]
        yield tar


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    with path.open("rb") as file:
        member = tarfile.TarInfo(name)
        member.size = os.fstat(file.fileno()).st_size
        member.mode = 0o644
        tar.addfile(member, file)
