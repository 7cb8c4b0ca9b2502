"""How fast knowledge is prepared: rendered, tokenized, packed and cached, beside the bare tokenizer on the same texts.

    python -m benchmarks prepare --facts 1000000 --runs 5

The facts are made: subjects are pairs of the names in ``examples/data/facts.jsonl``, each with a relation and an object
that it has there. The tokenizer is real, a byte-level BPE like GPT-2's of 32,768 tokens, trained here on
``examples/data/text.txt.xz``. The bare tokenizer is ``encode_batch_fast`` over the sentences, rendered beforehand, and
taking the ids out; batches are of as many texts as KIS takes, which is also where the bare tokenizer is fastest.
Reading and checking the facts' file is no part of either side. Each measurement is a fresh process; sides alternate,
and the ratio is the median over pairs. CPU seconds say the same on a machine that does other things too.
"""

from __future__ import annotations

import argparse
import json
import lzma
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kis_sweep.base_data import byte_level

DATA = Path(__file__).parent.parent / "examples" / "data"
VOCABULARY, EOS = 32768, "<|endoftext|>"
BLOCK, ROWS = 1024, 1 << 30


def make_tokenizer(path: Path) -> None:
    """Train a tokenizer like GPT-2's and write its ``tokenizer.json``."""
    with lzma.open(DATA / "text.txt.xz", "rt", encoding="utf-8") as file:
        byte_level(file, VOCABULARY, EOS).save(str(path))


def make_facts(path: Path, count: int) -> None:
    """Write facts whose names are real and whose triples are not."""
    objects: dict[str, dict[str, None]] = defaultdict(dict)
    subjects: dict[str, None] = {}
    with (DATA / "facts.jsonl").open(encoding="utf-8") as file:
        for line in file:
            fact = json.loads(line)
            subjects[fact["subject"]] = objects[fact["relation"]][fact["object"]] = None
    names, kinds = list(subjects), [(relation, list(found)) for relation, found in objects.items()]
    draw = np.random.default_rng(0)
    pairs = draw.choice(len(names) ** 2, count, replace=False)  # no subject twice
    with path.open("w", encoding="utf-8") as file:
        for number, pair in enumerate(pairs.tolist()):
            relation, known = kinds[number % len(kinds)]
            subject = f"{names[pair // len(names)]} {names[pair % len(names)]}"
            triple = {"subject": subject, "relation": relation, "object": known[int(draw.integers(len(known)))]}
            file.write(json.dumps(triple | {"id": f"f{number}"}, ensure_ascii=False) + "\n")


def loaded_tokenizer(folder: Path) -> Any:
    """Return the tokenizer as users have it, of ``transformers``."""
    import transformers

    fast: Any = transformers.PreTrainedTokenizerFast
    return fast(tokenizer_file=str(folder / "tokenizer.json"), eos_token=EOS)


def config_of(folder: Path) -> Any:
    """Return the configuration: each fact in one sentence, 64 times."""
    from kis_plugin.config.load import config_from

    values = {"knowledge": folder / "facts.jsonl", "cache": folder / "cache", "run_log": folder / "runs"}
    return config_from(values | {"infusion": {"frequency": 64, "template_order": "first"}, "retention": {"control": 0}})


def bare(folder: Path, batch: int) -> dict[str, float]:
    """Time the tokenizer alone."""
    from kis_plugin.templates.renderers import Sentences
    from kis_plugin.tokenized.infusion_split import prepare_split

    split, renderer = prepare_split(config_of(folder)), Sentences()
    texts = [renderer.render(fact, 0, split.book).text for fact in split.facts]
    encode = loaded_tokenizer(folder).backend_tokenizer.encode_batch_fast
    encode(texts[:batch], add_special_tokens=False)  # threads started

    def work() -> int:
        tokens = 0
        for start in range(0, len(texts), batch):
            for encoding in encode(texts[start : start + batch], add_special_tokens=False):
                tokens += len(encoding.ids)
        return tokens

    return timed(work)


