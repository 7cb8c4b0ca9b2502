"""The rows of CSV and TSV files as records keyed by the names in the first row."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kis_plugin.knowledge.sources.rdf_terms import parse_term
from kis_plugin.knowledge.sources.text_files import Problems, kind_of, lines

__all__ = ["DELIMITERS", "table_rows"]

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_IN_CSV = (",", ";", "\t")


def table_rows(
    path: Path, problems: Problems, known: Mapping[str, str], needed: Mapping[str, Sequence[str]]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a table with their lines, each as a record.

    Args:
        path: The file; its suffix decides the separator, in .csv the first row too: spreadsheets of many countries
            write semicolons.
        problems: Collects errors.
        known: Names of known columns by their lower-case spelling; other columns keep their names.
        needed: Required parts, with the column names that each may have.
    """
    if kind_of(path) == ".tsv" and _is_sparql(path):
        yield from _sparql_rows(path, problems, known, needed)
        return
    # Strict: a misplaced quote is an error. A lenient reader would silently drop it from the value.
    reader = csv.reader((line for _, line in lines(path, problems)), delimiter=_delimiter(path), strict=True)
    columns: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            hint = 'A value with a quote in it is written """like"" this".' if "expected after" in str(error) else ""
            problems.add(f"{path}:{line}", f"a row that is no {kind_of(path)[1:].upper()} ({error})", "a row", hint)
            return
        if row is None:
            return
        if not columns:
            columns = [known.get(name.strip().lower(), name.strip()) for name in row]
            if not _has_all(columns, f"{path}:{line}", problems, known, needed):
                return
        elif len(row) not in (0, len(columns)):
            problems.add(f"{path}:{line}", f"{len(row)} columns", f"{len(columns)}, as the first row has")
        elif row:
            yield line, dict(zip(columns, row, strict=True))


def _delimiter(path: Path) -> str:
    """Return what separates the values of a table: in .csv what gives its first row most columns, a comma if equal."""
    if kind_of(path) == ".tsv":
        return DELIMITERS[".tsv"]
    first = next((line for _, line in lines(path, Problems(path))), "")
    return max(_IN_CSV, key=lambda mark: len(next(csv.reader([first.rstrip("\r\n")], delimiter=mark), [])))


def _is_sparql(path: Path) -> bool:
    """Return whether a file begins with variables, as SPARQL services write TSV: ``?subject``."""
    names = next((line for _, line in lines(path, Problems(path))), "").rstrip("\r\n").split("\t")
    return all(re.fullmatch(r"[?$]\w+", name) for name in names)


def _sparql_rows(
    path: Path, problems: Problems, known: Mapping[str, str], needed: Mapping[str, Sequence[str]]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield rows of RDF terms; tabs inside literals are escaped, so that every tab separates columns."""
    columns: list[str] = []
    for number, line in lines(path, problems):
        cells = line.rstrip("\r\n").split("\t")
        if not columns:
            columns = [known.get(name[1:].lower(), name[1:]) for name in cells]
            if not _has_all(columns, f"{path}:{number}", problems, known, needed):
                return
        elif len(cells) != len(columns):
            if line.strip():
                problems.add(f"{path}:{number}", f"{len(cells)} columns", f"{len(columns)}, as the first row has")
        else:
            parsed = [parse_term(cell) for cell in cells]
            values = [term[0].value if term else cell for term, cell in zip(parsed, cells, strict=True)]
            yield number, dict(zip(columns, values, strict=True))


def _has_all(
    columns: list[str], where: str, problems: Problems, known: Mapping[str, str], needed: Mapping[str, Sequence[str]]
) -> bool:
    before = len(problems)
    shown = ", ".join(map(repr, columns[:8]))
    hint = "Values are separated by commas or semicolons in .csv, by tabs in .tsv." if len(columns) == 1 else ""
    for part, names in needed.items():
        if not set(names) & set(columns):
            expected = f"the column {names[0] if part not in names else part!r} in the first row"
            other = "Other names can be mapped in kis.yaml: columns: {subject: head, relation: rel, object: tail}."
            problems.add(f"{where} {part}", f"only the columns {shown}", expected, hint or other)
    for name in sorted({name for name in columns if name in known.values() and columns.count(name) > 1}):
        problems.add(f"{where} {name}", "the column more than once", "it once")
    return len(problems) == before
