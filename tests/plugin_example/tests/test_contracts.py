"""What the example plugin adds keeps to the protocols of KIS: the tests that its own repository would have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kis_example.probes import reversed_order
from kis_example.renderers import Quiz
from kis_example.schedules import Early
from kis_example.selections import First
from kis_example.sources import IniSource
from kis_example.templates import Telegraph
from kis_plugin import testing
from kis_plugin.knowledge.facts import Fact, Knowledge
from kis_plugin.templates.book import Layer, TemplateBook
from kis_plugin.templates.protocols import Rendered

FACTS = [Fact(f"Person{n}", "P19", f"Town{n % 3}", id=f"{n}") for n in range(9)]


@pytest.mark.parametrize("part", [0.001, 0.5, 1.0])
def test_the_schedule_gives_weights_to_any_window(part):
    testing.check_schedule(Early(part))


@pytest.mark.parametrize("count", [1, 5, 1000])
def test_the_selection_gives_places(count):
    testing.check_selection(First(count), FACTS)


def test_the_renderer_says_where_the_object_stands():
    testing.check_renderer(Quiz("Question: ", " "))


def test_the_source_reads_its_files_alone(tmp_path):
    (tmp_path / "facts.ini").write_text("[Ada]\nborn in = London\n[Alan]\nborn in = London\n")
    (tmp_path / "facts.txt").write_text("Ada was born in London.")
    found = testing.check_source(IniSource(), tmp_path / "facts.ini", tmp_path / "facts.txt")
    assert [fact.subject for fact in found.facts] == ["Ada", "Alan"]


def test_the_template_set_has_whole_sentences():
    testing.check_template_set(Telegraph())


def test_the_probe_kind_asks_with_one_right_answer():
    book = TemplateBook([Layer("telegraph", Telegraph().templates())])
    testing.check_probe_kind(reversed_order, book)


class Gap(Early):
    def weights(self, parts):
        return super().weights(parts)[1:]


class Misplaced(Quiz):
    def render(self, fact, template, book):
        return Rendered(f"{fact.subject}: {fact.object}", (0, 1))


class Twice(First):
    def select(self, entries, seed):
        return np.zeros(2, dtype=np.int64)


class Forgetful(IniSource):
    def read(self, path):
        return Knowledge(facts=(Fact("a", "b", "c", id="1"), Fact("d", "e", "f", id="1")))


class Nameless(Telegraph):
    name = ""


@pytest.mark.parametrize(
    ("check", "plugin", "more", "message"),
    [
        (testing.check_schedule, Gap(), (), r"weights\(1\) gives 0 numbers"),
        (testing.check_renderer, Misplaced(), (), "stands where its object should"),
        (testing.check_selection, Twice(), (FACTS,), "not sorted, or one twice"),
        (testing.check_source, Forgetful(), (Path("facts.ini"),), "ids that two entries share"),
        (testing.check_template_set, Nameless(), (), "has the name ''"),
        (testing.check_probe_kind, object(), (), "lacks a member of ProbeKind"),
    ],
)
def test_each_check_fails_for_a_plugin_that_breaks_its_protocol(check, plugin, more, message):
    with pytest.raises(AssertionError, match=message):
        check(plugin, *more)
