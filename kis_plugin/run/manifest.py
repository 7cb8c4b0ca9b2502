"""``kis.manifest.json``: what was written, how a host must read it, and what it then trains on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar

from kis_plugin.config.rules import Number, OneOf, Text, Whole
from kis_plugin.config.schema import STRICT
from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.storage.digests import file_digest
from kis_plugin.storage.json_file import read_json

__all__ = ["MANIFEST", "Manifest", "WrittenFile", "changed_files", "file_of", "read_manifest", "write_manifest"]

MANIFEST = "kis.manifest.json"
_VERSION = 1
_Name = Annotated[str, Text()]


@dataclass(frozen=True)
class WrittenFile:
    """One file of a written data set.

    Attributes:
        name: In the folder of the manifest.
        bytes: Its size.
        sha256: Of its content.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    name: _Name
    bytes: Annotated[int, Whole(0)]
    sha256: _Name


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

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    version: Annotated[int, Whole(1)]
    kis: _Name
    config: _Name
    format: _Name
    mode: Annotated[str, OneOf(("whole", "side"))]
    order: Annotated[str, OneOf(("exact", "chance"))]
    sequence_length: Annotated[int, Whole(2)]
    rows: Annotated[int, Whole(1)]
    written_rows: Annotated[int, Whole(1)]
    infused_rows: Annotated[int, Whole(0)]
    tokens: Annotated[int, Whole(1)]
    tokenizer: _Name
    tokenizer_name: _Name
    vocabulary: Annotated[int, Whole(1)]
    eos: Annotated[int, Whole(0)]
    host_seed: Annotated[int, Whole(0)] | None
    batch: Annotated[int, Whole(1)] | None
    frequency: Annotated[float, Number(0)]
    facts: Annotated[int, Whole(0)]
    control: Annotated[int, Whole(0)]
    infused_tokens: Annotated[int, Whole(0)]
    share: Annotated[float, Number(0)]
    schedule_hash: _Name
    flags: Mapping[str, str]
    files: tuple[WrittenFile, ...]

    VERSION: ClassVar[int] = _VERSION


def file_of(folder: Path, path: Path) -> WrittenFile:
    """Return a file's entry; reads all of it."""
    return WrittenFile(path.relative_to(folder).as_posix(), path.stat().st_size, file_digest(path, hashlib.sha256()))


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write it; the data set is whole from then on."""
    path = folder / MANIFEST
    write_atomically(path, json.dumps(asdict(manifest), ensure_ascii=False, indent=2) + "\n")
    return path


def read_manifest(path: Path) -> Manifest:
    """Read a manifest: the file, or the folder that it lies in.

    Raises:
        KISError: There is none, it is no manifest of this version, or a value is not what it can be.
    """
    from pydantic import ValidationError

    from kis_plugin.config.validate import adapter_of, expected_of, show

    path = path / MANIFEST if path.is_dir() else path
    where = str(path)
    hint = "A data set without a manifest is unfinished: run the same kis write again."
    values = read_json(path, "a manifest that kis write wrote", hint=hint)
    names = {field.name for field in fields(Manifest)}
    if not isinstance(values, dict) or set(values) != names or values["version"] != _VERSION:
        found = f"version {show(values['version'])}" if isinstance(values, dict) and "version" in values else "no keys"
        raise KISError(Problem(where, found, f"a manifest of version {_VERSION}"))
    try:
        manifest: Manifest = adapter_of(Manifest).validate_python(values)
    except ValidationError as error:
        raise KISError(
            Problem(
                f"{where} {'.'.join(map(str, one['loc']))}", show(one["input"]),
                expected_of(one["type"], one.get("ctx", {})), "It was changed after kis write wrote it.",
            )
            for one in error.errors(include_url=False)
        ) from error  # fmt: skip
    _refuse_other_rows(where, manifest)
    return manifest


def _refuse_other_rows(where: str, manifest: Manifest) -> None:
    """Refuse numbers of rows and tokens that contradict each other: an audit makes a plan of so many rows."""
    written = manifest.rows if manifest.mode == "whole" else manifest.infused_rows
    for key, found, expected in (
        ("written_rows", manifest.written_rows, written),
        ("tokens", manifest.tokens, manifest.rows * manifest.sequence_length),
    ):
        if found != expected:
            hint = "It was changed after kis write wrote it."
            raise KISError(Problem(f"{where} {key}", f"{found:,}", f"{expected:,}, by its rows", hint))


def changed_files(folder: Path, manifest: Manifest) -> list[str]:
    """Return the names of the files that are gone or are not as they were written; reads all of them."""
    return [file.name for file in manifest.files if not _is_as_written(folder, file)]


def _is_as_written(folder: Path, written: WrittenFile) -> bool:
    path = folder / written.name
    inside = path.parent == folder and path.is_file()  # a name may point to another folder
    return inside and path.stat().st_size == written.bytes and file_digest(path, hashlib.sha256()) == written.sha256
