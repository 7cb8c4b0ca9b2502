"""Records from every kind of table: JSON lines, JSON lists, SPARQL results, CSV, TSV, Parquet, saved datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.sources.table_rows import DELIMITERS, table_rows
from kis_plugin.knowledge.sources.text_files import (
    JSONL,
    MOST_BYTES,
    Problems,
    json_value,
    kind_of,
    quoted,
    records,
    whole_text,
)
from kis_plugin.storage.json_file import read_json

__all__ = [
    "Columns", "RecordKind", "any_records", "column_batches", "first_record", "is_saved_dataset", "record_kind",
    "saved_dataset_files",
]  # fmt: skip

_SAVED = ("state.json", "dataset_dict.json")  # what datasets.save_to_disk leaves in a folder
_BATCH = 4096  # rows of Arrow tables converted at a time

Rows = Iterator[tuple[int, dict[str, Any]]]


class Columns(NamedTuple):
    """Which columns of a table mean something.

    Attributes:
        known: Their names by lower-case spelling; other columns keep their names.
        needed: Required parts, with the names that each may have.
    """

    known: Mapping[str, str]
    needed: Mapping[str, Sequence[str]]


class RecordKind(NamedTuple):
    """How a file's records are read.

    Attributes:
        read: Yields line or row number and record.
        table: Whether values are text and empty ones mean none, as in CSV.
    """

    read: Callable[[Path, Problems, Columns], Rows]
    table: bool = False


def is_saved_dataset(path: Path) -> bool:
    """Return whether this is a folder that ``save_to_disk`` of the library datasets wrote."""
    return any((path / name).is_file() for name in _SAVED)


def record_kind(path: Path) -> RecordKind | None:
    """Return how to read the records of a file or saved dataset; None if it has none."""
    if path.is_dir():
        return RecordKind(_saved_dataset) if is_saved_dataset(path) else None
    return _KINDS.get(kind_of(path))


def any_records(path: Path, problems: Problems, columns: Columns) -> Rows:
    """Yield the records of a file of any kind; those of JSON lists, Parquet and datasets are numbered from 1."""
    kind = record_kind(path)
    if kind is not None:
        yield from kind.read(path, problems, columns)


def first_record(path: Path) -> dict[str, Any] | None:
    """Return the first record; None if there is none, or if it cannot be read."""
    unused = Problems(path)
    return next((record for _, record in any_records(path, unused, Columns({}, {})) if not len(unused)), None)


def _json_list(path: Path, problems: Problems, columns: Columns) -> Rows:
    """Read a list of objects, or what a SPARQL service returns, as one JSON value."""
    before = len(problems)
    hint = f"One object a line is read without a limit: jq -c '.[]' {path.name} > {path.stem}.jsonl"
    text = whole_text(path, problems, MOST_BYTES, hint)
    if len(problems) > before:
        return
    value = json_value(text, str(path), problems)
    if len(problems) > before:
        return
    if isinstance(value, dict) and isinstance(value.get("results"), dict):
        value = _bindings(value["results"].get("bindings"))
    elif isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        value = lists[0] if len(lists) == 1 else value
    if not isinstance(value, list):
        problems.add(str(path), quoted(value), "a list of JSON objects")
        return
    for number, record in enumerate(value, start=1):
        if isinstance(record, dict):
            yield number, record
        else:
            problems.add(f"{path}:{number}", quoted(record), "a JSON object in each place of the list")


def _bindings(rows: Any) -> Any:
    """Return the rows of SPARQL results as plain records: of each variable its value."""
    if not isinstance(rows, list):
        return rows
    return [
        {name: term.get("value") if isinstance(term, dict) else term for name, term in row.items()}
        if isinstance(row, dict)
        else row
        for row in rows
    ]


def _json_lines(path: Path, problems: Problems, columns: Columns) -> Rows:
    return records(path, problems)


def _table(path: Path, problems: Problems, columns: Columns) -> Rows:
    return table_rows(path, problems, columns.known, columns.needed)


def _parquet(path: Path, problems: Problems, columns: Columns) -> Rows:
    parquet = _pyarrow(path, "pyarrow.parquet")
    try:
        batches = parquet.ParquetFile(path).iter_batches(batch_size=_BATCH)
        yield from _rows(batches)
    except _errors() as error:
        problems.add(str(path), f"a file that is not Parquet ({str(error).splitlines()[0]})", "a Parquet file")


def saved_dataset_files(folder: Path) -> list[Path]:
    """Return the Arrow files of a saved dataset, in order.

    Raises:
        KISError: Its description cannot be read.
    """
    try:
        if (folder / "dataset_dict.json").is_file():
            splits = read_json(folder / "dataset_dict.json", "a saved dataset")["splits"]
            return [file for split in splits for file in saved_dataset_files(folder / Path(split).name)]
        state = read_json(folder / "state.json", "a saved dataset")
        return [folder / Path(item["filename"]).name for item in state["_data_files"]]
    except (ValueError, KeyError, TypeError) as error:
        found = f"a description that cannot be read ({error!r})"
        raise KISError(Problem(str(folder), found, "a saved dataset")) from error


def _saved_dataset(path: Path, problems: Problems, columns: Columns) -> Rows:
    arrow = _pyarrow(path, "pyarrow")
    before = 0  # records of the files before
    for file in saved_dataset_files(path):
        number = before
        try:
            with arrow.memory_map(str(file)) as source:
                for number, record in _rows(arrow.ipc.open_stream(source), before):
                    yield number, record
            before = number
        except _errors() as error:
            problems.add(str(file), f"a file that is not Arrow ({str(error).splitlines()[0]})", "a saved dataset")


def column_batches(path: Path, name: str) -> Iterator[Any]:
    """Yield one column of a Parquet file or a saved dataset as Arrow arrays, in parts.

    Raises:
        KISError: A file of another kind, one that cannot be read, or without that column.
    """
    _pyarrow(path, "pyarrow")
    try:
        for batch in _batches(path, name):
            if name not in batch.schema.names:
                hint = "Give the tokenized data set that is trained on."
                raise KISError(Problem(str(path), f"columns {', '.join(batch.schema.names)}", f"a column {name}", hint))
            yield batch.column(batch.schema.names.index(name))
    except _errors() as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise KISError(Problem(str(path), f"a file that cannot be read ({reason})", _ARROW_KINDS)) from error


_ARROW_KINDS = "a Parquet file or a folder that save_to_disk wrote"


def _batches(path: Path, name: str) -> Iterator[Any]:
    arrow = _pyarrow(path, "pyarrow")
    if path.suffix.lower() == ".parquet" and path.is_file():
        file = _pyarrow(path, "pyarrow.parquet").ParquetFile(path)
        columns = [name] if name in file.schema_arrow.names else None  # no other is read
        yield from file.iter_batches(batch_size=_BATCH, columns=columns)
    elif is_saved_dataset(path):
        for file in saved_dataset_files(path):
            with arrow.memory_map(str(file)) as source:
                yield from arrow.ipc.open_stream(source)
    else:
        found = "no such file or folder" if not path.exists() else "neither"
        raise KISError(Problem(str(path), found, _ARROW_KINDS))


def _rows(batches: Any, number: int = 0) -> Rows:
    for batch in batches:
        for record in batch.to_pylist():
            number += 1
            yield number, record


def _pyarrow(path: Path, module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        hint = "Install it with pip install 'kis-plugin[parquet]'."
        raise KISError(Problem(str(path), "no package pyarrow", "one to read this file with", hint)) from error


def _errors() -> tuple[type[Exception], ...]:
    invalid: type[Exception] = import_module("pyarrow").ArrowException
    return (OSError, ValueError, invalid)


_KINDS = {
    **dict.fromkeys(JSONL, RecordKind(_json_lines)),
    **dict.fromkeys(DELIMITERS, RecordKind(_table, table=True)),
    ".json": RecordKind(_json_list),
    ".parquet": RecordKind(_parquet),
}
