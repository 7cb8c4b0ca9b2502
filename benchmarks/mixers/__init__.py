"""KIS and its peers, each behind the same few methods, for ``python -m benchmarks infusion``."""

from benchmarks.mixers.contract import Job, Loader, Mixer, Workload
from benchmarks.mixers.grain_mix import GrainMix
from benchmarks.mixers.hf import Concatenated, InterleaveIterable, InterleaveMap
from benchmarks.mixers.kis import Kis
from benchmarks.mixers.lit import LitdataCopies, LitdataWeights
from benchmarks.mixers.nodes import WeightedNodes
from benchmarks.mixers.streaming import StreamingChoose

__all__ = ["MIXERS", "Job", "Loader", "Mixer", "Workload"]

MIXERS: dict[str, Mixer] = {
    mixer.name: mixer
    for mixer in (
        Kis(), LitdataWeights(), LitdataCopies(), InterleaveMap(), InterleaveIterable(), Concatenated(),
        WeightedNodes(), StreamingChoose(), GrainMix(),
    )
}  # fmt: skip
