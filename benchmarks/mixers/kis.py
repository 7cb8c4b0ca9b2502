"""KIS itself, as a plain PyTorch loop uses it, on knowledge read from a file like any other."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.mixers.contract import Batch, Job, Row, Workload
from kis_plugin.config.load import config_from
from kis_plugin.infusion.build_plan import plan_infusion
from kis_plugin.infusion.inputs import load_inputs
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.infusion.row_index import InfusedDataset, NumberedSampler
from kis_plugin.tokenized.tokenizer import Encoded

_WORDS, _SUBJECTS = 30_000, 40_000  # ids below are base text; ids from _SUBJECTS on name a fact's subject


class Words:
    """A tokenizer that parts at spaces: subject ``p17`` is the token ``_SUBJECTS + 17``, so facts can be counted."""

    eos = _WORDS

    def __init__(self, facts: int) -> None:
        self.vocabulary = _SUBJECTS + facts
        self.fingerprint = f"words of the benchmark, {self.vocabulary}"

    def encode_ids(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Return the ids of all texts, end to end, and how many each has."""
        words = [text.split() for text in texts]
        ids = np.array([self._id(word) for text in words for word in text], dtype=np.int32)
        return ids, np.array([len(text) for text in words], dtype=np.int64)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return the ids of each text, with where the words begin and end."""
        found = [list(re.finditer(r"\S+", text)) for text in texts]
        return [
            Encoded(
                tuple(self._id(word.group()) for word in words),
                tuple(word.end() for word in words),
                tuple(word.start() for word in words),
            )
            for words in found
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Return words; a hash stands for each that is no subject."""
        return " ".join(f"p{token - _SUBJECTS}" if token >= _SUBJECTS else f"#{token}" for token in ids)

    def breaks(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Say of no token that it ends a sentence or starts with white space."""
        none = np.zeros(self.vocabulary, dtype=np.bool_)
        return none, none

    def _id(self, word: str) -> int:
        if word[0] == "p" and word[1:].isdigit():
            return _SUBJECTS + int(word[1:])
        return _WORDS + 1 + zlib.crc32(word.encode()) % (_SUBJECTS - _WORDS - 1)


class Kis:
    """InfusedDataset behind NumberedSampler."""

    name = "KIS"
    distribution = "kis-plugin"
    modules = ("torch",)
    note = "InfusedDataset and NumberedSampler in a torch DataLoader; placement rows, frequency F"

    def prepare(self, workload: Workload, folder: Path) -> None:
        """Write the knowledge and its one template."""
        if folder.exists():
            return
        folder.mkdir(parents=True)
        with (folder / "facts.jsonl").open("w", encoding="utf-8") as file:
            for number in range(workload.facts):
                fact = {"subject": f"p{number}", "relation": "born", "object": f"t{number % 50}"}
                file.write(json.dumps(fact) + "\n")
        statements = ["{subject} was born in {object} .", "{object} is where {subject} was born ."]  # one is held out
        (folder / "templates.yaml").write_text(json.dumps({"born": {"statements": statements}}), encoding="utf-8")

    def plan(
        self, workload: Workload, folder: Path, seed: int, amount: Mapping[str, float] | None = None
    ) -> InfusionPlan:
        """Plan the run as its configuration says, by frequency unless ``amount`` is another."""
        config = config_from(
            {
                "knowledge": str(folder / "facts.jsonl"),
                "templates": str(folder / "templates.yaml"),
                "infusion": amount or {"frequency": workload.frequency},
                "retention": {"control": 0},
                "seed": seed,
                "cache": str(folder / "cache"),
            }
        )
        return plan_infusion(load_inputs(config, Words(workload.facts), workload.sequence_length), workload.rows)

    def loader(self, job: Job) -> _Loader:
        """Load with torch's loader."""
        return _Loader(job, self.plan(job.workload, job.folder, job.seed))

    def mixed(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Read row after row."""
        from kis_torch.row_infusion import RowInfusion

        base = _Base(workload)
        dataset = InfusedDataset(base, RowInfusion(self.plan(workload, folder, 0), workload.sequence_length))
        return (dataset[index] for index in NumberedSampler(range(len(base)), len(base)))

    def plain(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Read row after row of the base."""
        base = _Base(workload)
        return (base[index] for index in range(len(base)))


class _Base:
    def __init__(self, workload: Workload) -> None:
        self.rows = list(workload.base_rows(min(workload.rows, 1 << 15)))
        self.count = workload.rows

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Row:
        return self.rows[index % len(self.rows)]


class _Loader:
    """Every rank takes its part of each batch; a resume skips the batches that are done."""

    def __init__(self, job: Job, plan: Any) -> None:
        from torch.utils.data import BatchSampler, DataLoader

        from kis_torch.row_infusion import RowInfusion

        base = _Base(job.workload)
        self._done = job.state or 0
        of_all_ranks = BatchSampler(NumberedSampler(range(len(base)), len(base)), job.batch, drop_last=True)
        mine = list(islice(of_all_ranks, job.rank + self._done * job.world, None, job.world))
        dataset: Any = InfusedDataset(base, RowInfusion(plan, job.workload.sequence_length))
        self._loader = DataLoader(dataset, batch_sampler=mine, num_workers=job.workers)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._loader:
            self._done += 1
            rows = batch["input_ids"].numpy()  # (B, T)
            yield [(row[row >= _SUBJECTS] - _SUBJECTS).tolist() for row in rows]

    def state(self) -> int:
        return self._done
