"""Checks who may write to a folder: runs train on what the cache holds, so no other user may write there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kis_plugin.errors import KISError, Problem

__all__ = ["make_private_folder", "refuse_shared_folder"]

_PRIVATE = 0o700


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it, that only this user can enter; an existing one is left as it is."""
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(mode=_PRIVATE, exist_ok=True)


def refuse_shared_folder(folder: Path, where: str) -> None:
    """Refuse a folder that belongs to another user, or that every user may write to.

    Folders of root are trusted, as are those that a group may write to: that is how a team shares a cache. Windows has
    no such permissions.

    Args:
        folder: A folder that exists.
        where: Its name in errors.

    Raises:
        KISError: It is not safe, with the command that mends it.
    """
    if os.name == "nt":
        return
    found = folder.stat()
    if found.st_uid not in (os.geteuid(), 0):
        hint = f"If you trust its content, take it over: sudo chown -R $USER '{folder}'. Else choose another cache."
        raise KISError(Problem(where, f"a folder of another user (uid {found.st_uid})", "one of yours", hint))
    if found.st_mode & stat.S_IWOTH:
        hint = f"Run chmod -R go-w '{folder}', or prepare the knowledge again in a new folder."
        raise KISError(Problem(where, "a folder that every user may write to", "one that only you may write to", hint))
