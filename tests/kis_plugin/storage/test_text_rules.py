"""Nouns and verbs agree with their count."""

from __future__ import annotations

import pytest

from kis_plugin.storage.text_rules import many


@pytest.mark.parametrize(
    ("count", "plain", "with_verb"),
    [(0, "0 facts", "0 facts are"), (1, "1 fact", "1 fact is"), (1200, "1,200 facts", "1,200 facts are")],
)
def test_one_is_singular(count, plain, with_verb):
    assert many(count, "fact") == plain
    assert many(count, "fact", ("is", "are")) == with_verb
