"""Every regular expression of the packages takes time in proportion to a text that was made to attack it.

Expressions are found in the source, evaluated in their modules and tried on repeated characters and pairs of them, with
characters at the end that spoil the match. A quadratic one takes several times the limit; worse ones do not end.
"""

from __future__ import annotations

import ast
import re
import time
from collections import defaultdict
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"kis_plugin": "", "adapters": "adapters", "predictor": "predictor"}
LENGTH = 3_000
SECONDS = 0.01
FUNCTIONS = {"compile", "match", "search", "fullmatch", "sub", "split", "findall", "finditer"}
LETTERS = [*" \n.,!?'\"-_/:<>()[]{}\\aAzPQ019eE#=@^\u00e9\u3002\u300d\u0301"]
LETTERS += ["://", "eval_", "loss/", "..", "P1", "e9", "Aa", '"^^', '"@a', "_loss/", "<a"]
OUR_OWN = {"kis_predict/report/json_schema.py"}  # reads the docstrings of the project when documentation is made


IN_TABLES = {
    "kis_plugin.knowledge.suspicious": "fullmatch",
    "kis_plugin.storage.compressed_files": "match",
    "kis_plugin.storage.yaml_nodes": "match",  # PyYAML's resolvers
}
"""How expressions are used that stand in a table and have no name of their own."""


class Expression(NamedTuple):
    """An expression, where it stands, and the methods that are called."""

    module: str
    line: int
    source: str
    methods: frozenset[str]


def expressions() -> list[Expression]:
    """Return every expression that is no text made while the program runs."""
    found = []
    for folder, above in PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT / above).as_posix()
            if name in OUR_OWN or "/data/" in name:
                continue
            module, tree = name.removesuffix(".py").replace("/", "."), ast.parse(path.read_text())
            named = {id(node.value): target.id for node in ast.walk(tree) if isinstance(node, ast.Assign)
                     for target in node.targets if isinstance(target, ast.Name)}  # fmt: skip
            used = defaultdict(set)
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    used[node.value.id].add(node.attr)
            for node in ast.walk(tree):
                called = node.func if isinstance(node, ast.Call) else None
                if not (isinstance(called, ast.Attribute) and getattr(called.value, "id", "") == "re"):
                    continue
                if called.attr in FUNCTIONS and isinstance(node.args[0], (ast.Constant, ast.JoinedStr)):
                    methods = {called.attr} if called.attr != "compile" else used[named.get(id(node), "")] & FUNCTIONS
                    methods = methods or {IN_TABLES.get(module, "search")}
                    found.append(Expression(module, node.lineno, ast.unparse(node.args[0]), frozenset(methods)))
    return found


FOUND = expressions()


def texts() -> list[str]:
    some = [letter * (LENGTH // len(letter)) for letter in LETTERS]
    pairs = [one + two for one, two in product(" \n.a0/", repeat=2) if one != two]
    some += [pair * (LENGTH // 2) for pair in pairs]
    some += ["\n" + " " * LENGTH, '"' + "a" * LENGTH, "<" + "a" * LENGTH, "http://" + "a/" * (LENGTH // 2)]
    some += ["eval_" + "_loss/" * (LENGTH // 6) + "\n", '"' + '"^^' * (LENGTH // 3) + " a"]
    return [text + end for text in some for end in ("\0", "a", " \n!")]


TEXTS = texts()


def seconds_of(pattern: re.Pattern[Any], methods: frozenset[str], text: Any) -> float:
    start = time.process_time()
    for method in methods & {"match", "fullmatch", "search", "split"}:
        getattr(pattern, method)(text)
    if methods & {"sub", "findall", "finditer"}:
        pattern.findall(text)
    return time.process_time() - start


def test_there_are_expressions():
    assert len(FOUND) > 40


def _stands_for(value: object, one: Expression, scope: dict[str, Any]) -> bool:
    """Return whether a value of the module is the expression as it was compiled there, with its flags."""
    return isinstance(value, re.Pattern) and value.pattern == eval(one.source, dict(scope))


@pytest.mark.parametrize("one", FOUND, ids=[f"{one.module}:{one.line}" for one in FOUND])
def test_an_expression_is_linear(one):
    try:
        scope = vars(import_module(one.module))
    except ImportError as error:
        pytest.skip(str(error))
    try:
        named = next((value for value in scope.values() if _stands_for(value, one, scope)), None)
        pattern = named or re.compile(eval(one.source, dict(scope)))
    except NameError:  # parts that are made while the program runs
        pytest.skip("of a function's own values")
    for text in TEXTS if isinstance(pattern.pattern, str) else [text.encode() for text in TEXTS]:
        if seconds_of(pattern, one.methods, text) > SECONDS:  # a busy machine does not take long three times
            seconds = min(seconds_of(pattern, one.methods, text) for _ in range(3))
            assert seconds < SECONDS, f"{pattern.pattern!r} on {text[:12]!r}...{text[-3:]!r}: {seconds:.3f} s"
