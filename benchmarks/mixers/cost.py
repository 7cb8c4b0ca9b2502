"""What mixing adds to a row: each mixer's mixed rows beside its own plain ones, each mixer in a process of its own.

python -m benchmarks.mixers.cost MIXER FACTS
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.mixers import MIXERS, Workload

SHARE = 0.05  # of rows that show facts
_WARM, _ROWS, _STRETCHES = 1_000, 4_000, 5
_LIMIT_SECONDS = 900


@dataclass(frozen=True)
class Cost:
    """CPU microseconds a row, all threads of the process together, the median of five stretches.

    Attributes:
        plain: Of the base alone.
        mixed: Of base and facts.
        failure: Why there is none.
    """

    plain: float = float("nan")
    mixed: float = float("nan")
    failure: str = ""

    @property
    def added(self) -> float:
        """What mixing costs."""
        return self.mixed - self.plain


def workload(facts: int, kis: bool) -> Workload:
    """Return a run of which about one row in twenty shows facts.

    A peer's source of facts is as long as there are facts, and read as far as the run goes. KIS has no source: its run
    is as long as it takes to show every fact once, two a row.
    """
    if facts == 1:
        return Workload("cost", rows=200_000, facts=1, frequency=200_000 * SHARE)
    if kis:
        return Workload("cost", rows=round(facts / 2 / SHARE), facts=facts, frequency=1)
    return Workload("cost", rows=200_000, facts=facts, frequency=200_000 * SHARE / facts)


def microseconds(rows: Iterable[Any], warm: int = _WARM, count: int = _ROWS) -> float:
    """Return CPU microseconds a row, the median of some stretches one after the other."""
    iterator = iter(rows)
    for _ in islice(iterator, warm):
        pass
    stretches = []
    for _ in range(_STRETCHES):
        began = time.process_time()
        read = sum(1 for _ in islice(iterator, count))
        stretches.append((time.process_time() - began) / read * 1e6)
    return statistics.median(stretches)


def measure(name: str, facts: int) -> Cost:
    """Measure one mixer in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.mixers.cost", name, str(facts)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        return Cost(failure=f"did not end within {_LIMIT_SECONDS} s")
    if done.returncode:
        return Cost(failure=(done.stderr.strip().splitlines() or ["no output"])[-1])
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def main(name: str, facts: int) -> None:
    """Measure here and print JSON."""
    mixer = MIXERS[name]
    with tempfile.TemporaryDirectory() as text:
        folder, job = Path(text) / "cost", workload(facts, kis=name == "KIS")
        mixer.prepare(job, folder)
        cost = Cost(microseconds(mixer.plain(job, folder)), microseconds(mixer.mixed(job, folder)))
    print(json.dumps(asdict(cost)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
