"""Hugging Face Trainer: ``trainer_state.json`` of a run's last checkpoint. ``training_args.bin`` is never opened."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_predict.readers.evaluation_losses import general_loss_key
from kis_predict.readers.foreign import ForeignRun, LeftOut, last_measured

__all__ = ["TrainerStateReader"]

_NAME = "trainer_state.json"
_LARGEST = 64 * 2**20
"""Bytes of a state, which is parsed whole: it holds every logged step, some hundred bytes each."""
_CHECKPOINT = re.compile(r"checkpoint-(\d{1,15})")


class TrainerStateReader:
    """Reads the state with the greatest ``global_step`` of each run: every checkpoint holds the whole history.

    Retention is the last ``retention/held_out`` that the KIS callback logged, general loss the last of the only
    evaluation set. Of what the callback left in its own state, D, F, facts, seed and schedule are taken; N is not in
    it.

    Args:
        general_split: The evaluation set whose loss is general loss, where there are several.
    """

    name = "trainer_state.json"
    names = (_NAME,)

    def __init__(self, general_split: str | None = None) -> None:
        self._general_split = general_split

    def with_general_split(self, name: str) -> TrainerStateReader:
        """Return a reader that takes general loss from the evaluation set ``name``."""
        return type(self)(name)

    def claims(self, path: Path) -> bool:
        """Return whether it is a file called ``trainer_state.json``."""
        return path.name == _NAME and path.is_file()

    def together(self, path: Path) -> Path:
        """Return the run's folder: checkpoints in one output folder are one run."""
        return path.parent.parent if _CHECKPOINT.fullmatch(path.parent.name) else path.parent

    def read(self, path: Path) -> Iterable[ForeignRun | LeftOut]:
        """Return the run that one state records."""
        return self.read_together([path])

    def read_together(self, paths: Sequence[Path]) -> Iterable[ForeignRun | LeftOut]:
        """Return the run, from the furthest of its states that is whole.

        Raises:
            KISError: A state that cannot be read, or is none.
        """
        found: list[tuple[float, Path, dict[str, Any]]] = []
        torn: list[LeftOut] = []
        loose = [path for path in paths if _number(path) < 0]
        checkpoints = sorted((path for path in paths if _number(path) >= 0), key=_number, reverse=True)
        for path in (*loose, *checkpoints):
            if _number(path) >= 0 and any(_number(other) >= 0 for _, other, _ in found):
                break
            state = _state(path)
            if state is None:
                torn.append(LeftOut(str(path), "torn"))
            else:
                found.append((float(state["global_step"]), path, state))
        if not found:
            return torn
        _, path, state = max(found, key=lambda item: item[0])
        return [*torn, _run(path, self.together(path), state, self._general_split)]


def _number(path: Path) -> int:
    match = _CHECKPOINT.fullmatch(path.parent.name)
    return int(match[1]) if match else -1


def _state(path: Path) -> dict[str, Any] | None:
    """Return the state, None if it is not whole.

    Raises:
        KISError: It is whole and no Trainer's state.
    """
    try:
        if path.stat().st_size > _LARGEST:
            found = f"{path.stat().st_size:,} bytes"
            raise KISError(Problem(str(path), found, f"at most {_LARGEST:,}", "Give --logs the run's kis.jsonl."))
        state = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (ValueError, RecursionError):
        return None
    except OSError as error:
        raise KISError(Problem(str(path), str(error.strerror or error), "a readable trainer_state.json")) from error
    history = state.get("log_history") if isinstance(state, dict) else None
    steps = [_count(state, key) for key in ("global_step", "max_steps")] if isinstance(state, dict) else [None]
    if None in steps or not isinstance(history, list):
        raise KISError(
            Problem(str(path), "no state of a Trainer", "global_step and max_steps, numbers, and log_history, a list")
        )
    return dict(state)


def _run(path: Path, folder: Path, state: dict[str, Any], general_split: str | None) -> ForeignRun:
    last: dict[str, object] = {}
    steps: dict[str, float] = {}
    for entry in state["log_history"]:
        if isinstance(entry, dict):
            last |= entry
            steps |= dict.fromkeys(entry, _count(entry, "step") or 0.0)
    end = state["global_step"]
    done = 0 < state["max_steps"] <= end
    values: dict[str, object] = {"status": "completed" if done else "unfinished"}
    loss, loss_splits = general_loss_key(last, general_split)
    for name, key in (("retention", "retention/held_out"), ("loss", loss)):
        if key in last:
            values[name] = last[key]
    seen = _count(state, "num_input_tokens_seen")
    if seen and done:
        values["tokens"] = seen
    kis = _kis_state(state)
    values |= _planned(kis)
    stale = last_measured(str(path), steps["retention/held_out"], end) if "retention" in values and done else ()
    tree = {key: value for key, value in state.items() if key != "log_history"} | last
    run_id = kis.get("run_id")
    return ForeignRun(
        source=str(path), folder=folder, values=values, tree=tree, seen=seen or None,
        run_id=run_id if isinstance(run_id, str) else "", near=(path.parent,), warnings=stale,
        loss_splits=loss_splits,
    )  # fmt: skip


def _kis_state(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the KIS callback left in the state; empty if it was not there."""
    found: Any = state.get("stateful_callbacks")
    for key in ("KnowledgeInfusion", "attributes", "restored_state"):
        found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, list):
            found = found[-1] if found else None
    return found if isinstance(found, dict) else {}


def _planned(kis: Mapping[str, Any]) -> dict[str, object]:
    """Return the values of the run in the plan that the callback keeps in its state."""
    values: dict[str, object] = {}
    plan = kis.get("plan")
    plan = plan if isinstance(plan, dict) else {}
    rows, sequence_length, seed = (_count(plan, key) for key in ("rows", "block", "seed"))
    if rows and sequence_length:
        values["tokens"] = rows * sequence_length
    if seed is not None:
        values["seed"] = seed
    if isinstance(kis.get("schedule_hash"), str):
        values["schedule_hash"] = kis["schedule_hash"]
    match plan.get("exposures"):
        # One group of facts: all infused `rounds` times, `extra` of them once more.
        case [[int(facts), int(rounds), int(extra)]] if facts > 0:
            values |= {"facts": facts, "frequency": rounds + extra / facts}
    return values


def _count(values: Mapping[str, Any], key: str) -> float | None:
    """Return a finite number that is not negative, None if there is none."""
    value = values.get(key)
    sound = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e300
    return value if sound else None
