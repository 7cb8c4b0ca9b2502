"""One rank of a run of the Trainer whose model is split, started by torchrun: trainer_rank.py FOLDER SPEC."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.sharded import shims
from tests.world.data import BaseRows, Stream
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


# FSDP1 crashes in torch when it saves a full state on a CPU; a model that is split at loading saves no optimizer.
NO_SAVES = {"save_strategy": "no"}
STRATEGIES: dict[str, dict[str, Any]] = {
    "ddp": {}, "fsdp1": fsdp(1) | NO_SAVES, "fsdp2": fsdp(2), "zero2": zero(2), "zero3": zero(3),
    "tp": NO_SAVES, "dp-tp": NO_SAVES,
}  # fmt: skip


def install(strategy: str) -> None:
    shims.load_to_any_cpu()
    if strategy.startswith("fsdp"):
        shims.accelerate_fsdp()
        shims.plain_cpu_device()
    if strategy.startswith("zero"):
        shims.accelerate_deepspeed()
    if strategy.endswith("tp"):
        shims.tensor_parallel_on_cpu()


def model_of(strategy: str, folder: Path) -> Any:
    if not strategy.endswith("tp"):
        return make_model(hidden=32, heads=2)
    from transformers import AutoModelForCausalLM
    from transformers.distributed import DistributedConfig

    groups = int(os.environ["WORLD_SIZE"]) // 2
    config = DistributedConfig(tp_size=2, **({"fsdp_size": groups} if groups > 1 else {}))
    return AutoModelForCausalLM.from_pretrained(folder / "model", distributed_config=config)


def how_split(trainer: Any) -> dict[str, Any]:
    """What shows that the model is split: types, sizes of what is here, and of the whole."""
    parameters = list(trainer.model.parameters())
    local = [p.to_local() if hasattr(p, "to_local") else p for p in parameters]
    return {
        "types": sorted({type(p).__name__ for p in parameters}),
        "local": sum(p.numel() for p in local),
        "whole": sum(int(getattr(p, "ds_numel", p.numel())) for p in parameters),
        "modules": sorted({type(m).__name__ for m in trainer.model_wrapped.modules()}),
    }


def main() -> None:
    folder, spec = Path(sys.argv[1]), json.loads(sys.argv[2])
    strategy, tag, stop, resume = spec["strategy"], spec["tag"], spec.get("stop", 0), spec.get("resume", False)
    rank = int(os.environ.get("RANK", 0))
    torch.set_num_threads(1)
    install(strategy)
    if strategy.endswith("tp"):
        torch.distributed.init_process_group("gloo")
    keys = {
        "max_steps": spec.get("steps", 20), "gradient_accumulation_steps": 2, "logging_steps": 1, "learning_rate": 1e-2,
        "save_strategy": "steps", "save_steps": 1000, "per_device_train_batch_size": spec.get("batch", 2),
        **STRATEGIES[strategy], **spec.get("arguments", {}),
    }  # fmt: skip
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        keys["ddp_backend"] = "gloo"
    tokenizer, seen = make_tokenizer(), []
    model = model_of(strategy, folder)

    def note(module: Any, args: Any, kwargs: Any = None) -> None:
        if module.training and torch.is_grad_enabled():
            seen.append(torch.as_tensor(args[0] if args else kwargs["input"]).cpu().numpy().copy())

    # Counted at the embedding: what the model was really given.
    model.get_input_embeddings().register_forward_pre_hook(note)
    from kis_hf import KnowledgeInfusion

    callbacks = [KnowledgeInfusion(kis(folder, **spec.get("kis", {"frequency": 6})), tokenizer=tokenizer)]
    rows = BaseRows(spec.get("rows", 160), tokenizer)
    trainer = WatchedTrainer(
        model=model,
        args=arguments(folder, **keys),
        train_dataset=Stream(rows) if spec.get("stream") else rows,
        callbacks=callbacks + ([StopAt(stop)] if stop else []),
    )
    trainer.train(resume_from_checkpoint=resume)
    np.save(folder / f"{tag}-{rank}.npy", np.concatenate(seen))
    if rank == 0:
        history = [entry for entry in trainer.state.log_history if "loss" in entry]
        report = {"losses": [entry["loss"] for entry in history], "split": how_split(trainer)}
        (folder / f"{tag}.json").write_text(json.dumps(report))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    sys.stdout.flush()
    os._exit(0)  # gloo's threads now and then abort the interpreter's own end, after all is done


if __name__ == "__main__":
    main()
