"""``KnowledgeInfusion``: a LitGPT data module that wraps another one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litgpt.data import DataModule, SFTDataset
from litgpt.tokenizer import Tokenizer
from torch.utils.data import DataLoader

from kis_litgpt.loader import InfusedLoader
from kis_litgpt.pretrain_hooks import install
from kis_litgpt.tokenizer import LitTokenizer
from kis_litgpt.training import Training
from kis_plugin.config.load import load_config
from kis_plugin.errors import KISError, Problem, show_uncaught

__all__ = ["KnowledgeInfusion"]


@dataclass
class KnowledgeInfusion(DataModule):
    """Infuses knowledge into the data of another module, measures retention, writes the run log.

    Raises:
        KISError: Anything wrong with the configuration, all of it at once.
    """

    kis: Path
    """Path of the kis.yaml: what is infused, how much of it, what is evaluated, where the run log goes."""
    data: DataModule
    """The data module that gives the text, with its own arguments: litgpt.data.TextFiles, LitData, or your own. It must
    give packed rows of max_seq_length + 1 tokens, as all modules for pretraining do."""

    def __post_init__(self) -> None:
        """Read the configuration."""
        show_uncaught()
        super().__init__()
        self._config = load_config(Path(self.kis))
        self._connected: tuple[LitTokenizer, int] | None = None

    def connect(
        self,
        tokenizer: Tokenizer | None = None,
        batch_size: int = 1,
        max_seq_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Take what LitGPT knows of the run.

        Raises:
            KISError: No tokenizer, or one that infused text cannot be made with.
        """
        if isinstance(self.data, KnowledgeInfusion):
            raise KISError(Problem("data.data", "a kis_litgpt.KnowledgeInfusion", "the module that gives the text"))
        self._connected = (LitTokenizer(tokenizer), int(max_seq_length or 0))
        self.data.connect(tokenizer=tokenizer, batch_size=batch_size, max_seq_length=max_seq_length, **kwargs)

    def prepare_data(self) -> None:
        """Prepare the wrapped module's data."""
        self.data.prepare_data()

    def setup(self, stage: str = "") -> None:
        """Set the wrapped module up."""
        self.data.setup(stage)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the wrapped module's loader, infused, and wait for LitGPT's training loop.

        Raises:
            KISError: Data for finetuning.
        """
        assert self._connected is not None, "LitGPT connects a data module before it requests loaders"
        tokenizer, sequence_length = self._connected
        base = self.data.train_dataloader()
        if isinstance(base.dataset, SFTDataset):
            found = f"{type(self.data).__name__}, prompts of many lengths"
            hint = "KIS infuses `litgpt pretrain`; to continue from given weights use --initial_checkpoint_dir there."
            raise KISError(Problem("data.data", found, "a module for pretraining, with packed rows", hint))
        loader = InfusedLoader(base, sequence_length, tokenizer.eos)
        install(loader, Training(self._config, tokenizer, loader))
        return loader

    def val_dataloader(self) -> Any:
        """Return the wrapped module's validation loader as it is."""
        return self.data.val_dataloader()
