"""Run logs that a test finds in its folder."""

from __future__ import annotations

from pathlib import Path

from kis_plugin.run.log import RunLog, read_run_log


def log_of(folder: Path) -> RunLog:
    """Read the log of the only run in a folder."""
    (path,) = (folder / "runs").glob("*/kis.jsonl")
    return read_run_log(path)


def run_files(folder: Path) -> dict[Path, bytes]:
    """Every file that the runs of a folder wrote, with its content."""
    return {path: path.read_bytes() for path in (folder / "runs").rglob("*") if path.is_file()}
