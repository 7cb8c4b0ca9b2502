"""How far the runs of a sweep are, and how long the rest will take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kis_sweep.folder import State
from kis_sweep.progress.attempts import elapsed_seconds

__all__ = ["Course", "courses_of", "seconds_left"]


@dataclass(frozen=True)
class Course:
    """How far a run is.

    Attributes:
        state: Its state.
        step: The last step that its log has.
        elapsed: Seconds spent on it, all attempts together; None where they were not noted.
    """

    state: State
    step: int
    elapsed: float | None


def courses_of(states: Sequence[State]) -> list[Course]:
    """Return how far each run is."""
    return [_course(state) for state in states]


def _course(state: State) -> Course:
    steps = [0]
    if state.log:
        steps += [record.step for record in state.log.retention] + [record.step for record in state.log.loss]
    step = state.run.recipe.steps if state.state == "finished" else min(max(steps), state.run.recipe.steps)
    return Course(state, step, elapsed_seconds(state.run, state.state == "running"))


def seconds_left(courses: Sequence[Course], planned: Mapping[int, float]) -> float | None:
    """Return about how long the runs that are not finished will take, at the number that is running now, at least one.

    Args:
        courses: All runs of the sweep.
        planned: Seconds per step on the planning machine, by model size; empty if none were timed.

    Returns:
        Seconds; None where no step was timed, neither here nor in planning. Failed runs are left out.
    """
    open_runs = [course for course in courses if course.state.state not in ("finished", "failed")]
    rates = _rates(courses, planned)
    if rates is None:
        return None
    runs = [(course.state.run, course.step) for course in open_runs]
    left = [max(run.recipe.steps - step, 0) * rates[run.shape.params] for run, step in runs]
    running = sum(course.state.state == "running" for course in courses)
    return max(sum(left) / max(running, 1), max(left, default=0.0))


def _rates(courses: Sequence[Course], planned: Mapping[int, float]) -> dict[int, float] | None:
    """Return seconds per step by model size: measured; planned, corrected by what was measured; or by FLOPs."""
    seconds, steps = defaultdict[int, float](float), defaultdict[int, int](int)
    for course in courses:
        if course.elapsed and course.step:
            seconds[course.state.run.shape.params] += course.elapsed
            steps[course.state.run.shape.params] += course.step
    measured = {size: seconds[size] / steps[size] for size in seconds}
    sizes = {course.state.run.shape.params: course.state.run for course in courses}
    both = [size for size in measured if planned.get(size)]
    correction = sum(measured[size] for size in both) / sum(planned[size] for size in both) if both else 1.0
    # FLOPs of a step are in proportion to size times batch.
    cost = {size: run.flops / run.recipe.steps for size, run in sizes.items()}
    known = measured or {size: planned[size] for size in sizes if planned.get(size)}
    if not known:
        return None
    per_flop = sum(known.values()) / sum(cost[size] for size in known)
    return {
        size: measured.get(size) or (planned[size] * correction if planned.get(size) else cost[size] * per_flop)
        for size in sizes
    }
