"""From runs to a sweep: leave out what cannot be compared, group the rest by model size and token budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kis_plugin.amounts import short
from kis_predict.observed import ObservedRun
from kis_predict.recipe import differences

__all__ = ["FEWEST_FREQUENCIES", "MOST_SHARE", "Group", "Sweep", "build_sweep", "scattered_budgets"]

Array = npt.NDArray[np.float64]

MOST_SHARE = 0.9
"""Beyond this share of infused tokens hardly any general text is left: another regime, where retention rises again."""
FEWEST_FREQUENCIES = 5
_UNKNOWN_N = 10_000
_EXPECTED_BY_CHANCE = 20
_DOUBTFUL = 1e-3
"""Exposures per fact below which a frequency is taken for a mistake: a thousand facts would share one exposure."""
_SAME_BUDGET = 1.01
_ALIKE = 1.02
"""Ratio up to which facts, and the tokens of one exposure, are taken for the same."""
_SCATTERED = 3
"""Budgets of one size with too few frequencies each, from which on D is said to differ per run."""
_OFF_GRID = 1000.0


@dataclass(frozen=True)
class Group:
    """The runs of one model size and token budget.

    Attributes:
        params: N.
        tokens: D, the median where runs differ by less than 1 %.
        chance: Retention of a model that guesses.
        runs: By frequency.
    """

    params: int
    tokens: int
    chance: float
    runs: tuple[ObservedRun, ...]

    def points(self) -> tuple[Array, Array, Array, Array]:
        """Return log F, retention, probes and repeats: each (points,), one point a distinct frequency.

        Repeated runs at one frequency are averaged; probes is those of one run (their harmonic mean where they differ).
        """
        log_f = np.log([run.frequency for run in self.runs])
        x, at = np.unique(log_f, return_inverse=True)
        repeats = np.bincount(at).astype(np.float64)
        retention = np.bincount(at, [run.retention or 0.0 for run in self.runs]) / repeats
        probes = repeats / np.bincount(at, [1 / (run.n or _UNKNOWN_N) for run in self.runs])
        return x, retention, probes, repeats

    def holds(self, run: ObservedRun) -> bool:
        """Return whether ``run`` is of this size and budget."""
        ratio = max(run.tokens, self.tokens) / max(min(run.tokens, self.tokens), 1)
        return run.params == self.params and ratio <= _SAME_BUDGET

    def label(self) -> str:
        """Return the group's name for messages: ``N=137M, D=2.74B``."""
        return f"N={short(self.params)}, D={short(self.tokens)}"


@dataclass(frozen=True)
class Sweep:
    """What the prediction rests on.

    Attributes:
        groups: By size, then budget.
        thin: Groups with too few frequencies to be fitted; not among ``groups``.
        assumptions: What was taken for granted about the logs.
        warnings: What was left out and why, a line a reason.
        facts: Facts infused in each run, None if unknown or not the same everywhere within 2 %.
        tokens_per_fact: Likewise.
        uninfused: Completed runs at F = 0 that carry general loss.
    """

    groups: tuple[Group, ...]
    thin: tuple[Group, ...]
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]
    facts: int | None
    tokens_per_fact: float | None
    uninfused: tuple[ObservedRun, ...] = ()


