"""Names that readers cannot tell apart are one name, and others stay two."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.storage.unicode_forms import canonical, folded, visible

SAME = [
    ("Zoë Müller", unicodedata.normalize("NFD", "Zoë Müller")),
    ("Å", "\u212b"),  # the sign of the angstrom
    ("New York", "New\u00a0York"),
    ("New York", "New \u2009 York"),
    ("New York", "New\u200b York\ufeff"),
    ("Krankenhaus", "Kranken\u00adhaus"),
    ("Noël", "\u200eNoël\u200f"),
    ("한국", unicodedata.normalize("NFD", "한국")),
]
LIKE = [
    ("ﬁeld", "field"),
    ("ＮＥＷ", "new"),  # noqa: RUF001
    ("x²", "x2"),
    ("STRASSE", "straße"),
    ("Zoë", "ZOE"),
    ("İzmir", "izmir"),
    ("Ⅷ", "viii"),
]
OTHER = [("Paris", "Pari"), ("किरण", "करण"), ("が", "か"), ("C+", "C"), ("1.5", "15"), ("New York", "NewYork")]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_invisible_differences_are_none(one, other):
    assert one != other
    assert canonical(one) == canonical(other)
    assert folded(one) == folded(other)


@pytest.mark.parametrize(("one", "other"), LIKE)
def test_folding_is_as_coarse_as_tokenizers(one, other):
    assert canonical(one) != canonical(other)
    assert folded(one) == folded(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_different_names_stay_different(one, other):
    assert folded(one) != folded(other)


@given(st.text())
def test_forms_are_stable_and_folding_is_coarser(text):
    assert canonical(canonical(text)) == canonical(text)
    assert folded(folded(text)) == folded(text)
    assert folded(canonical(text)) == folded(text)
    for form in ("NFC", "NFD"):
        assert canonical(unicodedata.normalize(form, text)) == canonical(text)
    for form in ("NFKC", "NFKD"):
        assert folded(unicodedata.normalize(form, text)) == folded(text)


@given(st.text(), st.text())
def test_visible_text_grows_with_the_text(start, rest):
    assert visible(start + rest).startswith(visible(start))
