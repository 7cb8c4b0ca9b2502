"""Placement: rows keep their length, infused texts stay whole, base text keeps its order."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kis_plugin.infusion.placement import Inline, InRows

EOS, STOP, WORD = 0, 1, 2  # '.', and a word with a space before it
ENDS = np.array([False, True, False, False])
STARTS = np.array([False, False, True, False])


def joined(pieces, infused_facts, base):
    return [value for piece in pieces for value in (infused_facts if piece.infused else base)[piece.first : piece.stop]]


@settings(max_examples=300, deadline=None)
@given(
    base=st.lists(st.integers(0, 3), min_size=16, max_size=40),
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=2),
    row=st.integers(0, 10**9),
)
def test_inline_texts_stand_whole_behind_sentences(base, lengths, row):
    infused_facts = [100 + n for n, length in enumerate(lengths) for _ in range(length)]
    array = np.array(base)
    made = joined(Inline(ENDS, STARTS, EOS, 0).pieces(row, lengths, array), infused_facts, base)
    assert len(made) == len(base)
    assert [token for token in made if token >= 100] == infused_facts
    kept = [token for token in made if token < 100]
    assert kept == base[: len(kept)]
    places = [at for at in range(len(made)) if made[at] >= 100 and (at == 0 or made[at - 1] < made[at])]
    possible = any(
        base[at - 1] == EOS or (base[at - 1] == STOP and base[at] in (WORD, EOS)) for at in range(1, len(kept))
    )
    for at in places:
        before = made[at - 1] if at else None
        if before is not None and before < 100:
            assert before in (EOS, STOP)
        assert possible or at == 0 or before >= 100


def test_inline_texts_take_other_places_in_other_rows():
    base = np.array([STOP, WORD] * 20)
    places = Inline(ENDS, STARTS, EOS, 0)
    starts = {
        tuple(piece.first for piece in places.pieces(row, [3, 3], base) if not piece.infused) for row in range(50)
    }
    assert all(len(start) == 3 for start in starts)
    assert len(starts) > 25


def test_rows_begin_with_what_they_are_infused():
    assert joined(InRows().pieces(5, [2, 3], np.arange(8)), [100] * 2 + [101] * 3, list(range(8))) == [
        *[100] * 2, *[101] * 3, 0, 1, 2,
    ]  # fmt: skip