def build_sweep(runs: Sequence[ObservedRun]) -> Sweep:
    """Screen and group ``runs``."""
    warnings = list(dict.fromkeys(warning for run in runs for warning in run.warnings))
    uninfused = tuple(_distinct([run for run in runs if _is_base(run)])[0])
    kept = [run for run in runs if not _is_base(run)]
    for reason, is_out in _SCREENS:
        out = [run for run in kept if is_out(run)]
        kept = [run for run in kept if not is_out(run)]
        warnings += _left_out(out, reason)
    doubtful = _doubtful(kept)
    kept = [run for run in kept if run not in doubtful]
    warnings += _left_out(doubtful, f"have a frequency more than {_OFF_GRID:g} times off the others of their size")
    kept, twice = _distinct(kept)
    warnings += _left_out(twice, "repeat another run (same N, D, frequency, seed, facts and schedule)")
    groups: list[Group] = []
    thin: list[Group] = []
    for group in _group(kept):
        (groups if len(np.unique([run.frequency for run in group.runs])) >= FEWEST_FREQUENCIES else thin).append(group)
    scattered = scattered_budgets(thin)
    warnings += [
        f"{group.label()} has runs at fewer than {FEWEST_FREQUENCIES} frequencies and is not fitted"
        for group in thin if group not in scattered
    ] + ([f"D differs per run at {_sizes_of(scattered)}, which is not fitted"] if scattered else [])  # fmt: skip
    facts = {run.facts for run in kept}
    sizes = [run.tokens_per_fact for run in kept if run.tokens_per_fact]
    alike = len(sizes) == len(kept) > 0 and max(sizes) <= _ALIKE * min(sizes)
    # Which facts are controls is drawn by the seed, so that equal runs may infuse a few more or fewer.
    counts = sorted(value for value in facts if value)
    as_many = len(counts) == len(facts) > 0 and counts[-1] <= _ALIKE * counts[0]
    if len(facts) > 1 and not as_many:
        warnings.append(
            f"The number of facts differs between runs ({_listed(facts)}): exposures per fact may not compare"
        )
    if sizes and max(sizes) > _ALIKE * min(sizes):
        warnings.append(
            f"The tokens of one exposure differ between runs ({min(sizes):.3g} to {max(sizes):.3g}): "
            "these are other facts"
        )
    warnings += differences(kept)
    return Sweep(
        groups=tuple(groups),
        thin=tuple(thin),
        assumptions=tuple(_assumptions(kept)),
        warnings=tuple(warnings),
        facts=int(np.median(counts)) if as_many else None,
        tokens_per_fact=float(np.mean(sizes)) if alike else None,
        uninfused=uninfused,
    )


def scattered_budgets(thin: Sequence[Group]) -> list[Group]:
    """Return the thin groups of sizes where D differs from run to run, as where F counts epochs: three or more each."""
    count = Counter(group.params for group in thin)
    return [group for group in thin if count[group.params] >= _SCATTERED]


def _sizes_of(groups: Sequence[Group]) -> str:
    return ", ".join(f"N={short(params)}" for params in sorted({group.params for group in groups}))


def _doubtful(runs: Sequence[ObservedRun]) -> list[ObservedRun]:
    """Return runs whose frequency is far off the others of their size: a slip of the pen such as 1e-300."""
    out = []
    for params in {run.params for run in runs}:
        these = sorted((run for run in runs if run.params == params), key=lambda run: run.frequency)
        middle = float(np.median([run.frequency for run in these]))
        # Walk outwards from the middle: from the first gap that is too wide on, nothing is taken.
        for side in (
            [run for run in these if run.frequency <= middle][::-1],
            [run for run in these if run.frequency > middle],
        ):
            at = middle
            for place, run in enumerate(side):
                if max(run.frequency, at) > _OFF_GRID * min(run.frequency, at):
                    out += side[place:]
                    break
                at = run.frequency
    return out


def _is_base(run: ObservedRun) -> bool:
    """Return whether ``run`` is a baseline from which a rise of general loss can be measured."""
    return run.frequency == 0 and run.loss is not None and run.status == "completed" and not _is_below_chance(run)


def _too_much(run: ObservedRun) -> bool:
    share = run.infused_share()
    return share is not None and share > MOST_SHARE


def _is_below_chance(run: ObservedRun) -> bool:
    """Return whether no probe was right where guessing would get many: a model of NaN has no right answer."""
    return run.retention == 0 and (run.n or 0) * _chance(run) > _EXPECTED_BY_CHANCE


