"""How far the runs of a sweep are, and how long the rest will take."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kis_sweep.folder import State
from kis_sweep.progress.attempts import elapsed_seconds, seconds_since_logged

__all__ = ["Course", "courses_of", "seconds_left"]


@dataclass(frozen=True)
class Course:
    """How far a run is.

    Attributes:
        state: Its state.
        step: The last step that its log has.
        elapsed: Seconds spent on it, all attempts together; None where they were not noted.
        since: Seconds of ``elapsed`` since ``step`` was logged, or since the attempt began if that was later; 0 for a
            run that is not running.
    """

    state: State
    step: int
    elapsed: float | None
    since: float = 0.0


def courses_of(states: Sequence[State]) -> list[Course]:
    """Return how far each run is."""
    return [_course(state) for state in states]


def _course(state: State) -> Course:
    steps = [0]
    if state.log:
        steps += [record.step for record in state.log.retention] + [record.step for record in state.log.loss]
    step = state.run.recipe.steps if state.state == "finished" else min(max(steps), state.run.recipe.steps)
    running = state.state == "running"
    since = seconds_since_logged(state.run) if running else 0.0
    return Course(state, step, elapsed_seconds(state.run, running), since)


def seconds_left(courses: Sequence[Course], planned: Mapping[int, float], at_once: int | None = None) -> float | None:
    """Return about how long the runs that are not finished will take.

    Each run takes what is left of its steps, less what a running one has done since its log's last line. Those that
    wait begin as others end, the most expensive first, as ``kis sweep run`` has it.

    Args:
        courses: All runs of the sweep.
        planned: Seconds per step on the planning machine, by model size; empty if none were timed.
        at_once: Runs that are trained at a time; by default as many as are running now, at least one.

    Returns:
        Seconds; None where no step was timed, neither here nor in planning. Failed runs are left out.
    """
    rates = _rates(courses, planned)
    if rates is None:
        return None

    def left(course: Course) -> float:
        run = course.state.run
        return max((run.recipe.steps - course.step) * rates[run.shape.params] - course.since, 0.0)

    running = [course for course in courses if course.state.state == "running"]
    waiting = [course for course in courses if course.state.state in ("waiting", "interrupted")]
    ends = [left(course) for course in running]
    ends += [0.0] * (max(at_once or len(running), 1) - len(ends))
    heapq.heapify(ends)
    for course in sorted(waiting, key=lambda course: -course.state.run.flops):
        heapq.heapreplace(ends, ends[0] + left(course))
    return max(ends)


def _rates(courses: Sequence[Course], planned: Mapping[int, float]) -> dict[int, float] | None:
    """Return seconds per step by model size: measured; planned, corrected by what was measured; or by FLOPs."""
    seconds, steps = defaultdict[int, float](float), defaultdict[int, int](int)
    for course in courses:
        if course.elapsed and course.step:
            seconds[course.state.run.shape.params] += max(course.elapsed - course.since, 0.0)
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
