"""How well `kis-predict` extrapolates: simulated sweeps whose truth is known, beside argmax-and-line on the same runs.

    python -m benchmarks predict                   # 216 sweeps, then the timing
    python -m benchmarks predict --scatter 0.1     # sizes themselves scatter about the law
    python -m benchmarks predict --foreign         # curves of kinds that no fitted curve can follow
    python -m benchmarks predict --stray 1.5       # the smallest size collapses later than the law says, unseen
    python -m benchmarks predict --timing          # the timing alone
    python -m benchmarks predict --shallow         # falls of a third, seeds that differ by 0.06: what tiny models show

Five sizes from 137M to 1.3B at 20 tokens per parameter, twelve frequencies over 2.8 decades each, 1,000 four-option
probes a run and seeds that differ: a standard deviation of 0.03 in all at a retention of one half. Three curve shapes,
exponents of -0.5 and +0.5, widths that differ by 15 % from size to size, sweeps where the grid of the largest one
or two sizes ends before their collapse, and 2 % of runs broken: half of them said so, half are at chance unsaid.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kis_plugin.run.log import End, Retention, Run, RunLogWriter
from kis_predict.laws.built_in import built_in_laws
from kis_predict.observed import ObservedRun
from kis_predict.pipeline import PredictionRequest, predict
from kis_predict.prediction import Prediction

Array = npt.NDArray[np.float64]

CHANCE, TARGET, TOKENS_PER_PARAM, PROBES = 0.25, 7e9, 20, 1000
SIZES = np.geomspace(0.137e9, 1.3e9, 5)
LAWS = {law.name: law for law in built_in_laws()}
DECADE = np.log(10)


def tent(x: Array) -> Array:
    """Rise over 1.8 decades, fall over 0.9, a sharp top at 0. Height above chance, as a part of the greatest."""
    return np.asarray(np.clip(np.minimum(1 + x / (1.8 * DECADE), 1 - x / (0.9 * DECADE)), 0, 1))


def slow_rise_sharp_fall(x: Array) -> Array:
    """A wide logistic rise, then a loss of 60 % within a third of a decade."""
    rise = 1 / (1 + np.exp(-(x + 1.0 * DECADE) / (0.3 * DECADE)))
    return np.asarray(rise * (1 - 0.6 * np.clip(x / (0.33 * DECADE), 0, 1)))


def plateau_then_fall(x: Array) -> Array:
    """A rise that is over 1.2 decades before the fall."""
    rise = 1 / (1 + np.exp(-(x + 1.6 * DECADE) / (0.12 * DECADE)))
    return np.asarray(rise * (1 - 0.85 / (1 + np.exp(-(x - 0.35 * DECADE) / (0.1 * DECADE)))))


def gompertz(x: Array) -> Array:
    """A rise that starts sharply and saturates slowly, and a fall that does the opposite; neither is symmetric."""
    rise = np.exp(-np.exp(-(x + 1.2 * DECADE) / (0.35 * DECADE)))
    return np.asarray(rise * np.exp(-np.exp((x - 0.3 * DECADE) / (0.18 * DECADE))))


def shoulder(x: Array) -> Array:
    """A slow loss of 12 % over a decade before the collapse proper: two falls, not one."""
    rise = 1 / (1 + np.exp(-(x + 1.5 * DECADE) / (0.15 * DECADE)))
    slow = 1 - 0.12 * np.clip(x / DECADE + 0.6, 0, 1)
    return np.asarray(rise * slow / (1 + np.exp((x - 0.5 * DECADE) / (0.08 * DECADE))))


def power_tail(x: Array) -> Array:
    """Powers of F on both sides: retention never levels off, neither low nor high."""
    return np.asarray(1 / (1 + np.exp(-1.4 * (x + 0.9 * DECADE))) / (1 + np.exp(0.9 * (x - 0.6 * DECADE))))


def shallow(x: Array) -> Array:
    """A rise that is over when a loss of 35 % within 0.4 decades begins."""
    rise = 1 / (1 + np.exp(-(x + 0.45 * DECADE) / (0.09 * DECADE)))
    return np.asarray(rise * (1 - 0.35 * np.clip(x / (0.4 * DECADE), 0, 1)))


SHAPES: tuple[Callable[[Array], Array], ...] = (tent, slow_rise_sharp_fall, plateau_then_fall)
FOREIGN: tuple[Callable[[Array], Array], ...] = (gompertz, shoulder, power_tail)
"""Never looked at while the estimators were made."""


@dataclass(frozen=True)
class Case:
    """One simulated sweep and its truth at the target, log F."""

    shape: str
    exponent: float
    censored: int
    runs: list[ObservedRun]
    log_peak: float
    log_collapse: float
    draw: Callable[[int, float], float]
    """Retention of one more run, by N and F; of sizes that the sweep has."""


def landmarks(shape: Callable[[Array], Array]) -> tuple[float, float]:
    """Return where the shape peaks and where it has lost 5 % of its height, by the definition."""
    x = np.linspace(-3 * DECADE, 2 * DECADE, 200_001)
    y = shape(x)
    top = int(np.argmax(y))
    return float(x[top]), float(x[top + int(np.argmax(y[top:] < 0.95 * y[top]))])


def simulate(
    rng: np.random.Generator, shape: Callable[[Array], Array], exponent: float, censored: int = 0,
    frequencies: int = 12, seeds: int = 1, noise: float = 0.03, scatter: float = 0.0, wobble: float = 0.15,
    sizes: Array = SIZES, broken: float = 0.0, stray: float = 0.0,
) -> Case:  # fmt: skip
    """Simulate a sweep; ``censored`` sizes from the top are swept only to half a decade before their collapse.

    Args:
        rng: The randomness.
        shape: Height over log F, its landmark at 0.
        exponent: Of N in the law of F_c.
        censored: Number of the largest sizes whose grid ends early.
        frequencies: Points a size.
        seeds: Runs a point.
        noise: Standard deviation of retention at 0.5, probes and seeds together.
        scatter: Standard deviation of each size about the law, nats; the target has its own.
        wobble: Standard deviation of the log widths of the curves from size to size.
        sizes: N of the sweep.
        broken: Part of the runs that broke; half of these say so.
        stray: By how much later than the law says the smallest size collapses, nats; its grid is that of the law.
    """
    peak, collapse = landmarks(shape)
    rho = max(0.0, (4 * noise**2 - 1 / PROBES) / (1 - 1 / PROBES))
    everywhere = np.append(sizes, TARGET)
    zero = np.log(200.0) + exponent * np.log(everywhere / 0.4e9) + scatter * rng.standard_normal(len(everywhere))
    stretch = np.exp(wobble * rng.standard_normal(len(everywhere)))
    height = rng.uniform(0.45, 0.65)
    runs: list[ObservedRun] = []
    of_size = {round(params): at for at, params in enumerate(sizes)}

    def draw(params: int, frequency: float) -> float:
        at = of_size[params]
        p = float(CHANCE + height * shape((np.log(frequency) - zero[at]) / stretch[at]))
        right = rng.beta(p * (1 / rho - 1), (1 - p) * (1 / rho - 1)) if rho > 0 else p
        return float(rng.binomial(PROBES, right)) / PROBES

    for at, params in enumerate(sizes):
        left, right = (-1.9, 0.9) if at < len(sizes) - censored else (-2.6, -0.1)
        x = zero[at] + DECADE * (np.linspace(left, right, frequencies) + rng.uniform(-0.2, 0.2) * (right > 0))
        zero[at] += stray * (at == 0)
        p = CHANCE + height * shape((x - zero[at]) / stretch[at])
        for seed in range(seeds):
            chance_of_right = rng.beta(p * (1 / rho - 1), (1 - p) * (1 / rho - 1)) if rho > 0 else p
            retention = rng.binomial(PROBES, chance_of_right) / PROBES
            runs += [
                ObservedRun(
                    source=f"simulated:{len(runs)}", params=round(params), tokens=round(TOKENS_PER_PARAM * params),
                    frequency=float(np.exp(f)), retention=float(r), n=PROBES, chance=CHANCE, seed=seed,
                )
                for f, r in zip(x, retention, strict=True)
            ]  # fmt: skip
    peak, collapse = zero[-1] + stretch[-1] * np.array([peak, collapse])
    fate = rng.random(len(runs))
    runs = [_broken(run, place < broken / 2) if place < broken else run for run, place in zip(runs, fate, strict=True)]
    return Case(shape.__name__, exponent, censored, runs, float(peak), float(collapse), draw)


def _broken(run: ObservedRun, says_so: bool) -> ObservedRun:
    """Return the run as it is logged when it did not finish, or when it did and learnt nothing."""
    return replace(run, status="failed", retention=None) if says_so else replace(run, retention=CHANCE)


def argmax_and_line(case: Case) -> float:
    """Return log F at the target: the best frequency of each size and one least-squares line."""
    sizes = sorted({run.params for run in case.runs})
    best = [max((run for run in case.runs if run.params == size), key=lambda run: run.retention or 0) for size in sizes]
    slope, level = np.polyfit(np.log(sizes), np.log([run.frequency for run in best]), 1)
    return float(level + slope * np.log(TARGET))


def cases(
    sweeps: int, seed: int, scatter: float, shapes: Sequence[Callable[[Array], Array]] = SHAPES, stray: float = 0.0,
    noise: float = 0.03,
) -> Iterator[Case]:  # fmt: skip
    """Yield sweeps, shapes, signs and censoring in turn: of six, one has one size censored and one has two."""
    for at in range(sweeps):
        rng = np.random.default_rng([seed, at])
        censored = (0, 0, 1, 0, 0, 2)[(at // 6) % 6]
        exponent = (-0.5, 0.5)[(at // 3) % 2]
        shape = shapes[at % len(shapes)]
        yield simulate(rng, shape, exponent, censored, noise=noise, scatter=scatter, broken=0.02, stray=stray)


def _write(path: Path, runs: Sequence[ObservedRun]) -> None:
    """Write a table that ``kis-predict`` reads; 20,000 facts of 20 tokens."""
    columns = ("params", "tokens", "frequency", "retention", "n", "chance", "seed")
    rows = [",".join(str(getattr(run, name)) for name in columns) + ",20000,20" for run in runs]
    path.write_text("\n".join([",".join(columns) + ",facts,tokens_per_fact", *rows]) + "\n", encoding="utf-8")


def _log(folder: Path, count: int) -> None:
    """Write ``count`` run logs: five sizes, twenty frequencies, as many seeds as it takes."""
    case = simulate(np.random.default_rng(0), tent, 0.5, frequencies=20, seeds=count // 100)
    for at, run in enumerate(case.runs):
        log = RunLogWriter(folder / f"run-{at:05d}")
        log.write(
            Run(
                run_id=f"run-{at:05d}", params=run.params, tokens=run.tokens, frequency=run.frequency, facts=20_000,
                tokens_per_fact=20.0, options=4, seed=run.seed,
            )
        )  # fmt: skip
        for step in range(0, 1001, 100):
            accuracy = CHANCE + ((run.retention or CHANCE) - CHANCE) * step / 1000
            log.write(Retention(step=step, tokens=run.tokens, probe="held_out", accuracy=accuracy, n=PROBES))
        log.write(End(status="completed", step=1000, tokens=run.tokens))
        log.close()


def rmse(errors: Sequence[float] | Array) -> float:
    """Return the multiplicative root mean square error: exp of that of the log errors."""
    return float(np.exp(np.sqrt(np.mean(np.square(errors))))) if len(errors) else float("nan")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks predict", description=__doc__.split("\n")[0])
    parser.add_argument("--sweeps", type=int, default=216)
    parser.add_argument("--bootstraps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scatter", type=float, default=0.0, help="of sizes about the law, nats")
    parser.add_argument("--stray", type=float, default=0.0, help="of the smallest size, nats late")
    parser.add_argument("--foreign", action="store_true", help="the shapes that no fitted curve can follow")
    parser.add_argument("--shallow", action="store_true", help="shallow falls and seeds that differ much")
    parser.add_argument("--no-timing", action="store_true")
    parser.add_argument("--timing", action="store_true", help="print the timing alone")
    parser.add_argument("--each", action="store_true", help="print every sweep")
    parser.add_argument("--write", type=Path, help="write one simulated sweep as a CSV table, and do nothing else")
    parser.add_argument("--censored", type=int, default=0, help="sizes of --write swept only to before their collapse")
    args = parser.parse_args(argv)
    if args.write:
        _write(args.write, simulate(np.random.default_rng(args.seed), tent, 0.5, args.censored).runs)
        return 0
    if args.timing:
        _timing()
        return 0
    rows: list[Row] = []
    shapes = FOREIGN if args.foreign else (shallow,) if args.shallow else SHAPES
    for case in cases(args.sweeps, args.seed, args.scatter, shapes, args.stray, 0.06 if args.shallow else 0.03):
        began = time.perf_counter()
        answer = predict(case.runs, PredictionRequest(params=int(TARGET), bootstraps=args.bootstraps), LAWS)
        spent = time.perf_counter() - began
        line = argmax_and_line(case)
        rows.append(Row(case, answer, line, spent))
        if args.each:
            print(rows[-1])
    _report(rows)
    if not args.no_timing:
        _timing()
    return 0


@dataclass(frozen=True)
class Row:
    """One sweep answered: log F of argmax-and-line, and the seconds that the prediction took."""

    case: Case
    answer: Prediction
    line: float
    seconds: float

    def __str__(self) -> str:
        """Return one line: what was predicted, as ratios to the truth."""
        answered, truth = self.answer.collapse, np.exp(self.case.log_collapse)
        ratios = (
            f"F_c {answered.frequency / truth:5.2f} of the truth "
            f"[{answered.low / truth:5.2f}, {answered.high / truth:5.2f}]"
            if answered
            else "no answer"
        )
        kind = f"{self.case.shape:20s} {self.case.exponent:+.1f} censored {self.case.censored}"
        return f"{kind}  {ratios}  argmax {np.exp(self.line - self.case.log_peak):5.2f}"


COLUMNS = ("sweeps", "no answer", "F_c", "F_opt", "argmax", "on F_c", "covers", "above F_c", "width")


def _report(rows: Sequence[Row]) -> None:
    """Print a line for all sweeps and for each kind; see ``_line`` for the columns."""
    print(f"{'':20s} " + " ".join(f"{name:>9s}" for name in COLUMNS))
    for name in (
        "all",
        *(shape.__name__ for shape in (*SHAPES, *FOREIGN, shallow)),
        "censored 0",
        "censored 1",
        "censored 2",
    ):
        some = [row for row in rows if name in ("all", row.case.shape, f"censored {row.case.censored}")]
        if some:
            print(f"{name:20s} " + " ".join(f"{text:>9s}" for text in _line(some)))
    print("F_c (± its standard error), F_opt, argmax, on F_c: multiplicative RMSE at 7B; argmax by F_opt, then F_c.")
    print(
        "covers: 90 % intervals that hold F_c. above F_c: recommendations beyond the true collapse. width: high / low."
    )
    print(f"seconds a prediction: median {np.median([row.seconds for row in rows]):.2f}")


def _line(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the cells of one line."""
    answered = [(row.case, row.line, row.answer.collapse, row.answer) for row in rows if row.answer.collapse]
    yield str(len(rows))
    yield str(len(rows) - len(answered))
    if not answered:
        return
    errors = np.array([np.log(collapse.frequency) - case.log_collapse for case, _, collapse, _ in answered])
    drawn = np.random.default_rng(0).integers(len(errors), size=(400, len(errors)))
    yield f"{rmse(errors):.2f}±{np.std([rmse(errors[rows]) for rows in drawn]):.2f}"
    peaks = [(answer.peak, case) for case, _, _, answer in answered if answer.peak]
    yield f"{rmse([np.log(peak.frequency) - case.log_peak for peak, case in peaks]):.2f}"
    yield f"{rmse([line - case.log_peak for case, line, _, _ in answered]):.2f}"
    yield f"{rmse([line - case.log_collapse for case, line, _, _ in answered]):.2f}"
    held = [collapse.low <= np.exp(case.log_collapse) <= collapse.high for case, _, collapse, _ in answered]
    yield f"{np.mean(held):.0%}"
    above = [a.recommendation.frequency > np.exp(case.log_collapse) for case, _, _, a in answered if a.recommendation]
    yield f"{np.mean(above):.0%}"
    yield f"{np.median([collapse.high / collapse.low for _, _, collapse, _ in answered]):.1f}x"


def _timing() -> None:
    """Print what 10,000 logs cost, in all and of processor time, and --help beside a bare interpreter, best of five."""

    def processor() -> float:
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return spent.ru_utime + spent.ru_stime

    def best(*command: str) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - began)
        return min(times)

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        _log(Path(folder), 10_000)
        written, before = time.perf_counter(), processor()
        subprocess.run([sys.executable, "-m", "kis_predict.cli", "--logs", folder, "--target", "7B", "--json"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        spent, busy = time.perf_counter() - written, processor() - before
    print(
        f"10,000 run logs with 1,000 bootstraps: {spent:.1f} s, {busy:.1f} s of them of a processor (written in "
        f"{written - began:.1f} s); to reach: 10 s"
    )
    bare, shown = best("-c", "pass"), best("-m", "kis_predict.cli", "--help")
    print(f"kis-predict --help: {shown:.3f} s; python -c pass: {bare:.3f} s; to reach: 0.25 s more")


if __name__ == "__main__":
    raise SystemExit(main())
