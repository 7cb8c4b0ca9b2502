"""TRL's SFTTrainer in every mode of packing: exact, counted in what the model was given."""

from __future__ import annotations

import numpy as np
import pytest

from tests.world.facts import WORDS, kis
from tests.world.logs import log_of
from tests.world.models import make_model
from tests.world.runs import arguments, controls_shown, shown
from tests.world.tokenizers import make_tokenizer

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

from kis_hf import KnowledgeInfusion  # noqa: E402

MODES = {
    "bfd": {"packing": True, "packing_strategy": "bfd"},
    "bfd_split": {"packing": True, "packing_strategy": "bfd_split"},
    "wrapped": {"packing": True, "packing_strategy": "wrapped"},
    "unpacked": {"packing": False},
    "padding_free": {"packing": False, "padding_free": True, "max_length": None},
}


def texts(count):
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, rng.integers(12, 70))) for _ in range(count)]


def rows_of(batch):
    """The rows of a batch; of rows that were joined to one, the documents."""
    ids = batch["input_ids"]
    if len(ids) > 1 or "position_ids" not in batch:
        return list(ids)
    return np.split(ids[0], np.flatnonzero(batch["position_ids"][0] == 0)[1:])


class Watched(trl.SFTTrainer):
    seen: list

    def training_step(self, model, inputs, *args, **keys):
        batch = {name: value.cpu().numpy().copy() for name, value in inputs.items() if hasattr(value, "cpu")}
        self.__dict__.setdefault("seen", []).append(batch)
        return super().training_step(model, inputs, *args, **keys)


def train(folder, config, mode, streaming=False, **keys):
    tokenizer = make_tokenizer()
    data = datasets.Dataset.from_dict({"text": texts(240)})
    given = arguments(folder, max_steps=60 if streaming else 30).to_dict()
    names = ("output_dir", "per_device_train_batch_size", "max_steps", "save_strategy", "report_to", "use_cpu", "seed")
    args = trl.SFTConfig(
        **{name: given[name] for name in names}, gradient_checkpointing=False, bf16=False,
        **{"max_length": 64, **MODES[mode]}, **keys,
    )  # fmt: skip
    trainer = Watched(
        model=make_model(),
        args=args,
        train_dataset=data.to_iterable_dataset() if streaming else data,
        processing_class=tokenizer,
        callbacks=[KnowledgeInfusion(config, tokenizer=tokenizer)] if config else [],
    )
    trainer.train()
    return trainer, tokenizer


@pytest.mark.parametrize("streaming", [False, True], ids=["map", "stream"])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_packing_is_exact(tmp_path, mode, streaming):
    config = kis(tmp_path, frequency=2, retention={"every": 15})
    trainer, tokenizer = train(tmp_path, config, mode, streaming)
    ids = [rows_of(batch) for batch in trainer.seen]
    assert set(shown(ids, config, tokenizer).values()) == {2}
    assert controls_shown(ids, config, tokenizer) == 0
    assert log_of(tmp_path).end.achieved_frequency == {"min": 2, "max": 2, "mean": 2}
    for batch in trainer.seen:
        kept = batch["labels"] != -100
        assert (batch["labels"][kept] == batch["input_ids"][kept]).all()
        if "position_ids" in batch and len(batch["input_ids"]) == 1:
            starts = np.flatnonzero(batch["position_ids"][0] == 0)
            assert (np.diff(batch["position_ids"][0])[np.diff(batch["position_ids"][0]) != 1] <= 0).all()
            assert not kept[0, starts].any()
            if "cu_seq_lens_q" in batch:
                assert batch["cu_seq_lens_q"].tolist() == [*starts.tolist(), batch["input_ids"].shape[1]]
                assert batch["seq_idx"][0].tolist() == (np.cumsum(batch["position_ids"][0] == 0) - 1).tolist()
