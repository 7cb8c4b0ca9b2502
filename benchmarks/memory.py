"""Ten million facts: seconds, peak memory and disk of preparing them, of a start that finds them, and of a worker.

Each is a process of its own, watched from outside: ``RssAnon`` is memory of its own, ``VmRSS`` counts the pages of
mapped files too, which the system takes back when it needs them and which all processes share. What a bare interpreter
with torch has is subtracted from neither, but printed beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

FACTS = 10_000_000
BLOCK = 1024
OFTEN = 0.005  # seconds between two looks
RELATIONS, OBJECTS = 40, 50_000
END = "<eos>"
KNOWLEDGE = "facts.jsonl"


def main(argv: list[str]) -> int:
    """Make facts, prepare them, start, and print what each took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory", description=__doc__)
    parser.add_argument("--facts", type=int, default=FACTS, help=f"how many facts (default {FACTS:,})")
    parser.add_argument("--documents", type=int, metavar="MB", help="so many megabytes of documents instead of facts")
    parser.add_argument("--no-tokens", action="store_true", help="leave the tokens out: facts, codes and split alone")
    parser.add_argument("--folder", type=Path, help="where to put facts and cache (default: a temporary folder)")
    parser.add_argument("--child", choices=_CHILDREN, help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    if chosen.child:
        _CHILDREN[chosen.child](chosen.folder, chosen.no_tokens)
        return 0
    with tempfile.TemporaryDirectory(prefix="kis-memory-", dir=chosen.folder) as name:
        folder = Path(name)
        count = _write_documents(folder, chosen.documents) if chosen.documents else _write_facts(folder, chosen.facts)
        _write_config(folder)
        size = (folder / KNOWLEDGE).stat().st_size
        what = "documents" if chosen.documents else "facts"
        print(f"{count:,} {what}, {size / 1e6:,.0f} MB; {os.cpu_count()} cores\n")
        print(f"{'process':<12}{'step':<12}{'seconds':>9}{'CPU':>9}{'RssAnon':>10}{'VmRSS':>10}   peaks in MB")
        for child in _CHILDREN:
            if child == "worker" and chosen.no_tokens:
                continue
            _watch(child, folder, chosen.no_tokens)
        cache = sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file())
        print(f"\ncache on disk: {cache / 1e6:,.0f} MB")
    return 0


def _write_facts(folder: Path, count: int) -> int:
    """Write facts about people who never were; every third subject has two."""
    with (folder / KNOWLEDGE).open("w") as file:
        for number in range(count):
            subject, relation = number - number // 3, (number * 7919 + number // 4) % RELATIONS
            obj = number * 104_729 % OBJECTS
            file.write(
                f'{{"subject": "Synthetic Person {subject}", "relation": "relation {relation}", '
                f'"object": "Made-up Town {obj}"}}\n'
            )
    return count


def _write_documents(folder: Path, megabytes: int) -> int:
    """Write texts of made-up words, from 100 bytes to 200 kB long."""
    drawn = random.Random(0)  # noqa: S311 (no secret)
    words = ["".join(drawn.choices("abcdefghijklmnoprstuvwxyz", k=drawn.randint(2, 9))) for _ in range(5000)]
    sentences = [" ".join(drawn.choices(words, k=drawn.randint(5, 25))).capitalize() + "." for _ in range(5000)]
    left, count = megabytes * 10**6, 0
    with (folder / KNOWLEDGE).open("w") as file:
        while left > 0:
            text = f"Document {count}. " + " ".join(drawn.choices(sentences, k=int(2000 ** drawn.random())))
            left -= file.write(json.dumps({"text": text}) + "\n")
            count += 1
    return count


def _write_config(folder: Path) -> None:
    config = {"knowledge": KNOWLEDGE, "cache": "cache", "infusion": {"frequency": 2}}
    (folder / "kis.yaml").write_text(json.dumps(config))
    os.utime(folder / KNOWLEDGE, (1e9, 1e9))  # an old file is known by its time