_BY_STATUS = {
    "throttled": "were throttled by their guard, so that their frequency is not the planned one",
    "miscounted": "were miscounted: some facts were not shown as often as planned",
    "partly counted": "were resumed without their counts, so that their frequency is not known",
    "changed": "were resumed with another plan (another size, budget, frequency, seed or schedule)",
    "diverged": "diverged: a measurement is not a finite number",
}
_SCREENS: tuple[tuple[str, Callable[[ObservedRun], bool]], ...] = (
    *((reason, lambda run, status=status: run.status == status) for status, reason in _BY_STATUS.items()),
    ("did not complete", lambda run: run.status != "completed"),
    ("carry no held-out retention", lambda run: run.retention is None),
    ("diverged: not one probe is right, where guessing would get some", _is_below_chance),
    ("are uninfused (frequency 0)", lambda run: run.frequency == 0),
    (f"have a doubtful frequency, below {_DOUBTFUL:g}", lambda run: run.frequency < _DOUBTFUL),
    (f"have a share above {MOST_SHARE:g}, which is another regime", _too_much),
)
"""What leaves a run out, in this order; a run is named once."""
_OF_ONE = {"were": "was", "are": "is", "have": "has", "carry": "carries", "repeat": "repeats"}
"""The verbs of these reasons where a single run is meant."""


def _left_out(out: Sequence[ObservedRun], reason: str) -> list[str]:
    if not out:
        return []
    names = ", ".join(run.source for run in out[:3]) + (f" and {len(out) - 3} more" if len(out) > 3 else "")
    if len(out) > 1:
        return [f"Left out {len(out)} runs that {reason}: {names}"]
    verb, _, rest = reason.partition(" ")
    return [f"Left out 1 run that {_OF_ONE.get(verb, verb)} {rest}: {names}"]


def _distinct(runs: Sequence[ObservedRun]) -> tuple[list[ObservedRun], list[ObservedRun]]:
    """Split runs into first ones and repeats. Without a seed, only an equal result makes a repeat."""
    first: list[ObservedRun] = []
    twice: list[ObservedRun] = []
    seen: set[tuple[object, ...]] = set()
    for run in runs:
        result = (run.retention, run.n, run.loss) if run.seed is None else ()
        key = (run.params, run.tokens, run.frequency, run.seed, run.facts, run.schedule_hash, *result)
        (twice if key in seen else first).append(run)
        seen.add(key)
    return first, twice


def _group(runs: Sequence[ObservedRun]) -> list[Group]:
    """Group by N, D within 1 %, and chance."""
    groups: list[list[ObservedRun]] = []
    for run in sorted(runs, key=lambda run: (run.params, _chance(run), run.tokens, run.frequency)):
        last = groups[-1][0] if groups else None
        together = last and (last.params, _chance(last)) == (run.params, _chance(run))
        if last and together and run.tokens <= _SAME_BUDGET * last.tokens:
            groups[-1].append(run)
        else:
            groups.append([run])
    return sorted(
        (
            Group(
                params=members[0].params,
                tokens=int(np.median([run.tokens for run in members])),
                chance=_chance(members[0]),
                runs=tuple(sorted(members, key=lambda run: run.frequency)),
            )
            for members in groups
        ),
        key=lambda group: (group.params, group.tokens),
    )


def _chance(run: ObservedRun) -> float:
    return 0.25 if run.chance is None else round(run.chance, 9)


def _assumptions(runs: Sequence[ObservedRun]) -> list[str]:
    missing = Counter(name for run in runs for name in ("chance", "n", "share") if _absent(run, name))
    texts = {
        "chance": "carry no chance level or number of options: 4 options are assumed",
        "n": "do not record the number of probes: their noise is estimated from the scatter about the curves",
        "share": f"do not record how many tokens were infused: their share is assumed to be at most {MOST_SHARE:g}",
    }
    return [
        f"{missing[name]} run{'s' if missing[name] > 1 else ''} {text}" for name, text in texts.items() if missing[name]
    ]


def _absent(run: ObservedRun, name: str) -> bool:
    return (run.infused_share() if name == "share" else getattr(run, name)) is None


def _listed(values: set[int | None]) -> str:
    return ", ".join("unknown" if value is None else f"{value:,}" for value in sorted(values, key=lambda v: v or 0))
