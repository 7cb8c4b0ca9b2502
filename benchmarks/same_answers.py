"""Whether two checkouts answer alike: ``kis-predict --json`` of both, on the recorded sweeps of the first.

    python -m benchmarks.same_answers ../before . --save answers/

Numbers, names and structure must be equal; sentences written for people may differ, their number may not. Fields in
``RENAMED`` are compared under their new names. Each checkout runs with the Python of its own ``.venv``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

LAW, PROSE = "examples/law", {"assumptions", "warnings", "missing", "reason", "formula"}
CASES = {
    "law-4M": f"{LAW} --target 4M --tokens 4.5M --facts 200 --max-loss-rise 0.3",
    "law-next": f"{LAW} --target 4M --tokens 2252800 --facts 200 --next 3",
    "law-share": f"{LAW} --target 4M --tokens 4.5M --facts 200 --axis share",
    "law-frequency": f"{LAW} --target 4M --tokens 4.5M --facts 200 --axis frequency",
    "law-992K": f"{LAW}/runs --target 992208 --facts 200",
    "law-992K-3.26M": f"{LAW} --target 992208 --tokens 4713472 --facts 200",
    "law-474K": f"{LAW} --target 474320 --tokens 4505600 --facts 200",
    "law-2M": f"{LAW}/runs --logs {LAW}/held_out --target 2038896 --facts 200 --risk 0.1 --confidence 0.8 --seed 3",
    "law-7B": f"{LAW} --target 7B --tokens 140B --facts 200",
    "double": f"{LAW}/double_budget --target 992208",
    "same-ratio": f"{LAW}/same_ratio --target 992208",
    "study": "examples/study/runs --target 992208",
    "study-all": "examples/study/runs --logs examples/study/held_out --target 4M --tokens 2252800 --next 2",
    "arms": "examples/study/arms/runs --target 1M --tokens 2252800",
    "recorded": "examples/recorded/runs --target 1M --tokens 2048000 --facts 300 --next 2",
    "two-sentences": "examples/recorded/two_sentences/runs --target 1M --next 2",
}
RENAMED: dict[str, str] = {}
"""Fields of the earlier checkout by the names they have now."""


def answer(code: Path, logs: Path, arguments: str) -> dict[str, Any]:
    """Return what ``code`` prints for the logs of ``logs``, with its exit code."""
    words = [str(logs / word) if word.startswith("examples/") else word for word in arguments.split()]
    command = [code / ".venv/bin/kis-predict", "--logs", *words, "--json"]
    done = subprocess.run(command, cwd=code, env=os.environ | {"COLUMNS": "80"}, capture_output=True, text=True)
    return {"exit": done.returncode, **(json.loads(done.stdout) if done.stdout else {"error": done.stderr})}


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    """Return where two answers differ, sentences aside."""
    if isinstance(before, dict) and isinstance(after, dict):
        before = {RENAMED.get(name, name): value for name, value in before.items()}
        names = [*before, *(name for name in after if name not in before)]
        nothing = "(no such field)"
        return [
            line
            for name in names
            for line in differences(before.get(name, nothing), after.get(name, nothing), f"{where}.{name}")
        ]
    if isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            return [f"{where}: {len(before)} entries, now {len(after)}"]
        return [line for pair in zip(before, after, strict=True) for line in differences(*pair, where)]
    if where.rpartition(".")[2] in PROSE and isinstance(before, str) and isinstance(after, str):
        return []
    return [] if before == after else [f"{where}: {before!r}, now {after!r}"]


def main() -> int:
    """Compare, print a line a case, and return 1 if any differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--save", type=Path, help="folder for the earlier answers: read there if they exist")
    options = parser.parse_args()
    options.before, options.after = options.before.resolve(), options.after.resolve()
    unequal = 0
    for name, arguments in CASES.items():
        kept = options.save / f"{name}.json" if options.save else None
        if kept and kept.exists():
            before = json.loads(kept.read_text())
        else:
            before = answer(options.before, options.before, arguments)
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(before, indent=1))
        found = differences(before, answer(options.after, options.before, arguments))
        unequal += bool(found)
        print(f"{name} (exit {before['exit']}): {'; '.join(found[:5])[:1000] if found else 'equal'}", flush=True)
    return 1 if unequal else 0


if __name__ == "__main__":
    sys.exit(main())
