"""Invented names: words of a fixed set of sounds that no language and no register of names has.

Every word is onset, vowel, middle and end. The parts cannot be confused with each other and no end begins with another
one, so two words differ where their parts do, and no word begins with another word.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from kis_plugin.hashing import permutation

__all__ = ["WORDS", "invented_names", "word"]

_ONSETS = "Bl Br Cz Dr Dv Fj Gl Gn Gv Hv Jv Kl Kr Kv Lh Mj Ml Nv Pl Pr Rh Sv Sz Tr Tv Vl Vr Wr Xh Yv Zh Zl Zr Zv"
_VOWELS = "a e i o u ae ei oa ou"
_MIDDLES = "bd ck dz fl gr kt lm lv mb nd nk pt rg rv st thr vd xt zg zm"
_ENDS = "ab ax eb ek em ez ib iq ith ob oq osh ov ub uk uld um uph urn uz"
_PARTS = tuple(part.split() for part in (_ONSETS, _VOWELS, _MIDDLES, _ENDS))

WORDS = prod(map(len, _PARTS))
"""Different words: 122,400."""


def word(number: int) -> str:
    """Return one of the words, ``0 <= number < WORDS``."""
    parts = []
    for part in reversed(_PARTS):
        number, at = divmod(number, len(part))
        parts.append(part[at])
    return "".join(reversed(parts))


def invented_names(count: int, between: str, seed: int) -> Iterator[str]:
    """Yield ``count`` different names of two words each, in an order that depends on the seed.

    Up to ``WORDS`` names share no word with each other at the same place.

    Args:
        count: At most ``WORDS ** 2``.
        between: What stands between the two words.
        seed: Chooses the words.
    """
    first, second = permutation(WORDS, seed, 1), permutation(WORDS, seed, 2)
    for number in range(count):
        # Numbers with the same second word differ by a multiple of WORDS, and so in their first word.
        lap = number // WORDS
        yield f"{word(int(first[(number + lap) % WORDS]))}{between}{word(int(second[number % WORDS]))}"
