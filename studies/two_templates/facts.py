"""Draw the facts of the study from those that ship: 600 of five relations of places.

python -m studies.two_templates.facts > studies/five_templates/facts.jsonl
"""

from __future__ import annotations

import json
from pathlib import Path

from kis_plugin.hashing import permutation

RELATIONS = ("P17", "P131", "P421", "P36", "P30")
"""Country, region, time zone, capital, continent."""
FACTS, SEED = 600, 0


def main() -> None:
    """Print the lines drawn, in the order of the file."""
    path = Path(__file__).parents[2] / "examples" / "data" / "facts.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    of_interest = [line for line in lines if json.loads(line)["relation"] in RELATIONS]
    drawn = sorted(permutation(len(of_interest), SEED, 100)[:FACTS].tolist())
    print("\n".join(of_interest[place] for place in drawn))


if __name__ == "__main__":
    main()
