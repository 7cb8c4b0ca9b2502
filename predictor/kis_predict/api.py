"""What scripts and notebooks call: read runs, predict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_predict.observed import ObservedRun
from kis_predict.results import Prediction, Runs

__all__ = ["predict", "read_runs"]


def read_runs(
    paths: str | Path | Iterable[str | Path],
    *,
    mapping: Mapping[str, str] | None = None,
    notify: Callable[[str], None] | None = None,
    follow_links: bool = False,
    general_split: str | None = None,
) -> Runs:
    """Read the runs of a sweep.

    Args:
        paths: Folders of runs, searched to the bottom, log files, archives made by ``kis runs collect``, or URLs of
            these; one or several.
        mapping: Where foreign logs say what a run needs, by field of ``ObservedRun``: what ``--map`` is on the command
            line, as ``{"params": "config.n_params"}``.
        notify: Gets a line about what takes time; silent by default.
        follow_links: Whether to follow links that lead out of the folders searched.
        general_split: The evaluation set whose loss is general loss, where the logs have several and do not say.

    Returns:
        The runs, in the order of the paths. ``notes`` says what was left out or assumed.

    Raises:
        KISError: Everything wrong in any file, a path that does not exist, or no run at all.
    """
    from kis_plugin.registry import registered
    from kis_predict.readers.column_mapping import parse_map
    from kis_predict.readers.gather import gather

    places = [paths] if isinstance(paths, (str, Path)) else list(paths)
    checked = parse_map([f"{name}={path}" for name, path in (mapping or {}).items()])
    found = gather(
        places, registered("log_readers"), checked, notify or (lambda line: None), follow_links, general_split
    )
    return Runs(found.runs, found.notes)


def predict(
    runs: Sequence[ObservedRun],
    target: float | str,
    *,
    tokens: float | str | None = None,
    facts: float | str | None = None,
    **options: Any,
) -> Prediction:
    """Predict how much a large model takes before its memory collapses.

    Args:
        runs: What ``read_runs`` returned, or runs made by hand.
        target: Size N of the large model, all parameters: ``7e9`` or ``"7B"``.
        tokens: Its token budget D; by default what the sweep's own rule for D gives.
        facts: Facts to infuse there; by default as many as in the sweep.
        options: The other fields of ``kis_predict.request.PredictionRequest``, named as the options of ``kis-predict``:
            ``tokens_per_fact``, ``risk``, ``confidence``, ``max_loss_rise``, ``axis``, ``next_runs``, ``bootstraps``,
            ``seed``.

    Returns:
        The answer. Where the evidence is too weak its ``status`` is ``"insufficient"`` and ``missing`` says which runs
        to add; there is no number then.

    Raises:
        KISError: An amount or an option that is none, or a sweep that follows no rule for D while ``tokens`` is None.
    """
    from dataclasses import fields

    from kis_plugin.errors import nearest
    from kis_plugin.registry import registered
    from kis_predict.pipeline import predict as answer
    from kis_predict.request import PredictionRequest

    known = [field.name for field in fields(PredictionRequest) if field.name not in ("params", "tokens", "facts")]
    problems = [
        Problem(f"predict({name}=...)", "no option of that name", "another name", nearest(name, known))
        for name in options
        if name not in known
    ]
    params, budget, number = (
        _amount(name, value, problems) for name, value in (("target", target), ("tokens", tokens), ("facts", facts))
    )
    if problems or params is None:
        raise KISError(problems)
    request = PredictionRequest(params, budget, number, **options)
    found = answer(runs, request, registered("laws"))
    notes = runs.notes if isinstance(runs, Runs) else ()
    return Prediction(**{**vars(found), "warnings": (*notes, *found.warnings), "request": request})


def _amount(name: str, value: float | str | None, problems: list[Problem]) -> int | None:
    from kis_plugin.amounts import parse_amount

    if value is None and name != "target":
        return None
    try:
        return parse_amount(value if isinstance(value, str) else f"{float(value):.17g}")  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        expected = str(error) if str(error).startswith("an amount") else "an amount such as 7e9 or '7B'"
        problems.append(Problem(f"predict({name}=...)", repr(value), expected))
        return None
