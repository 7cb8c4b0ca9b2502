"""Draw the facts of the study from those that ship: a hundred of each of six relations of places.

python examples/study/facts.py > examples/study/facts.jsonl
"""

from __future__ import annotations

import json
from pathlib import Path

from kis_plugin.seeded import permutation

RELATIONS = ("P17", "P131", "P421", "P36", "P30", "P38")
"""Country, region, time zone, capital, continent, currency."""
OF_EACH, SEED = 100, 0


def main() -> None:
    """Print the lines drawn, in the order of the file."""
    path = Path(__file__).parent.parent / "data" / "facts.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    drawn: list[int] = []
    for relation in RELATIONS:
        places = [place for place, line in enumerate(lines) if json.loads(line)["relation"] == relation]
        drawn += [places[number] for number in permutation(len(places), SEED, OF_EACH)[:OF_EACH].tolist()]
    print("\n".join(lines[place] for place in sorted(drawn)))


if __name__ == "__main__":
    main()
