"""Make a folder to run the LitGPT example in, from the text and the facts that ship.

python examples/litgpt/prepare.py litgpt-demo
cd litgpt-demo
litgpt pretrain pythia-14m --config pretrain.yaml
"""

from __future__ import annotations

import argparse
import json
import lzma
import shutil
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).parent
DATA = HERE.parent / "data"
RELATION = "P30"  # the continent of a country
FACTS = 100
TRAIN_CHARACTERS = 2_000_000
VOCABULARY = 2048
END = "<|endoftext|>"


def main() -> None:
    """Write tokenizer, text, facts and the two configurations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    (folder / "tokenizer").mkdir(parents=True, exist_ok=True)
    text = lzma.decompress((DATA / "text.txt.xz").read_bytes()).decode()[:TRAIN_CHARACTERS]
    held_out = lzma.decompress((DATA / "heldout.txt.xz").read_bytes()).decode()
    lines = (DATA / "facts.jsonl").read_text(encoding="utf-8").splitlines()
    facts = [line for line in lines if json.loads(line)["relation"] == RELATION][:FACTS]
    for name, content in (("train.txt", text), ("val.txt", held_out), ("facts.jsonl", "\n".join(facts) + "\n")):
        (folder / name).write_text(content, encoding="utf-8")
    write_tokenizer(folder / "tokenizer", [text, *facts])
    for name in ("pretrain.yaml", "kis.yaml"):
        shutil.copy(HERE / name, folder / name)


def write_tokenizer(folder: Path, texts: list[str]) -> None:
    """Train a byte-level tokenizer and write it as LitGPT expects it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": END, "eos_token": END, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names), encoding="utf-8")


if __name__ == "__main__":
    main()
