"""What torch, accelerate and lightning need to split models between processes that have no GPU.

Each is for tests only, and says what happens without it. None touches KIS.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any

import torch


def load_to_any_cpu() -> None:
    """Without it: transformers 5.3 loads optimizer states to ``cpu:0``, a place that torch does not know."""
    torch.serialization.register_package(9, lambda stored: None, lambda stored, at: stored if at == "cpu:0" else None)


def accelerate_fsdp() -> None:
    """Without it: with ``use_cpu``, accelerate takes ``fsdp=...`` for DDP and says nothing."""
    from accelerate import state
    from accelerate.utils import DistributedType

    original = state.AcceleratorState.__init__

    def init(self: Any, *args: Any, fsdp_plugin: Any = None, **keys: Any) -> None:
        original(self, *args, fsdp_plugin=fsdp_plugin, **keys)
        if self.distributed_type == DistributedType.MULTI_CPU and fsdp_plugin is not None:
            self.distributed_type = DistributedType.FSDP
            if self._mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(self._mixed_precision)
            self.fsdp_plugin = fsdp_plugin
            state.PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    state.AcceleratorState.__init__ = init  # type: ignore[method-assign]


def plain_cpu_device() -> None:
    """Without it: FSDP1 compares ``cpu:0``, accelerate's device, with ``cpu``, that of the parameters, and fails."""
    from accelerate import state

    set_device = state.PartialState.set_device

    def plain(self: Any) -> None:
        set_device(self)
        if self.device is not None and self.device.type == "cpu":
            self.device = torch.device("cpu")

    state.PartialState.set_device = plain  # type: ignore[method-assign]


def accelerate_deepspeed() -> None:
    """Without it: accelerate finds no backend for DeepSpeed without a GPU and takes each process for the only one."""
    from accelerate import state
    from accelerate.utils import DistributedType

    prepare = state.PartialState._prepare_backend

    def prepare_backend(self: Any, cpu: bool = False, *args: Any, **keys: Any) -> Any:
        if not cpu and int(os.environ.get("LOCAL_RANK", -1)) != -1:
            return "gloo", DistributedType.MULTI_CPU
        return prepare(self, cpu, *args, **keys)

    state.PartialState._prepare_backend = prepare_backend  # type: ignore[method-assign]


def deepspeed_over_gloo() -> None:
    """Without it: DeepSpeed compiles an operation of its own for sums over processes of one CPU, for half a minute."""
    backend = import_module("deepspeed.comm.torch")  # "from deepspeed.comm import torch" is torch itself
    backend.build_shm_op = lambda: None  # type: ignore[attr-defined]


def bf16_without_gpu() -> None:
    """Without it: transformers refuses bf16 for DeepSpeed, which runs with ``use_cpu=False``, where there is no GPU."""
    from transformers import training_args

    training_args.is_torch_bf16_gpu_available = lambda: True  # type: ignore[attr-defined]


def tensor_parallel_on_cpu() -> None:
    """Without it: accelerate refuses tensor parallelism for processes of type MULTI_CPU."""
    from accelerate import parallelism_config

    validate = parallelism_config.ParallelismConfig._validate_accelerator

    def validate_accelerator(self: Any, accelerator: Any) -> None:
        try:
            validate(self, accelerator)
        except ValueError as error:
            if "MULTI_CPU" not in str(error):
                raise

    parallelism_config.ParallelismConfig._validate_accelerator = validate_accelerator  # type: ignore[method-assign]


def context_parallel_on_cpu() -> None:
    """Without it: torch's ring attention finds no kernel on a CPU.

    Rows are cut in place as torch's ``context_parallel`` does it; each process attends to its own part alone, so losses
    mean nothing.
    """
    from accelerate import Accelerator

    @contextmanager
    def maybe_context_parallel(self: Any, buffers: Any = (), buffer_seq_dims: Any = (), **keys: Any) -> Iterator[None]:
        mesh = self.torch_device_mesh["cp"]
        with torch.no_grad():
            for buffer, dim in zip(buffers, buffer_seq_dims, strict=True):
                own = buffer.chunk(mesh.size(), dim)[mesh.get_local_rank()].clone()
                buffer.set_(own)
        yield

    Accelerator.maybe_context_parallel = maybe_context_parallel  # type: ignore[method-assign]


def lightning_fsdp() -> None:
    """Without it: FSDP under lightning on a CPU fails: it passes ``root_device.index``, None on a CPU."""
    from torch.distributed.fsdp import FullyShardedDataParallel

    init = FullyShardedDataParallel.__init__

    def on_cpu(self: Any, *args: Any, **keys: Any) -> None:
        init(self, *args, **(keys | {"device_id": torch.device("cpu")}))

    FullyShardedDataParallel.__init__ = on_cpu  # type: ignore[method-assign]
    fsdp1_states()


def fsdp1_states() -> None:
    """Without it: FSDP1 on a CPU crashes when it saves a whole state, or saves one that is wrong.

    - ``FlatParamHandle.to_cpu`` frees the storage that it has just "copied": SIGSEGV in full state dicts.
    - ``Tensor.cpu`` is no copy on a CPU, and the gather buffer is used again: saved ``exp_avg`` equals ``exp_avg_sq``.
    """
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.fsdp._flat_param import FlatParamHandle

    FlatParamHandle.to_cpu = lambda self: nullcontext()  # type: ignore[method-assign]
    state_dict = FullyShardedDataParallel.optim_state_dict

    def copied(*args: Any, **keys: Any) -> Any:
        with _cpu_copies():
            return state_dict(*args, **keys)

    FullyShardedDataParallel.optim_state_dict = staticmethod(copied)  # type: ignore[method-assign]


@contextmanager
def _cpu_copies() -> Iterator[None]:
    cpu = torch.Tensor.cpu
    torch.Tensor.cpu = lambda self, *args, **keys: self.clone()  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.Tensor.cpu = cpu  # type: ignore[method-assign]
