"""Which of several evaluation sets is general text: what the user should know at the end of a run."""

from __future__ import annotations

from collections.abc import Collection

from kis_plugin.run.log import GENERAL, is_split

__all__ = ["general_split_notes"]


def general_split_notes(named: str | None, splits: Collection[str]) -> list[str]:
    """Return a line where it stays unclear which loss is general loss; ``kis-predict`` refuses such logs.

    Args:
        named: ``retention.general_split``; None if the configuration names none.
        splits: The evaluation sets whose losses the run has reported.
    """
    of_host = sorted(split for split in splits if split != GENERAL)
    listed = ", ".join(of_host)
    if named is not None and splits and not any(is_split(split, named) for split in splits):
        found = f"retention.general_split names {named!r}, and the run has losses of {listed or GENERAL}"
        return [f"warning: {found}: none counts as general loss, and kis-predict needs --general-split"]
    if named is None and len(of_host) > 1 and GENERAL not in splits:
        hint = "name the one that is general text as retention.general_split"
        return [f"the run has losses of {listed}: {hint}, or kis-predict needs --general-split"]
    return []
