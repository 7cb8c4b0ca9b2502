"""What ``kis_litgpt`` adds to ``kis``: checkpoints of LitGPT for ``kis probe``, and runs for ``kis sweep``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kis_plugin.errors import need_or_refuse
from kis_plugin.hook_markers import hookimpl

if TYPE_CHECKING:
    from kis_plugin.run.protocols import ModelLoader
    from kis_plugin.run.saved_model import LoadedModel, LoadOptions
    from kis_plugin.starter.protocols import Starter
    from kis_sweep.protocols import Framework
    from kis_sweep.run_spec import Shape, SweepRun
from kis_litgpt.checkpoint_files import WEIGHTS

__all__ = ["LitCheckpoint"]


class LitCheckpoint:
    """A checkpoint folder of LitGPT, with lit_model.pth, model_config.yaml and a tokenizer; or the file in it."""

    name = "litgpt"

    def claims(self, model: str) -> bool:
        """Return whether ``model`` is such a folder, or its lit_model.pth."""
        path = Path(model)
        return path.name == WEIGHTS or (path / WEIGHTS).exists()

    def load(self, model: str, options: LoadOptions) -> LoadedModel:
        """Load it.

        Raises:
            KISError: It cannot be loaded; or torch or litgpt is not installed.
        """
        _need_extra(f"model {model}")
        from kis_litgpt.saved import load_saved

        path = Path(model)
        return load_saved(path.parent if path.name == WEIGHTS else path, options)


class LitGPTFramework:
    """Trains the runs of a sweep with LitGPT."""

    name = "litgpt"

    def train(self, run: SweepRun) -> None:
        """Train one.

        Raises:
            KISError: What is wrong with its configuration; or torch or litgpt is not installed.
        """
        _need_extra("kis sweep --framework litgpt")
        from kis_litgpt.sweep_training import train

        train(run)

    def seconds_per_step(self, run: SweepRun) -> float:
        """Time a few steps."""
        _need_extra("kis sweep --framework litgpt")
        from kis_litgpt.sweep_training import seconds_per_step

        return seconds_per_step(run)

    def shape_of(self, model: str, sequence_length: int) -> Shape:
        """Return the shape of a trained model.

        Raises:
            KISError: There is none, or it is no Llama.
        """
        _need_extra("kis sweep --framework litgpt")
        from kis_litgpt.sweep_training import shape_of

        return shape_of(model, sequence_length)


@hookimpl
def kis_register_frameworks(register: Callable[[Framework], None]) -> None:
    """Add LitGPT."""
    register(LitGPTFramework())


@hookimpl
def kis_register_model_loaders(register: Callable[[ModelLoader], None]) -> None:
    """Add checkpoints of LitGPT."""
    register(LitCheckpoint())


@hookimpl
def kis_register_starters(register: Callable[[Starter], None]) -> None:
    """Add LitGPT."""
    from kis_litgpt.starter import LitGPTStarter

    register(LitGPTStarter())


def _need_extra(where: str) -> None:
    """Refuse to go on without torch and litgpt.

    Raises:
        KISError: Says which extra brings them.
    """
    from kis_litgpt import need_extra

    need_or_refuse(where, need_extra, "torch and litgpt")
