"""Things of plugins with options: types, paths, and who says what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kis_plugin.config.choice import Choice
from kis_plugin.config.options import below, choice_problems, chosen
from kis_plugin.config.validate import show
from kis_plugin.errors import KISError
from kis_plugin.registry import registered


@dataclass(frozen=True)
class Wide:
    """One field of each type that an option may have."""

    count: int = 1
    part: float = 0.5
    word: str = "x"
    flag: bool = False
    file: Path | None = None
    either: int | str = 0
    anything: Any = None
    several: list[int] | None = None
    name: str = "wide"

    def __post_init__(self) -> None:
        if self.count > 9 and self.part > 0.9:
            raise ValueError("a count up to 9 where the part is above 0.9")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setitem(registered("schedules"), "wide", Wide())


def said(**options) -> list[str]:
    return [str(problem) for problem in choice_problems("schedules", Choice("wide", options), "here")]


@pytest.mark.parametrize(
    ("option", "value"),
    [("count", 3), ("part", 1), ("part", 0.25), ("word", "é"), ("flag", True), ("file", "a.txt"), ("file", None),
     ("file", Path("a.txt")), ("either", 2), ("either", "two"), ("anything", {"a": [1]}), ("several", [1, 2])],
)  # fmt: skip
def test_values_of_the_fields_type_are_taken(option, value):
    item = chosen("schedules", Choice("wide", {option: value}), "here")
    assert getattr(item, option) == (Path(value) if option == "file" and value else value)
    assert Wide() == registered("schedules")["wide"]  # which stays as it was


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("count", 1.5, "a whole number"), ("count", True, "a whole number"), ("count", None, "a whole number"),
        ("part", "0.5", "a number"), ("word", 5, "text"), ("flag", 1, "true or false"),
        ("file", 3, "a path or nothing"), ("either", 0.5, "a whole number or text"),
    ],
)  # fmt: skip
def test_values_of_another_type_are_refused(option, value, expected):
    found = show(value)
    assert said(**{option: value}) == [f"here.{option}: found {found}, expected {expected}"]


def test_what_only_holds_together_is_said_of_the_whole():
    assert said(count=10, part=0.5) == []
    assert said(count=10, part=0.95) == [
        "here: found wide (count: 10, part: 0.95), expected a count up to 9 where the part is above 0.9"
    ]


def test_the_name_is_no_option():
    assert said(name="other")[0].startswith("here.name: found an unknown option, expected one of count, part, word")


def test_only_relative_paths_that_are_options_of_type_path_move(tmp_path):
    options = {"file": "a.txt", "word": "a.txt", "anything": "a.txt"}
    assert below(Choice("wide", options), tmp_path, "schedules").options == options | {"file": str(tmp_path / "a.txt")}
    absolute = {"file": "/a.txt"}
    assert below(Choice("wide", absolute), tmp_path, "schedules").options == absolute


def test_a_choice_reads_as_it_is_written_and_can_be_a_key():
    assert str(Choice("uniform")) == "uniform"
    assert str(Choice("burst", {"bursts": 3, "part": 0.5})) == "burst (bursts: 3, part: 0.5)"
    assert len({Choice("burst", {"bursts": 3}), Choice("burst", {"bursts": 3}), Choice("burst")}) == 2


def test_a_plugin_whose_annotations_do_not_resolve_is_named(monkeypatch):
    @dataclass(frozen=True)
    class Torn:
        file: NowhereToBeFound = None  # noqa: F821
        name: str = "torn"

    monkeypatch.setitem(registered("schedules"), "torn", Torn())
    with pytest.raises(KISError) as caught:
        chosen("schedules", Choice("torn", {"file": "x"}), "here")
    assert "Torn: found name 'NowhereToBeFound' is not defined" in str(caught.value)


def test_a_name_that_nobody_registered():
    (problem,) = choice_problems("schedules", Choice("wid"), "here")
    assert str(problem) == "here: found 'wid', expected one of the installed schedules. Did you mean 'wide'?"
