"""Draw the facts of the studies from those that ship: as many of each of six relations of places.

python examples/study/facts.py > examples/study/facts.jsonl
python examples/study/facts.py --of-each 40 > examples/law/facts.jsonl
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kis_plugin.hashing import permutation

RELATIONS = ("P17", "P131", "P421", "P36", "P30", "P38")
"""Country, region, time zone, capital, continent, currency."""
SEED = 0


def main() -> None:
    """Print the lines drawn, in the order of the file."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--of-each", type=int, default=100, help="facts of each relation (default: %(default)s)")
    of_each = options.parse_args().of_each
    path = Path(__file__).parent.parent / "data" / "facts.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    drawn: list[int] = []
    for relation in RELATIONS:
        places = [place for place, line in enumerate(lines) if json.loads(line)["relation"] == relation]
        drawn += [places[number] for number in permutation(len(places), SEED, of_each)[:of_each].tolist()]
    print("\n".join(lines[place] for place in sorted(drawn)))


if __name__ == "__main__":
    main()
