"""Names of a package that are imported when they are first used, and the extras that an adapter needs by then."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

__all__ = ["lazy_names", "need_modules"]


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]], need: Callable[[], None] = lambda: None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package whose names wait until they are used (PEP 562).

    Args:
        package: Its ``__name__``.
        homes: The names that each module defines; ``.api`` is a module of the package.
        need: Called before the import; raises ImportError for what is not installed, with the words to say.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        need()
        value = getattr(import_module(home_of[name], package), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of})

    return get, names


def need_modules(package: str, extra: str, *modules: str) -> None:
    """Import what an adapter builds on.

    Args:
        package: The adapter, for the error.
        extra: Of this distribution; it installs the modules.
        modules: Top-level modules.

    Raises:
        ImportError: One of them is not installed; says how to install them.
    """
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            install = f"pip install 'kis-plugin[{extra}]'"
            text = f"{package} needs {error.name}, which is not installed. Install the extra: {install}"
            raise ImportError(text) from error
