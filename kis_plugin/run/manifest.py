"""``kis.manifest.json``: what was written, how a host must read it, and what it then trains on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.atomic_write import write_atomically

__all__ = ["MANIFEST", "Manifest", "WrittenFile", "file_of", "read_manifest", "write_manifest"]

MANIFEST = "kis.manifest.json"
_VERSION = 1
_MOST = 1 << 24  # bytes of a manifest


@dataclass(frozen=True)
class WrittenFile:
    """One file of a written data set.

    Attributes:
        name: In the folder of the manifest.
        bytes: Its size.
        sha256: Of its content.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A written data set. There is one only once the data set is whole.

    Attributes:
        version: Of this format.
        kis: Version of KIS.
        config: The kis.yaml.
        format: As ``--format`` names it.
        mode: ``whole``, or ``side`` for the infused rows alone.
        order: ``exact``, or ``chance`` where the host trains on the rows in an order that is not known.
        sequence_length: Tokens a row, T.
        rows: Rows of the whole run.
        written_rows: Rows in the files: fewer than ``rows`` in mode ``side``.
        infused_rows: Rows that carry texts.
        tokens: Token budget D of the run.
        tokenizer: Fingerprint.
        tokenizer_name: As it was named; a folder in full.
        vocabulary: One more than the greatest token id.
        eos: The token between documents.
        host_seed: The host's seed that the order rests on; None: not known.
        batch: Rows of a global batch; None: not known.
        frequency: Mean exposures of each fact.
        facts: Infused facts and pieces of passages.
        control: Facts held back.
        infused_tokens: Of all exposures.
        share: Infused tokens / D.
        schedule_hash: Identifies the plan.
        flags: What to paste into the host's command or configuration.
        files: In order of their names.
    """

    version: int
    kis: str
    config: str
    format: str
    mode: str
    order: str
    sequence_length: int
    rows: int
    written_rows: int
    infused_rows: int
    tokens: int
    tokenizer: str
    tokenizer_name: str
    vocabulary: int
    eos: int
    host_seed: int | None
    batch: int | None
    frequency: float
    facts: int
    control: int
    infused_tokens: int
    share: float
    schedule_hash: str
    flags: Mapping[str, str]
    files: tuple[WrittenFile, ...]

    VERSION: ClassVar[int] = _VERSION


def file_of(folder: Path, path: Path) -> WrittenFile:
    """Return a file's entry; reads all of it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return WrittenFile(path.relative_to(folder).as_posix(), path.stat().st_size, digest.hexdigest())


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write it; the data set is whole from then on."""
    path = folder / MANIFEST
    write_atomically(path, json.dumps(asdict(manifest), ensure_ascii=False, indent=2) + "\n")
    return path


def read_manifest(path: Path) -> Manifest:
    """Read a manifest: the file, or the folder that it lies in.

    Raises:
        KISError: There is none, or it is no manifest of this version.
    """
    path = path / MANIFEST if path.is_dir() else path
    where = str(path)
    try:
        if path.stat().st_size > _MOST:
            raise KISError(Problem(where, f"{path.stat().st_size:,} bytes", "a manifest that kis write wrote"))
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "A data set without a manifest is unfinished: run the same kis write again."
        raise KISError(Problem(where, error.strerror or str(error), "a manifest that kis write wrote", hint)) from error
    except ValueError as error:
        raise KISError(Problem(where, f"no JSON ({error})", "a manifest that kis write wrote")) from error
    names = {field.name for field in fields(Manifest)}
    if not isinstance(values, dict) or set(values) != names or values["version"] != _VERSION:
        found = f"version {values['version']!r}" if isinstance(values, dict) and "version" in values else "other keys"
        raise KISError(Problem(where, found, f"a manifest of version {_VERSION}"))
    files = tuple(WrittenFile(**entry) for entry in values.pop("files"))
    return Manifest(**values, files=files)