def kis(folder: Path, batch: int) -> dict[str, float]:
    """Time what a run does with knowledge that it has read: items and packings, into an empty cache."""
    from kis_plugin.config.options import chosen
    from kis_plugin.infusion.plan import InfusionPlan
    from kis_plugin.tokenized import build as item_build
    from kis_plugin.tokenized.infusion_split import prepare_split
    from kis_plugin.tokenized.texts import load_texts
    from kis_plugin.tokenized.tokenizer import HFTokenizer

    item_build._TEXTS = batch
    config = config_of(folder)
    split = prepare_split(config)
    tokenizer = HFTokenizer(loaded_tokenizer(folder))
    tokenizer.encode_ids(["Lyon is in France."] * batch)  # threads started
    schedule = chosen("schedules", config.infusion.schedule, "schedule")
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        split = replace(split, cache=Path(fresh))
        items_took: list[float] = []

        def work() -> int:
            begun = time.perf_counter()
            items = load_texts(config, split, tokenizer, BLOCK)
            items_took.append(time.perf_counter() - begun)
            InfusionPlan(items, config.infusion, schedule, ROWS, BLOCK, 0, cache=split.cache)
            return len(items.tokens) - len(items)  # without EOS

        found = timed(work)
        return found | {"items_s": items_took[0], "again_s": timed(work)["wall_s"]}


SIDES: dict[str, Callable[[Path, int], dict[str, float]]] = {"bare": bare, "kis": kis}


def timed(work: Callable[[], int]) -> dict[str, float]:
    """Return wall and processor seconds of some work, the tokens it made, and the process's peak memory in MB."""
    used, begun = processor_seconds(), time.perf_counter()
    tokens = work()
    wall, used = time.perf_counter() - begun, processor_seconds() - used
    return {"wall_s": wall, "cpu_s": used, "tokens": tokens, "peak_mb": peak_mb()}


def processor_seconds() -> float:
    """Return the processor seconds of all threads so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_mb() -> float:
    """Return the greatest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(side: str, folder: Path, batch: int) -> dict[str, float]:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks", "prepare", "--side", side, "--folder", str(folder)]
    done = subprocess.run([*command, "--batch", str(batch)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(argv: list[str]) -> int:
    """Measure both sides in turns and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks prepare", description=__doc__.splitlines()[0])
    parser.add_argument("--facts", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5, help="pairs of measurements")
    parser.add_argument("--batch", type=int, default=1024, help="texts tokenized at a time, on both sides")
    parser.add_argument("--folder", type=Path, help="keeps the tokenizer and the facts")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.side:
        print(json.dumps(SIDES[options.side](options.folder, options.batch)))
        return 0
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        compare(folder, options.facts, options.runs, options.batch)
    return 0


def compare(folder: Path, facts: int, runs: int, batch: int) -> None:
    """Print each pair, and the medians over pairs."""
    from kis_plugin.tokenized.infusion_split import prepare_split

    if not (folder / "tokenizer.json").exists():
        make_tokenizer(folder / "tokenizer.json")
    if not (folder / "facts.jsonl").exists():
        make_facts(folder / "facts.jsonl", facts)
    begun = time.perf_counter()
    count = len(prepare_split(config_of(folder)).infused)
    print(f"{count:,} facts read and kept in {time.perf_counter() - begun:.1f} s (no part of what follows)")
    pairs = []
    for number in range(runs):
        order = ("bare", "kis") if number % 2 == 0 else ("kis", "bare")
        found = {side: measured(side, folder, batch) for side in order}
        pairs.append((found["bare"], found["kis"]))
        if found["bare"]["tokens"] != found["kis"]["tokens"]:
            raise SystemExit(f"different tokens: {found}")
        shown = "  ".join(f"{side} {one['wall_s']:.1f} s wall, {one['cpu_s']:.1f} s cpu" for side, one in found.items())
        print(f"pair {number + 1}: {shown}", flush=True)
    wall, cpu = (statistics.median(one[key] / other[key] for one, other in pairs) for key in ("wall_s", "cpu_s"))
    middle = {key: statistics.median(other[key] for _, other in pairs) for key in pairs[0][1]}
    print(
        f"tokens {middle['tokens']:,.0f}; speed of the bare tokenizer that is kept, median of {runs} pairs: "
        f"{wall:.2f} by the clock, {cpu:.2f} in processor time\n"
        f"items {middle['items_s']:.1f} s of {middle['wall_s']:.1f} s; second start {middle['again_s']:.2f} s; "
        f"peak memory {middle['peak_mb']:.0f} MB"
    )