def _watch(child: str, folder: Path, no_tokens: bool) -> None:
    """Run one process and print the peaks of each of its steps."""
    command = [sys.executable, "-m", "benchmarks", "memory", "--child", child, "--folder", str(folder)]
    process = subprocess.Popen(
        [*command, *(["--no-tokens"] if no_tokens else [])], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    step, peaks = "import", {"RssAnon": 0, "VmRSS": 0}
    started, used, used_before = time.perf_counter(), 0.0, 0.0

    def next_step(name: str) -> None:
        nonlocal step, peaks, started, used_before
        now = time.perf_counter()
        values = "".join(f"{peak / 1024:>10,.0f}" for peak in peaks.values())
        print(f"{child:<12}{step:<12}{now - started:>9.1f}{used - used_before:>9.1f}{values}", flush=True)
        step, started, used_before = name, now, used
        peaks = dict.fromkeys(peaks, 0)

    lines = iter(process.stdout or ())
    reader = threading.Thread(target=lambda: [next_step(line.strip()) for line in lines])
    reader.start()
    while process.poll() is None:
        for key, kilobytes in _memory(process.pid).items():
            peaks[key] = max(peaks[key], kilobytes)
        used = max(used, _cpu(process.pid))
        time.sleep(OFTEN)
    reader.join()
    if process.returncode:
        raise SystemExit(f"{child}: exit {process.returncode}")
    next_step("")


def _memory(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    wanted = (line.split() for line in lines if line.startswith(("RssAnon:", "VmRSS:")))
    return {name.rstrip(":"): int(value) for name, value, _ in wanted}


def _cpu(pid: int) -> float:
    """Return the seconds that a process has computed, all its threads together."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _step(name: str) -> None:
    print(name, flush=True)
    time.sleep(3 * OFTEN)  # let the watcher see the step as it begins


def _bare(folder: Path, no_tokens: bool) -> None:
    import torch  # noqa: F401


def _prepare(folder: Path, no_tokens: bool) -> None:
    import torch  # noqa: F401

    from kis_plugin.config.load import load_config
    from kis_plugin.tokenized.infusion_split import load_split

    _step("split")
    config = load_config(folder / "kis.yaml")
    found = load_split(config)
    if not no_tokens:
        from kis_plugin.tokenized.texts import load_texts

        tokenizer = _tokenizer(folder)
        _step("tokens")
        load_texts(config, found, tokenizer, BLOCK)


def _start(folder: Path, no_tokens: bool) -> None:
    import torch  # noqa: F401

    from kis_plugin.config.load import load_config
    from kis_plugin.retention.questions.distractors import option_sets
    from kis_plugin.tokenized.infusion_split import load_split

    _step("split")
    config = load_config(folder / "kis.yaml")
    found = load_split(config)
    _step("options")
    option_sets(found.knowledge.facts, found.infused, 4, 1000, 0)
    if no_tokens:
        return
    from kis_plugin.infusion.build_plan import plan_infusion
    from kis_plugin.infusion.inputs import load_inputs
    from kis_plugin.tokenized.texts import load_texts

    tokenizer = _tokenizer(folder)
    _step("tokens")
    items = load_texts(config, found, tokenizer, BLOCK)
    _step("plan")
    rows = 4 * len(items.tokens) // BLOCK
    plan = plan_infusion(load_inputs(config, tokenizer, BLOCK), rows)
    with (folder / "plan.pickle").open("wb") as file:
        pickle.dump((plan, rows), file)
    _step("rows")
    _place(plan, rows)


def _place(plan: object, rows: int, count: int = 20_000) -> None:
    """Place rows all over the run."""
    import numpy as np

    base = np.zeros(BLOCK, dtype=np.int32)
    for row in range(0, rows, max(rows // count, 1)):
        plan.place(row, base)  # type: ignore[attr-defined]


def _worker(folder: Path, no_tokens: bool) -> None:
    """Be a loader's worker that was started by spawn."""
    import torch  # noqa: F401

    _step("unpickle")
    with (folder / "plan.pickle").open("rb") as file:
        plan, rows = pickle.load(file)  # noqa: S301 (made above)
    _step("rows")
    _place(plan, rows)


def _tokenizer(folder: Path) -> object:
    """Train a small tokenizer once, and load it as a run would."""
    from kis_plugin.tokenized.load_tokenizer import load_tokenizer

    if not (folder / "tokenizer").is_dir():
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import PreTrainedTokenizerFast

        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        with (folder / KNOWLEDGE).open() as file:
            text = [line for line, _ in zip(file, range(20_000), strict=False)]
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=4000, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
        )
        made.train_from_iterator(text, trainer)
        PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END).save_pretrained(folder / "tokenizer")
    return load_tokenizer(str(folder / "tokenizer"))


_CHILDREN = {"bare": _bare, "prepare": _prepare, "start": _start, "worker": _worker}
