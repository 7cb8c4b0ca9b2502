"""Draw the rooms of the code and the arrows between them: docs/images/architecture.svg.

    python docs/scripts/doc_architecture.py

``FLOORS`` is the order of the core's folders; a test holds the imports of the code to it.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"

FLOORS = (
    ("cli", "testing"),
    ("plugins", "starter", "synthetic"),
    ("guard", "summary", "counting", "free_form", "probe_kinds", "difference"),
    ("infusion", "retention"),
    ("run",),
    ("tokenized",),
    ("knowledge", "templates"),
    ("config", "storage"),
)
"""Folders of kis_plugin from top to bottom: what a floor imports lies on it or below it."""
PURPOSE = {
    "cli": "commands of kis", "testing": "checks for plugins and adapters",
    "plugins": "hooks, session", "guard": "has it collapsed?", "summary": "what came of it?",
    "counting": "facts in corpora",
    "free_form": "free answers", "probe_kinds": "two hops, and more", "difference": "difference sampling",
    "infusion": "which row carries what", "retention": "what is probed, scores", "run": "model view, ranks, run log",
    "tokenized": "texts as token ids", "knowledge": "facts and documents", "templates": "how facts are phrased",
    "starter": "files of a new project", "synthetic": "fictional facts",
    "config": "kis.yaml", "storage": "files and caches",
}  # fmt: skip

LEFT, WIDTH, TOP, HEIGHT, STEP = 250, 640, 60, 46, 70
INK, PALE, CORE, SIDE = "#37474f", "#eceff1", "#c5cae9", "#ffe0b2"


def box(x: float, y: float, width: float, title: str, below: str, fill: str) -> str:
    """Return a labelled rectangle."""
    middle = x + width / 2
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{HEIGHT}" rx="6" fill="{fill}" stroke="{INK}"/>'
        f'<text x="{middle:g}" y="{y + 20:g}" font-weight="bold">{escape(title)}</text>'
        f'<text x="{middle:g}" y="{y + 36:g}" font-size="11">{escape(below)}</text>'
    )


def arrow(points: str, label: str = "", at: tuple[float, float] = (0, 0), dashed: bool = False) -> str:
    """Return an arrow along ``points``, with a label."""
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    line = f'<polyline points="{points}" fill="none" stroke="{INK}" stroke-width="1.6" marker-end="url(#tip)"{dash}/>'
    return line + (f'<text x="{at[0]:g}" y="{at[1]:g}" font-size="11">{escape(label)}</text>' if label else "")


def drawing() -> str:
    """Return the picture."""
    y = {room: TOP + floor * STEP for floor, rooms in enumerate(FLOORS) for room in rooms}
    bottom = TOP + len(FLOORS) * STEP
    right = LEFT + WIDTH
    parts = [
        f'<rect x="{LEFT - 16}" y="{TOP - 40}" width="{WIDTH + 32}" height="{bottom - TOP + 30}" rx="9" fill="{PALE}"/>'
        f'<text x="{LEFT + WIDTH / 2:g}" y="{TOP - 18}" font-weight="bold">'
        "kis_plugin: the core, without any framework</text>"
    ]
    for floor, rooms in enumerate(FLOORS):
        gap = 12
        width = (WIDTH - gap * (len(rooms) - 1)) / len(rooms)
        for at, room in enumerate(rooms):
            parts.append(box(LEFT + at * (width + gap), TOP + floor * STEP, width, room, PURPOSE[room], CORE))
        if floor:
            middle = LEFT + WIDTH / 2
            parts.append(arrow(f"{middle:g},{TOP + floor * STEP - 24} {middle:g},{TOP + floor * STEP - 3}"))
    # Adapters stand left of the core, what learns from many runs right of it.
    for at, (name, below) in enumerate(
        (("kis_hf", "Hugging Face Trainer"), ("kis_litgpt", "LitGPT"), ("kis_torch", "PyTorch loops"))
    ):
        parts.append(box(34, TOP + at * STEP, 166, name, below, SIDE))
    parts.append(arrow(f"34,{TOP + 23} 14,{TOP + 23} 14,{TOP + 2 * STEP + 23} 31,{TOP + 2 * STEP + 23}"))
    parts.append(arrow(f"117,{TOP + STEP + HEIGHT} 117,{TOP + 2 * STEP - 3}"))
    parts.append(arrow(f"200,{y['plugins'] + 23} {LEFT - 4},{y['plugins'] + 23}", "drive", (225, y["plugins"] + 16)))
    parts.append(box(right + 66, TOP + STEP, 180, "kis_sweep", "many small runs", SIDE))
    parts.append(box(right + 66, y["run"], 180, "kis_predict", "curves, laws, the answer", SIDE))
    parts.append(arrow(f"{right + 66},{TOP + STEP + 23} {right + 4},{TOP + STEP + 23}"))
    run = y["run"] + 23
    parts.append(arrow(f"{right + 66},{run} {right + 4},{run}", "reads logs", (right + 34, run - 8)))
    down = f"{right + 156},{TOP + STEP + HEIGHT} {right + 156},{y['run'] - 3}"
    parts.append(arrow(down, "next runs?", (right + 192, TOP + 2.6 * STEP)))
    width, height = right + 266, bottom + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="14" text-anchor="middle" fill="{INK}">'
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="{INK}"/></marker></defs>'
        f'<rect width="{width}" height="{height}" fill="white"/>' + "".join(parts) + "</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(drawing(), encoding="utf-8")
