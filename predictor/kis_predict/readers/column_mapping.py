"""``--map params=config.n_params``: where a foreign log, or a file next to it, has the values of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem, nearest
from kis_predict.readers.bounds import NUMBERS

__all__ = ["FIELDS", "SIDECAR", "Beside", "keys_of", "load_mapping", "look_up", "parse_map", "sidecar_names"]

SIDECAR = "kis.json"
FIELDS = (*NUMBERS, "status")
_ENDINGS = (".json", ".yaml", ".yml")
_LARGEST = 10_000_000
_LARGEST_YAML = 1_000_000
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,99}|0o[0-7]{1,99}|0x[0-9a-fA-F]{1,99})\Z")
_RESOLVED_ANEW = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:merge", "tag:yaml.org,2002:timestamp")

Load = Callable[[Path], "dict[str, Any] | None"]


def parse_map(texts: Sequence[str]) -> dict[str, str]:
    """Return paths by field from ``field=path`` texts.

    Raises:
        KISError: All that are no such pairs, name no field, or one twice.
    """
    found: dict[str, str] = {}
    problems = []
    for text in texts:
        name, equals, path = (part.strip() for part in text.partition("="))
        if not (equals and path):
            problems.append(Problem("--map", repr(text), "FIELD=PATH, such as params=config.n_params"))
        elif name not in FIELDS:
            problems.append(Problem(f"--map {text}", f"the field {name!r}", "one of a run's", nearest(name, FIELDS)))
        elif name in found:
            problems.append(Problem(f"--map {text}", f"{name!r} a second time", "each field once"))
        else:
            found[name] = path
    if problems:
        raise KISError(problems)
    return found


def look_up(path: str, tree: Mapping[str, object]) -> object:
    """Return the value at ``path``, a key of that name or nested keys separated by dots; None if there is none."""
    if path in tree:
        return tree[path]
    for at in (at for at, letter in enumerate(path) if letter == "."):
        inner = tree.get(path[:at])
        if isinstance(inner, Mapping):
            found = look_up(path[at + 1 :], inner)
            if found is not None:
                return found
    return None


def keys_of(tree: Mapping[str, object], depth: int = 4) -> Iterator[str]:
    """Yield the dotted paths of all plain values."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            if depth:
                yield from (f"{key}.{inner}" for inner in keys_of(value, depth - 1))
        else:
            yield str(key)


class Beside:
    """Files next to a log and in the folders above it, up to the one given to ``--logs``.

    Args:
        folder: The run's folder.
        near: Folders to look in before that.
        root: Where to stop.
        load: ``load_mapping``, or the same with a memory.
    """

    def __init__(self, folder: Path, near: Sequence[Path], root: Path, load: Load) -> None:
        self._load = load
        above = [folder, *folder.parents]
        above = above[: above.index(root) + 1] if root in above else [folder]
        self.folders = [*(place for place in near if place not in above), *above]

    def sidecar(self) -> dict[str, object]:
        """Return the values of all ``kis.json`` files; those of the nearest one take precedence."""
        values: dict[str, object] = {}
        for folder in reversed(self.folders):
            values |= self._load(folder / SIDECAR) or {}
        return values

    def look_up(self, path: str) -> object:
        """Return the value of ``config.n_params``: key ``n_params`` of the nearest ``config.json`` or ``.yaml``."""
        name, _, rest = path.partition(".")
        if not rest or not name.strip() or any(part in name for part in "/\\\0"):
            return None
        for folder in self.folders:
            for ending in _ENDINGS:
                tree = self._load(folder / f"{name}{ending}")
                found = None if tree is None else look_up(rest, tree)
                if found is not None:
                    return found
        return None


def load_mapping(path: Path) -> dict[str, Any] | None:
    """Return the mapping in a JSON or YAML file, None if there is no such file.

    Raises:
        KISError: It holds none.
    """
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > _LARGEST:
            raise KISError(Problem(str(path), f"{path.stat().st_size:,} bytes", f"at most {_LARGEST:,}"))
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise KISError(Problem(str(path), str(error.strerror or error), "a readable file")) from error
    found = _json(text, path) if path.suffix == ".json" else _yaml(text, path)
    if not isinstance(found, dict):
        raise KISError(Problem(str(path), f"{text.strip()[:40]!r}", "a mapping of names to values"))
    return {str(key): value for key, value in found.items()}


def _json(text: str, path: Path) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise KISError(Problem(str(path), f"what is not JSON ({error})", "one JSON object")) from error


def _yaml(text: str, path: Path) -> object:
    import yaml

    class Plain(yaml.SafeLoader):
        """Without the tags that other programs write for their own classes: those read as nothing.

        Without aliases and merges too, a few of which make a document of billions of values.
        """

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("an alias (*), which logs need not have")
            return super().compose_node(parent, index)

        def flatten_mapping(self, node: Any) -> None:
            """Leave << as the plain key that it is."""

    Plain.add_multi_constructor("", lambda loader, suffix, node: None)
    Plain.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag not in _RESOLVED_ANEW]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    # The integers of YAML's core schema: 1:10:10 is text, no number of base 60.
    Plain.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
    if len(text) > _LARGEST_YAML:
        raise KISError(Problem(str(path), f"{len(text):,} characters", f"at most {_LARGEST_YAML:,} of YAML"))
    try:
        return yaml.load(text, Plain)  # noqa: S506 (a safe loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise KISError(Problem(str(path), "what is not YAML", f"a mapping ({error})".replace("\n", " "))) from error


def sidecar_names(mapping: Iterable[str]) -> list[str]:
    """Return the names of the files that may be needed to complete a run."""
    stems = {path.partition(".")[0] for path in mapping if "." in path}
    return [SIDECAR, *(f"{stem}{ending}" for stem in sorted(stems) for ending in _ENDINGS)]
