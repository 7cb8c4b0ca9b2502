"""Repeated entries are found by hashes and confirmed by comparison."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_plugin.knowledge.sources.text_files import Problems
from kis_plugin.knowledge.sources.unique_entries import Rule, yield_unique


@dataclass(frozen=True)
class Clashing:
    """Different values, few hashes."""

    value: int

    def __hash__(self):
        return self.value % 3


RULES = (Rule("number", lambda item: item[0], lambda item: str(item[0].value)), Rule("name", lambda i: i[1], str))


def through(items, rules=RULES, wrong=()):
    def read(problems):
        for line, item in enumerate(items, start=1):
            if line in wrong:
                problems.add(f"f:{line}", "nonsense", "sense")
            else:
                yield line, item

    infused = lambda line: (f"f:{line}", f"in line {line}")  # noqa: E731
    return list(yield_unique(read, rules, Problems(Path("f")), infused, ("nothing", "something")))


items = st.lists(st.tuples(st.integers(0, 60).map(Clashing), st.integers(0, 60)), min_size=1, max_size=25)


@given(items)
def test_only_repetitions_are_refused(found):
    numbers, names = set(), set()
    expected = []
    for line, (number, name) in enumerate(found, start=1):
        if number in numbers or name in names:
            expected.append(f"f:{line}")
        else:
            names.add(name)
        numbers.add(number)
    try:
        assert through(found) == found
        refused = []
    except KISError as error:
        refused = [problem.where for problem in error.problems]
    assert refused[:20] == expected[:20]


def test_other_problems_keep_the_order_of_the_file():
    with pytest.raises(KISError) as caught:
        through([(Clashing(n), n) for n in (1, 2, 1, 4, 2)], wrong=(4,))
    assert [str(problem) for problem in caught.value.problems] == [
        "f:3: found '1' a second time, expected each number once; the first is in line 1",
        "f:4: found nonsense, expected sense",
        "f:5: found '2' a second time, expected each number once; the first is in line 2",
    ]


def test_thousands_are_counted(monkeypatch):
    monkeypatch.setattr("kis_plugin.knowledge.sources.unique_entries._COMPARED", 30)
    with pytest.raises(KISError) as caught:
        through([n % 100 for n in range(3000)], rules=(Rule("number", lambda item: item, str),))
    shown = [str(problem) for problem in caught.value.problems]
    assert shown[0] == "f:101: found '0' a second time, expected each number once; the first is in line 1"
    assert shown[20] == "f: found and 2,880 more, expected none. Correct those above first."


def test_nothing_at_all():
    with pytest.raises(KISError, match="f: found nothing, expected something"):
        through([])
