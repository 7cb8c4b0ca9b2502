"""``python -m benchmarks NAME [options]`` runs ``benchmarks/NAME.py``; without a name it lists them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Hand ``argv`` on to the benchmark that its first word names."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    if not argv or argv[0] not in names:
        print(f"usage: python -m benchmarks NAME [options]; NAME is one of: {', '.join(names)}", file=sys.stderr)
        return 2
    return int(importlib.import_module(f"benchmarks.{argv[0]}").main(argv[1:]) or 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
