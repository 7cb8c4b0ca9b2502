"""Draw the facts of the studies from those that ship: as many of each of six relations of places.

python -m studies.five_templates.facts > studies/five_templates/facts.jsonl
python -m studies.five_templates.facts --of-each 40 > studies/law/facts.jsonl
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kis_plugin.hashing import permutation

__all__ = ["drawn"]

RELATIONS = ("P17", "P131", "P421", "P36", "P30", "P38")
"""Country, region, time zone, capital, continent, currency."""
SEED = 0


def main() -> None:
    """Print the lines drawn, in the order of the file."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--of-each", type=int, default=100, help="facts of each relation (default: %(default)s)")
    print("\n".join(drawn(options.parse_args().of_each)))


def drawn(of_each: int) -> list[str]:
    """Return the lines drawn, in the order of the file that ships."""
    path = Path(__file__).parents[2] / "examples" / "data" / "facts.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    chosen: list[int] = []
    for relation in RELATIONS:
        places = [place for place, line in enumerate(lines) if json.loads(line)["relation"] == relation]
        chosen += [places[number] for number in permutation(len(places), SEED, of_each)[:of_each].tolist()]
    return [lines[place] for place in sorted(chosen)]


if __name__ == "__main__":
    main()
