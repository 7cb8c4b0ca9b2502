"""One rank of runs of the Trainer whose model is split, started by run_ranks: trainer_rank.py FOLDER SPECS.

One start of the processes trains many times, under several strategies, each in a folder of its own: starting costs more
than training.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaForCausalLM, TrainerCallback

from kis_plugin.errors import KISError
from tests.sharded import shims
from tests.world.data import BareRows, BaseRows, Stream
from tests.world.facts import kis
from tests.world.models import make_model
from tests.world.runs import StopAt, WatchedTrainer, arguments
from tests.world.tokenizers import make_tokenizer

WRAP = {"transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]}
NOT_ON_CPU = {"cpu_ram_efficient_loading": False, "sync_module_states": False}
ZERO: dict[str, Any] = {
    "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto", "train_batch_size": "auto",
    "gradient_clipping": "auto", "zero_force_ds_cpu_optimizer": False, "bf16": {"enabled": False},
}  # fmt: skip


def fsdp(version: int) -> dict[str, Any]:
    return {"fsdp": "full_shard auto_wrap", "fsdp_config": {"fsdp_version": version, **WRAP, **NOT_ON_CPU}}


def zero(stage: int) -> dict[str, Any]:
    whole = {"stage3_param_persistence_threshold": 0, "stage3_gather_16bit_weights_on_model_save": True}
    return {"use_cpu": False, "deepspeed": {"zero_optimization": {"stage": stage, **whole}, **ZERO}}


# A model that is split at loading saves no optimizer.
NO_SAVES = {"save_strategy": "no"}
STRATEGIES: dict[str, dict[str, Any]] = {
    "alone": {}, "ddp": {}, "fsdp1": fsdp(1), "fsdp2": fsdp(2), "zero2": zero(2), "zero3": zero(3),
    "tp": NO_SAVES, "dp-tp": NO_SAVES, "cp": fsdp(2) | NO_SAVES,
}  # fmt: skip


def install(strategies: set[str]) -> None:
    """Put in the shims that any of the strategies needs; each does nothing to the others."""
    shims.load_to_any_cpu()
    if {"fsdp1", "fsdp2", "cp"} & strategies:
        shims.accelerate_fsdp()
    if "fsdp1" in strategies:
        shims.plain_cpu_device()
        shims.fsdp1_states()
    if any(strategy.startswith("zero") for strategy in strategies):
        shims.accelerate_deepspeed()
        shims.deepspeed_over_gloo()
        shims.bf16_without_gpu()
    if {"tp", "dp-tp"} & strategies:
        shims.tensor_parallel_on_cpu()
    if "cp" in strategies:
        shims.context_parallel_on_cpu()


def model_of(strategy: str, models: Path, taught: bool) -> Any:
    if taught:
        return LlamaForCausalLM.from_pretrained(models / "taught", dtype=torch.float32)
    if not strategy.endswith("tp"):
        return make_model(hidden=32, heads=2)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    from transformers import AutoModelForCausalLM
    from transformers.distributed import DistributedConfig

    groups = int(os.environ["WORLD_SIZE"]) // 2
    config = DistributedConfig(tp_size=2, **({"fsdp_size": groups} if groups > 1 else {}))
    return AutoModelForCausalLM.from_pretrained(models / "model", distributed_config=config)


def how_split(trainer: Any) -> dict[str, Any]:
    """What shows that the model is split: types, sizes of what is here, and of the whole."""
    parameters = list(trainer.model.parameters())
    local = [p.to_local() if hasattr(p, "to_local") else p for p in parameters]
    return {
        "types": sorted({type(p).__name__ for p in parameters}),
        "local": sum(p.numel() for p in local),
        "whole": sum(int(getattr(p, "ds_numel", p.numel())) for p in parameters),
        "modules": sorted({type(m).__name__ for m in trainer.model_wrapped.modules()}),
        "dtypes": sorted({str(p.dtype) for p in parameters}),
    }


class WholeBatches(WatchedTrainer):
    """Notes batches before the host cuts their rows, and the width of what the model is given."""

    def training_step(self, model: Any, inputs: Any, *args: Any, **keys: Any) -> Any:
        self.__dict__.setdefault("whole", []).append(inputs["input_ids"].numpy().copy())
        return super().training_step(model, inputs, *args, **keys)


class NoteWeights(TrainerCallback):
    """Keeps the whole weights after some steps: one vector of all parameters."""

    def __init__(self, steps: list[int]) -> None:
        self.steps, self.weights = steps, {}

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step in self.steps:
            with whole(model):
                parts = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in model.parameters()]
                self.weights[str(state.global_step)] = torch.cat([p.detach().float().flatten() for p in parts]).numpy()


def whole(model: Any) -> ExitStack:
    """A context in which parameters that are split by ZeRO 3 or FSDP 1 are whole."""
    stack, parameters = ExitStack(), list(model.parameters())
    if any(hasattr(p, "ds_id") for p in parameters):
        import deepspeed

        stack.enter_context(deepspeed.zero.GatheredParameters(parameters))
    from torch.distributed.fsdp import FullyShardedDataParallel

    if isinstance(model, FullyShardedDataParallel):
        stack.enter_context(FullyShardedDataParallel.summon_full_params(model, writeback=False))
    return stack


def train(folder: Path, spec: dict[str, Any]) -> None:
    """Train once as ``spec`` says; leave the rows that the model was given, losses and weights in its folder."""
    strategy, tag, stop, models = spec["strategy"], spec["tag"], spec.get("stop", 0), folder
    folder = folder / strategy / spec.get("in", tag)
    rank, graphs = int(os.environ.get("RANK", 0)), torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    keys = {
        "max_steps": spec.get("steps", 20), "gradient_accumulation_steps": 2, "logging_steps": 1, "learning_rate": 1e-2,
        "save_strategy": "steps", "save_steps": 1000, "per_device_train_batch_size": spec.get("batch", 2),
        **STRATEGIES[strategy], **spec.get("arguments", {}),
    }  # fmt: skip
    if "deepspeed" in keys and spec.get("arguments", {}).get("bf16"):
        keys["deepspeed"] = keys["deepspeed"] | {"bf16": {"enabled": True}}
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        keys["ddp_backend"] = "gloo"
    if strategy == "cp":
        from accelerate import ParallelismConfig

        keys["parallelism_config"] = ParallelismConfig(cp_size=2)
    tokenizer, seen = make_tokenizer(), []
    model = model_of(strategy, models, bool(spec.get("taught")))

    def note(module: Any, args: Any, kwargs: Any = None) -> None:
        if module.training and torch.is_grad_enabled():
            seen.append(torch.as_tensor(args[0] if args else kwargs["input"]).cpu().numpy().copy())

    # Counted at the embedding: what the model was really given.
    if not keys.get("torch_compile") and strategy != "cp":
        model.get_input_embeddings().register_forward_pre_hook(note)
    from kis_hf import KnowledgeInfusion

    weights = NoteWeights([8, 20])
    callbacks: list[Any] = [weights, *([StopAt(stop)] if stop else [])]
    if spec.get("kis", True):
        given = {"frequency": 6, **(spec["kis"] if isinstance(spec.get("kis"), dict) else {})}
        if "general_text" in given.get("retention", {}):
            (folder / "signs.txt").write_text("#$%&@! " * 20)
            given["retention"]["general_text"] = str(folder / "signs.txt")
        callbacks.append(KnowledgeInfusion(kis(folder, **given), tokenizer=tokenizer))
    rows = BaseRows(spec.get("rows", 160), tokenizer)
    host = WholeBatches if strategy == "cp" else WatchedTrainer
    trainer = host(
        model=model,
        args=arguments(folder, **keys),
        train_dataset=Stream(rows) if spec.get("stream") else rows,
        callbacks=callbacks,
    )
    trainer.train(resume_from_checkpoint=spec.get("resume", False))
    given = getattr(trainer, "whole", None) or seen or trainer.seen
    np.save(folder / f"{tag}-{rank}.npy", np.concatenate(given))
    if rank == 0:
        np.savez(folder / f"{tag}-weights.npz", **weights.weights)
        history = [entry for entry in trainer.state.log_history if "loss" in entry]
        report = {"losses": [entry["loss"] for entry in history], "split": how_split(trainer)}
        report |= {"graphs": graphs["unique_graphs"], "width": trainer.seen[0].shape[1]}
        (folder / f"{tag}.json").write_text(json.dumps(report))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    if rank == 0 and "copy" in spec:  # to go on elsewhere too
        shutil.copytree(folder, folder.parent / spec["copy"], dirs_exist_ok=True)


def train_or_fail(folder: Path, spec: dict[str, Any]) -> None:
    """Train where a refusal is expected; leave what it says."""
    try:
        train(folder, spec)
    except KISError as error:
        (folder / spec["strategy"] / spec["in"] / f"{spec['tag']}.txt").write_text(str(error))


def count_sequence_parallel(folder: Path, epochs: int = 2) -> None:
    """Draw from the loader of DeepSpeed's Ulysses, whose attention needs GPUs, as the Trainer does.

    Leaves the rows that are counted, and those that each step was given.
    """
    from deepspeed.runtime.sequence_parallel.ulysses_sp import UlyssesSPDataLoaderAdapter

    from kis_hf.whole_batches import watch_sequence_parallel

    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    rows = BareRows(24, make_tokenizer())
    own = torch.stack([torch.as_tensor(rows[place]) for place in range(rank, 24, ranks)]).long()
    places = torch.arange(own.shape[1]).expand_as(own)
    batches = [
        {"input_ids": ids, "position_ids": at, "labels": ids}
        for ids, at in zip(own.split(2), places.split(2), strict=True)
    ]
    loader = UlyssesSPDataLoaderAdapter(batches, rank, torch.distributed.group.WORLD, ranks, torch.device("cpu"))
    counted: list[np.ndarray] = []
    steps: list[np.ndarray] = []
    ahead: list[int] = []

    class Host:
        def training_step(self, model: Any, inputs: Any) -> None:
            steps.append(inputs["input_ids"].numpy().copy())
            ahead.append(len(counted))

    host: Any = Host()
    drain, stop = watch_sequence_parallel(host, loader, counted.append)
    for _ in range(epochs):
        for inputs in loader:
            host.training_step(None, inputs)
    drain()
    stop()
    assert loader.dl is batches
    np.savez(folder / f"ulysses-{rank}.npz", counted=np.concatenate(counted), steps=np.stack(steps), ahead=ahead)


def main() -> None:
    folder, specs = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    install({spec["strategy"] for spec in specs})
    from accelerate.state import AcceleratorState

    import kis_hf.callback

    environment, refuse = dict(os.environ), kis_hf.callback.refuse_parallel
    for spec in specs:
        # Context parallelism is refused by name until GPUs have run it.
        kis_hf.callback.refuse_parallel = (  # type: ignore[attr-defined]
            (lambda trainer: None) if spec["strategy"] == "cp" else refuse
        )
        if spec["strategy"] == "sp":
            count_sequence_parallel(folder)
            continue
        (train_or_fail if spec.get("refused") else train)(folder, spec)
        gc.collect()
        # A Trainer leaves its strategy in the environment and in accelerate, for those that come after it.
        os.environ.clear()
        os.environ.update(environment)
        AcceleratorState._reset_state(reset_partial_state=True)
    sys.stdout.flush()
    os._exit(0)  # gloo's threads now and then abort the interpreter's own end, after all is done


if __name__ == "__main__":
    main()
