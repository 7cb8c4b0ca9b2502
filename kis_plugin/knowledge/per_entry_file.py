"""Files with one value for each fact or passage: scores, counts.

The format is JSON lines. The first line describes the file; each other line belongs to one entry. The line's key is a
hash of the entry's id and content, so that a fact that was edited afterwards does not match its old line.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.facts import Fact, Passage
from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.storage.regular_files import refuse_special_file

__all__ = ["EntryFile", "entry_key", "entry_name"]

_FIRST_LINE = 1 << 20  # bytes of it that are read
_LONGEST = 1 << 24  # characters of a line; a longer one is cut, and so no JSON
_NAMED = 20  # missing entries that an error names

Keys = npt.NDArray[np.uint64]
Line = Mapping[str, Any]


def entry_key(entry: Fact | Passage) -> int:
    """Return a 64-bit hash of the entry's id and content."""
    parts = (entry.id, entry.text) if isinstance(entry, Passage) else (
        entry.id, entry.subject, entry.relation, entry.object,
    )  # fmt: skip
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def entry_name(entry: Fact | Passage) -> str:
    """Return the name of an entry in error messages."""
    return f"passage {entry.id!r}" if isinstance(entry, Passage) else f"fact {entry.id!r}"


@dataclass(frozen=True)
class EntryFile:
    """One kind of these files.

    Attributes:
        one: What a line holds: ``score``. The first line has the type ``scores``.
        schema: Version of the format.
        of: Which entries have a line: ``fact and passage``.
        make: How to make such a file, as a sentence.
        command: The beginning of the command that makes it.
    """

    one: str
    schema: int
    of: str
    make: str
    command: str

    @property
    def type(self) -> str:
        """The type of the first line."""
        return f"{self.one}s"

    @property
    def again(self) -> str:
        """The advice for a file that is wrong."""
        return f"Make the file again with {self.command}."

    def refuse_other(self, path: Path) -> None:
        """Refuse to overwrite a file of another kind: a typing error must not destroy the facts.

        Raises:
            KISError: There is another file, or no folder to write to.
        """
        if not path.absolute().parent.is_dir():
            raise KISError(Problem("--output", f"{path}: no such folder", "a file in a folder that is there"))
        if not path.exists():
            return
        expected = f"a new file, or an older file of {self.type}"
        if not path.is_file():
            raise KISError(Problem("--output", f"{path}: no regular file", expected))
        with path.open("rb") as file:
            first = file.readline(_FIRST_LINE)
        try:
            record = json.loads(first)
        except (ValueError, RecursionError):
            record = None
        if first and not (isinstance(record, dict) and record.get("type") == self.type):
            raise KISError(Problem("--output", f"{path}: a file that holds something else", expected))

    def write(self, path: Path, about: Mapping[str, Any], lines: Iterable[Mapping[str, Any]]) -> None:
        """Write a file, completely or not at all.

        Args:
            path: The file; an older one is replaced.
            about: Content of the first line, as JSON values.
            lines: One for each entry, in the order of the knowledge.

        Raises:
            KISError: The file cannot be written.
        """
        first = {"type": self.type, "schema": self.schema, **about}

        def write(file: BinaryIO) -> None:
            for line in chain([first], lines):
                file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())

        write_atomically(path, write)

    def lines(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each line's place and object.

        Raises:
            KISError: The file cannot be read, or a line is no JSON object.
        """
        try:
            refuse_special_file(path)
            with path.open(encoding="utf-8") as file:
                for number, line in enumerate(iter(lambda: file.readline(_LONGEST), ""), start=1):
                    value = json.loads(line)
                    if not isinstance(value, dict):
                        raise KISError(Problem(f"{path}:{number}", repr(line[:40]), "a JSON object", self.again))
                    yield f"{path}:{number}", value
        except OSError as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
            raise KISError(Problem(str(path), reason, f"the {self.type} of the knowledge", self.make)) from error
        except (ValueError, RecursionError) as error:  # of JSON or of UTF-8
            found, expected = f"a line that is not JSON: {error}", f"what {self.command} writes"
            raise KISError(Problem(str(path), found, expected, self.again)) from error

    def columns(
        self,
        path: Path,
        check: Callable[[Line, str], None],
        value_of: Callable[[Line, str], tuple[int, Any]],
        code: str,
    ) -> tuple[Line, Keys, npt.NDArray[Any]]:
        """Read a whole file; 16 bytes an entry stay in memory.

        Args:
            path: The file.
            check: Refuses a first line that is not right; called with it and its place.
            value_of: Returns the key and the value of another line, or refuses it; called with it and its place.
            code: Type of the values, ``q`` for integers and ``d`` for numbers (module ``array``).

        Returns:
            The first line; keys, (entries,) sorted; values, (entries,) in the order of the keys.

        Raises:
            KISError: The file does not exist, or has something wrong, with the line.
        """
        keys, values = array("Q"), array(code)
        about: Line = {}
        for where, line in self.lines(path):
            if not about:
                check(line, where)
                about = line
                continue
            key, value = value_of(line, where)
            keys.append(key)
            values.append(value)
        if not about:
            raise KISError(Problem(str(path), "an empty file", self.type, self.again))
        found = np.frombuffer(keys, dtype=np.uint64)
        order = self.order_of(path, found)
        return about, found[order], np.frombuffer(values, dtype=code)[order]

    def order_of(self, path: Path, keys: Keys) -> IntArray:
        """Return the indices that sort the keys of a whole file.

        Raises:
            KISError: An entry has two lines.
        """
        order = np.argsort(keys, kind="stable")
        if (keys[order][1:] == keys[order][:-1]).any():
            expected = f"each {_done(self.one)} once"
            raise KISError(Problem(str(path), f"an entry that is {_done(self.one)} twice", expected, self.again))
        return order

    def places(self, path: Path, keys: Keys, entries: Sequence[Fact] | Sequence[Passage], where: str) -> IntArray:
        """Return the position of each entry among the sorted ``keys`` of a file: (entries,).

        Raises:
            KISError: Entries whose present content the file does not hold, the first of them by name.
        """
        wanted = np.fromiter((entry_key(entry) for entry in entries), dtype=np.uint64, count=len(entries))
        places = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        missing = np.flatnonzero(keys[places] != wanted) if len(keys) else np.arange(len(wanted))
        if len(missing):
            raise KISError(self._missing(path, entries, missing, where))
        return places

    def ids(self, path: Path, wanted: Set[str]) -> set[str]:
        """Return which of the ids ``wanted`` the file holds, whatever the content was."""
        return {line["id"] for _, line in self.lines(path) if line.get("id") in wanted}

    def _missing(
        self, path: Path, entries: Sequence[Fact] | Sequence[Passage], missing: IntArray, where: str
    ) -> list[Problem]:
        """Name the entries without a line, and those whose line is for an earlier content."""
        some = [entries[place] for place in missing[:_NAMED].tolist()]
        there = self.ids(path, {entry.id for entry in some})
        hint = f"{len(missing):,} of {len(entries):,} are like that. Make the {self.type} again: {self.command} ..."
        return [
            Problem(
                f"{where}: {path}",
                f"{f'a {self.one} of another content' if entry.id in there else f'no {self.one}'} "
                f"for {entry_name(entry)}",
                f"a {self.one} of each {self.of} as it is now",
                hint if number == 0 else "",
            )
            for number, entry in enumerate(some)
        ]


def _done(one: str) -> str:
    return f"{one.removesuffix('e')}ed"
