"""Normal forms in which names are compared: text that readers take for the same name must not count as two.

``canonical`` removes invisible differences: composed or decomposed letters, zero-width characters, kinds of space. Two
facts equal in it are one fact. ``folded`` also drops what tokenizers may drop: case, compatibility forms (``ﬁ``, ``²``,
full-width letters) and accents. It is the form in which names are related to each other: names equal in it are never
answer options of one question, nor on both sides of the control split.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["canonical", "folded", "visible"]

# Unicode's Default_Ignorable_Code_Point: zero-width spaces and joiners, soft hyphens, direction marks, variation
# selectors, tags.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)

# Combining marks above and below a letter, as in Latin, Greek and Cyrillic. Vowel signs of other scripts, which are
# combining marks too, have lower classes and are kept.
_ACCENT = 200


def canonical(text: str) -> str:
    """Return text in NFC, without ignorable characters, with white space as single spaces and none at the ends."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", _IGNORABLE.sub("", text))
    return " ".join(text.split())


def folded(text: str) -> str:
    """Return ``canonical`` text without case, accents and compatibility forms; equal for names that may be confused."""
    if text.isascii():
        return " ".join(text.split()).casefold()
    # Case folding may decompose letters and decomposition may give capitals, so that one is repeated (NFKC_Casefold).
    text = unicodedata.normalize("NFKD", _IGNORABLE.sub("", text)).casefold()
    text = unicodedata.normalize("NFKD", text)
    text = "".join(letter for letter in text if unicodedata.combining(letter) < _ACCENT)
    return " ".join(unicodedata.normalize("NFC", text).split())


def visible(text: str) -> str:
    """Return text without ignorable characters, letter by letter: of a longer text it is never shorter."""
    return text if text.isascii() else _IGNORABLE.sub("", text)
