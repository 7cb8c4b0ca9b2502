"""Names of packages that are imported when they are first used."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from kis_plugin.lazy_names import lazy_names, need_modules


@pytest.fixture
def package(monkeypatch):
    made = ModuleType("lazy_package")
    monkeypatch.setitem(sys.modules, "lazy_package", made)
    return made


def test_a_name_is_imported_once_and_then_stays(package):
    needed = []
    get, names = lazy_names("lazy_package", {"fractions": ("Fraction",)}, lambda: needed.append(1))
    assert "Fraction" in names()
    assert not needed
    assert get("Fraction")(1, 2) == 0.5
    assert package.Fraction is get("Fraction")
    assert len(needed) == 2


def test_other_names_are_refused_as_of_any_module(package):
    get, _ = lazy_names("lazy_package", {"fractions": ("Fraction",)})
    with pytest.raises(AttributeError, match="module 'lazy_package' has no attribute 'Decimal'"):
        get("Decimal")


def test_what_is_missing_names_the_extra_that_installs_it():
    with pytest.raises(ImportError, match=r"kis_x needs no_such, which .*pip install 'kis-plugin\[x\]'"):
        need_modules("kis_x", "x", "json", "no_such")
