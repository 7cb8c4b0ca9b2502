"""What it costs to probe a model for facts: KIS's scoring beside lm-pub-quiz and lm-eval, and inside a Trainer's run.

    python -m benchmarks retention --peers PYTHON

``PYTHON`` is an interpreter that has the peers, as listed at the end of ``benchmarks/requirements-peers.txt``; by
default this one. A peer that it lacks is named, and has no figures.

All score the same items with the same model: a random GPT-2 of 4 layers and 256 dimensions with 8,192 tokens, four
options of two tokens each. The context is the same too: EOS, which parts documents, and the sentence up to the object,
as KIS infuses it. KIS puts EOS there itself; peers get it as the BOS of a tokenizer whose post-processor adds one. What
each scores is the sum of the log-probabilities of the object's tokens, so the figures can be compared as they are.
``benchmarks/scorers`` holds how each is used.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from benchmarks.scorers import SCORERS
from benchmarks.scorers.cases import KINDS, OPTIONS, Case, make_model, make_texts, make_tokenizer
from benchmarks.scorers.contest import Contest, Figures, figures, hold, installed
from benchmarks.scorers.training import LEAST
from benchmarks.scorers.training import measure as measure_training

PARTS = ("scoring", "trainer")
AGREE = 1e-4
"""Nats by which an option's log-probability may differ from the reference's, in float32."""

SCORING = """
Scoring: {items} items of four options, {threads} threads, {device}; scorers take turns, medians of {repeats}.
Distinct: prefixes have nothing in common but EOS. Template: a relation's sentence, its subject near the end, facts in
balanced sets as KIS probes them. Items/s: tokenizing included, and (scoring) without it. KIS is so many times as fast:
both with tokenizing; both without; and at every evaluation of a run but the first, where KIS has its tokens and a peer
tokenizes again. Memory: peak of the process, and what scoring added to libraries and model. Others: items answered
otherwise than by the reference, one option at a time. Off: largest difference from its log-probabilities, in nats."""

LONGER = (1_000, 10_000, 100_000)
TRAINER = """
Trainer: {pairs} pairs of runs without and with KnowledgeInfusion, in turn; {steps} steps of 8 rows with 256 tokens, the
model of the above, {threads} threads, {device}. Facts are those of examples/data: 1,000 held out, the same as seen,
and up to 200 controls, evaluated at the start and after every tenth of the run. An evaluation takes the same time
in a run of any length, so the last lines are computed from it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 1 if anyone's log-probabilities are not the reference's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks retention", description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=PARTS, action="append", help="a part of it; may be given several times")
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="interpreter that has the peers")
    parser.add_argument("--prefix", type=int, action="append", help="tokens before the object (default: 16 and 64)")
    parser.add_argument("--kind", choices=KINDS, action="append", help="of items (default: all)")
    parser.add_argument("--items", type=int, default=256, help="questions of each case")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each scorer")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="of torch and tokenizer (default: all cores)"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument("--steps", type=int, default=60, help="of each run of the Trainer")
    parser.add_argument("--pairs", type=int, default=3, help="of runs of the Trainer")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args(argv)
    if args.steps < LEAST:
        parser.error(f"--steps: at least {LEAST}")
    if args.items < OPTIONS or args.items % OPTIONS:
        parser.error(f"--items: a multiple of {OPTIONS}, the size of a balanced set")
    console = Console(width=150, highlight=False, markup=False)
    found: dict[str, Any] = {"python": platform.python_version()}
    agree = True
    for part in args.only or PARTS:
        found[part] = _SECTIONS[part](args, console)
        agree = agree and found[part].pop("agree", True)
        if args.json:
            args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if agree else 1


