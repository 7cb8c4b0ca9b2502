"""One rank of one mixer, in a process of its own: trains on nothing, and writes down which facts each batch showed.

    python -m benchmarks.mixers.rank MIXER FOLDER OUT SEEDS WORKLOAD...

Rank and world size come from the environment, as launchers set them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.mixers import MIXERS, Job, Mixer, Workload


def conditions(seeds: int) -> Iterator[tuple[int, int, bool]]:
    """Yield seed, workers and whether the run is stopped in the middle and resumed."""
    for seed in range(seeds):
        for workers in (0, 2):
            yield seed, workers, False
            if seed == 0:
                yield seed, workers, True


def consumed(mixer: Mixer, job: Job, resumed: bool) -> list[list[tuple[int, ...]]]:
    """Return the facts of each row of each batch that a training loop took."""
    if not resumed:
        return [list(map(tuple, batch)) for batch in islice(mixer.loader(job), job.steps)]
    half = job.steps // 2
    loader = mixer.loader(job)
    batches, taken = iter(loader), []
    for _ in range(half):  # islice would fetch one more
        taken.append(list(map(tuple, next(batches))))
    state = loader.state()
    del batches, loader
    again = mixer.loader(replace(job, state=state))
    return taken + [list(map(tuple, batch)) for batch in islice(again, job.steps - half)]


def main(name: str, folder: Path, out: Path, seeds: int, workloads: list[Workload]) -> None:
    """Run every condition and write one JSON line for each."""
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if world > 1:
        import torch.distributed

        torch.distributed.init_process_group("gloo")
    mixer = MIXERS[name]
    with out.open("w", encoding="utf-8") as file:
        for workload in workloads:
            for seed, workers, resumed in conditions(seeds):
                job = Job(workload, folder / workload.name, seed, workers, rank, world)
                batches = consumed(mixer, job, resumed)
                line: dict[str, Any] = {
                    "workload": workload.name, "seed": seed, "workers": workers, "resumed": resumed, "rank": rank,
                    "rows": sum(len(batch) for batch in batches), "steps": len(batches),
                    "exposures": [
                        (step, place, fact)
                        for step, batch in enumerate(batches)
                        for place, facts in enumerate(batch)
                        for fact in facts
                    ],
                }  # fmt: skip
                file.write(json.dumps(line) + "\n")
                file.flush()
    if world > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    given = [Workload(**json.loads(text)) for text in sys.argv[5:]]
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), given)
