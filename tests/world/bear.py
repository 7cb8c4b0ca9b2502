"""A folder laid out like BEAR and models whose weights come from a seed: what LM Pub Quiz is given to score.

Run by itself with lm-pub-quiz 0.3.3, it writes what that finds (``real/lm_pub_quiz.json``)::

    PYTHONPATH=. python -m tests.world.bear
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

RECORDED = Path(__file__).parents[1] / "kis_hf" / "real" / "lm_pub_quiz.json"
MODELS = {"eos first": "<eos>", "bos first": "<bos>"}
"""Models by what their documents begin with: KIS puts EOS there, and the tokenizer's BOS with ``--begin bos``."""

RELATIONS = {
    "P36": ["The capital of [X] is [Y].", "[Y] is the capital of [X].", "[X] has its capital in [Y]."],
    "P105": ["[X] is a [Y].", "the taxonomic rank of [X] is [Y]", "[Y]: [X]"],
}
FACTS = {
    "P36": {
        "Italy": "Rome", "France": "Paris", "Peru": "Lima", "Côte d'Ivoire": "Yamoussoukro", "Norway": "Oslo",
        "the Bahamas": "Nassau",
    },
    "P105": {
        "oak": "genus", "Felidae": "family", "wolf": "species", "iris": "genus", "blue whale": "species",
        "Rosales": "order", "red fox": "species",
    },
}  # fmt: skip
SPACES = {"P36": ["Oslo", "Rome", "Lima", "Nassau", "Paris", "Yamoussoukro"]}
"""P105 has none: its answers are the objects of its facts, as they come."""


def write_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {relation: {"templates": found} for relation, found in RELATIONS.items()}
    for relation, facts in FACTS.items():
        objects = list(dict.fromkeys(facts.values()))
        if relation in SPACES:
            ids = [f"{relation}-{objects.index(answer)}" for answer in SPACES[relation]]
            metadata[relation] |= {"answer_space_labels": SPACES[relation], "answer_space_ids": ids}
        lines = [
            {"sub_id": f"Q{n}", "sub_label": subject, "obj_id": f"{relation}-{objects.index(obj)}", "obj_label": obj}
            for n, (subject, obj) in enumerate(facts.items())
        ]
        (folder / f"{relation}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "metadata_relations.json").write_text(json.dumps(metadata))
    return folder


def write_model(folder: Path, begins: str) -> Path:
    """Save a GPT-2 over bytes with weights from numpy's seeded numbers, which no release of torch changes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<eos>", "<bos>", *alphabet]
    backend = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", bos_token=begins)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(names), n_positions=96, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
        )
    )
    rng = np.random.default_rng(20240404)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            scale = 0.3 if parameter.ndim > 1 or name.endswith("bias") else 1.0
            parameter.copy_(torch.from_numpy(scale * rng.standard_normal(tuple(parameter.shape))).float())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def ask_lm_pub_quiz(model: Path, folder: Path) -> list[dict[str, Any]]:
    """Return the scores of every answer, by its defaults and by every template."""
    from lm_pub_quiz import Dataset, Evaluator

    evaluator = Evaluator.from_model(str(model), model_type="CLM", device="cpu")
    found = []
    for result in evaluator.evaluate_dataset(Dataset.from_path(folder), batch_size=8, metric="accuracy"):
        for _, row in result.instance_table.iterrows():
            scores = dict(zip(result.answer_space.tolist(), row["pll_scores"], strict=True))
            kept = {"relation": result.relation_code, "template": row["template_index"], "subject": row["sub_label"]}
            found.append({**kept, "object": row["obj_label"], "scores": scores})
    return found


def main() -> None:
    import lm_pub_quiz.__about__
    import transformers

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        folder = write_folder(place / "bear")
        answers = {
            model: ask_lm_pub_quiz(write_model(place / begins.strip("<>"), begins), folder)
            for model, begins in MODELS.items()
        }
    versions = {
        "lm-pub-quiz": lm_pub_quiz.__about__.__version__,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }
    RECORDED.parent.mkdir(exist_ok=True)
    RECORDED.write_text(json.dumps({"versions": versions, "answers": answers}, indent=1) + "\n")


if __name__ == "__main__":
    main()