def _scoring(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    interpreters = {name: args.peers if scorer.distribution else sys.executable for name, scorer in SCORERS.items()}
    versions = {name: installed(interpreters[name], scorer) for name, scorer in SCORERS.items()}
    scorers = [scorer for name, scorer in SCORERS.items() if versions[name]]
    for scorer in scorers:
        console.print(f"{scorer.name} {versions[scorer.name]}: {scorer.note}")
    cases = [Case(kind, prefix, args.items) for kind in args.kind or KINDS for prefix in args.prefix or (16, 64)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer, words = make_tokenizer()
        make_model(folder / "model", tokenizer)
        contest = Contest(folder / "model", interpreters, args.device, args.threads, args.repeats)
        results = {}
        for case in cases:
            print(f"scoring: {case.kind}, prefixes of {case.prefix} tokens", file=sys.stderr, flush=True)
            items = make_texts(case, tokenizer, words)
            results[case] = figures(hold(contest, scorers, items, folder), items)
            speeds = ", ".join(f"{name} {one.whole:,.0f}" for name, one in results[case].items())
            print(f"  items/s: {speeds}", file=sys.stderr, flush=True)
    console.print(SCORING.format(items=args.items, threads=args.threads, device=args.device, repeats=args.repeats))
    console.print(_table(results, gpu=args.device != "cpu"))
    off = {(case, name) for case, by in results.items() for name, one in by.items() if not one.difference <= AGREE}
    for case, name in sorted(off, key=str):
        console.print(f"{name} differs from the reference by more than {AGREE:g} nats: {case}")
    for name in SCORERS:
        if not versions[name]:
            console.print(f"{name}: not measured, not installed in {args.peers}")
    return {
        "versions": versions,
        "settings": {key: getattr(args, key) for key in ("items", "repeats", "threads", "device")},
        "cases": [asdict(case) | {name: asdict(one) for name, one in by.items()} for case, by in results.items()],
        "agree": not off,
    }


def _table(results: Mapping[Case, Mapping[str, Figures]], gpu: bool) -> Table:
    table = Table()
    for column in ("items", "scorer"):
        table.add_column(column)
    memory = ["MB", "added", *["GPU MB"] * gpu]
    speed = ("items/s", "(scoring)", "KIS: both whole", "both scoring", "prepared")
    for column in ("batch", *speed, *memory, "accuracy", "others", "off"):
        table.add_column(column, justify="right")
    for case, by in results.items():
        for place, (name, one) in enumerate(by.items()):
            table.add_row(
                f"{case.kind}, {case.prefix}" if place == 0 else "",
                name,
                *_cells(one, gpu),
                end_section=place == len(by) - 1,
            )
    return table


def _cells(one: Figures, gpu: bool) -> list[str]:
    return [
        str(one.batch or "own"),
        f"{one.whole:,.0f}",
        f"{one.scoring:,.0f}",
        f"{one.kis_whole:.2f}",
        f"{one.kis_scoring:.2f}",
        f"{one.kis_prepared:.2f}",
        f"{one.megabytes:,.0f}",
        f"{one.added:,.0f}",
        *[f"{one.gpu_megabytes:,.0f}"] * gpu,
        f"{one.accuracy:.3f}",
        str(one.other_answers),
        f"{one.difference:.1e}",
    ]


def _trainer(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    print(f"trainer: {args.pairs} pairs of {args.steps} steps", file=sys.stderr, flush=True)
    import torch

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        pairs = measure_training(args.steps, args.pairs, args.device, Path(name))
    step = statistics.median(kis.step for _, kis in pairs)
    added = statistics.median(kis.step / plain.step for plain, kis in pairs)
    evaluation = statistics.median(seconds for _, kis in pairs for seconds in kis.evaluations)
    count = len(pairs[0][1].evaluations)
    share = statistics.median(kis.share for _, kis in pairs)
    console.print(TRAINER.format(pairs=args.pairs, steps=args.steps, device=args.device, threads=args.threads))
    table = Table("what", Column("value", justify="right"))
    rows = {
        "step without the callback": f"{1000 * statistics.median(plain.step for plain, _ in pairs):.1f} ms",
        "step with it, between evaluations": f"{1000 * step:.1f} ms",
        "with over without, median of pairs": f"{added:.3f}",
        "questions of an evaluation": f"{pairs[0][1].questions:,}",
        "an evaluation": f"{evaluation:.2f} s",
        "an evaluation, in steps": f"{evaluation / step:.1f}",
        f"share of the {count} evaluations in this run": f"{share:.1%}",
    }
    shares = {steps: count * evaluation / (count * evaluation + steps * step) for steps in LONGER}
    rows |= {f"computed for a run of {steps:,} steps": f"{part:.2%}" for steps, part in shares.items()}
    for what, value in rows.items():
        table.add_row(what, value)
    console.print(table)
    return {
        "settings": {key: getattr(args, key) for key in ("pairs", "steps", "threads", "device")},
        "ratio": added,
        "evaluation_seconds": evaluation,
        "share": share,
        "computed_shares": shares,
        "runs": [{"without": asdict(plain), "with": asdict(kis)} for plain, kis in pairs],
    }


_SECTIONS = {"scoring": _scoring, "trainer": _trainer}

if __name__ == "__main__":
    raise SystemExit(main())
