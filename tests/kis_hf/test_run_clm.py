"""The data of transformers' ``run_clm.py``: a text file, tokenized and cut into rows by ``map``, streamed or not.

The script is not part of the wheel. What it does to data is done here, with its collator and its order of steps.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from transformers import default_data_collator

from tests.world.facts import WORDS, kis
from tests.world.logs import log_of
from tests.world.runs import StopAt, controls_shown, shown, trainer_for
from tests.world.tokenizers import make_tokenizer

datasets = pytest.importorskip("datasets")

SEQUENCE_LENGTH = 64
FORMS = ["map", "stream of a file", "stream of a split"]


def write_text(path):
    rng = np.random.default_rng(0)
    path.write_text("".join(" ".join(rng.choice(WORDS, rng.integers(5, 60))) + "\n" for _ in range(150)))
    return str(path)


def split_stream(whole):
    """Of a stream without validation data the script makes two, by generators."""

    def rows(training):
        yield from (row for number, row in enumerate(whole) if (number % 100 > 5) == training)

    return datasets.IterableDataset.from_generator(rows, gen_kwargs={"training": True}, features=whole.features)


def grouped(examples):
    joined = {name: list(chain(*examples[name])) for name in examples}
    length = len(joined["input_ids"]) // SEQUENCE_LENGTH * SEQUENCE_LENGTH
    rows = {
        name: [values[at : at + SEQUENCE_LENGTH] for at in range(0, length, SEQUENCE_LENGTH)]
        for name, values in joined.items()
    }
    return {**rows, "labels": rows["input_ids"].copy()}


def rows_of(form, text, cache, tokenizer):
    streams = {"streaming": True} if form == "stream of a file" else {}
    raw = datasets.load_dataset("text", data_files={"train": text}, cache_dir=str(cache), split="train", **streams)
    if form == "stream of a split":
        raw = split_stream(raw)
    tokenized = raw.map(lambda some: tokenizer(some["text"]), batched=True, remove_columns=["text"])
    return tokenized.map(grouped, batched=True)


@pytest.mark.parametrize("form", FORMS)
def test_run_clm_data_is_infused_exactly_over_a_resume(tmp_path, form):
    config, tokenizer = kis(tmp_path, frequency=5), make_tokenizer()
    data = rows_of(form, write_text(tmp_path / "text.txt"), tmp_path / "cache", tokenizer)
    # Two passes over the data. Streams without accumulation: what is left of it at their end joins the next step.
    length = {"num_train_epochs": 2, "max_steps": -1, "gradient_accumulation_steps": 2}
    keys = {"save_strategy": "steps", "save_steps": 1000, **(length if form == "map" else {"max_steps": 25})}
    seen = []
    for stop in (8, 0):
        trainer = trainer_for(
            tmp_path,
            config,
            tokenizer=tokenizer,
            data=lambda rows: data,
            callbacks=[StopAt(stop)] if stop else [],
            **keys,
        )
        trainer.data_collator = default_data_collator
        trainer.train(resume_from_checkpoint=not stop)
        seen += trainer.seen
    assert len(shown(seen, config, tokenizer)) == 20
    assert set(shown(seen, config, tokenizer).values()) == {5}
    assert controls_shown(seen, config, tokenizer) == 0
    log = log_of(tmp_path)
    assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
    assert log.end.extra["miscounted"] == 0
    assert log.end.status == "completed"
    assert log.run.tokens == sum(batch.size for batch in seen)
