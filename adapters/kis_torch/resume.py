"""What a checkpoint must still fit for a resumed run to show every row once."""

from __future__ import annotations

from collections.abc import Mapping

from kis_plugin.errors import Problem

__all__ = ["changed_numbers"]


def changed_numbers(step: int, now: Mapping[str, int], before: Mapping[str, int], hint: str = "") -> list[Problem]:
    """Return a problem for each number, such as rows of a step, that is not what it was when the run was saved.

    Args:
        step: Optimizer steps done.
        now: The numbers of this run, by name.
        before: Those in the checkpoint.
        hint: What to do; ``{now}`` is filled in.
    """
    return [
        Problem(
            f"resume at step {step}: {name}",
            f"{now.get(name, 'none')}",
            f"{before.get(name, 'none')} as before",
            hint.format(now=now.get(name, "none")),
        )
        for name in {**now, **before}
        if now.get(name) != before.get(name)
    ]
