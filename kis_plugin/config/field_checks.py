"""What each key of a configuration may hold: one check a key, one pass over all of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from kis_plugin.config.choice import Choice
from kis_plugin.errors import Problem, nearest
from kis_plugin.storage.text_rules import ONE_LINE, is_one_line
from kis_plugin.storage.yaml_nodes import Node

__all__ = ["SCHEMA", "check"]

Check = Callable[[Any], Any]
Schema = Mapping[str, "Check | Schema"]

_FRACTION_OR_STEPS = re.compile(r"(?P<percent>\d{1,19}(\.\d{1,19})?) ?%|(?P<steps>\d{1,19}) steps?", re.ASCII)
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


class Wrong(Exception):  # noqa: N818 (a message from a check to ``check``, never seen outside)
    """Raised by a check: what was expected, and perhaps a hint."""

    def __init__(self, expected: str, hint: str = "") -> None:
        self.expected, self.hint = expected, hint
        super().__init__(expected)


def check(node: Node, schema: Schema, problems: list[Problem], key: str = "", file: str = "kis.yaml") -> dict[str, Any]:
    """Return the checked values of a mapping, and add to ``problems`` all that is wrong.

    Args:
        node: The mapping, or whatever stands in its place.
        schema: A check for each key, or another schema for a mapping below it.
        problems: Where problems go, with ``file:line`` and dotted key.
        key: The dotted key of ``node`` itself; empty for the whole file.
        file: What errors call a file of this kind.

    Returns:
        The values that passed, by key; mappings within as dicts. Keys that were left out are left out.
    """
    if not isinstance(node.value, dict):
        hint = f"Leave {key} out to keep its defaults." if key and node.value is None else ""
        problems.append(Problem(_at(node.where, key), show(node.plain()), f"a mapping of {', '.join(schema)}", hint))
        return {}
    values: dict[str, Any] = {}
    for name, child in node.value.items():
        dotted = f"{key}.{name}" if key else name
        rule = schema.get(name)
        if rule is None:
            hint = RENAMED.get(dotted) or nearest(name, schema)
            found = "a key that was renamed" if dotted in RENAMED else "an unknown key"
            problems.append(Problem(_at(child.key_where, dotted), found, f"a key of {key or file}", hint))
        elif isinstance(rule, Mapping):
            values[name] = check(child, rule, problems, dotted, file)
        else:
            try:
                values[name] = rule(child.plain())
            except Wrong as wrong:
                problems.append(Problem(_at(child.where, dotted), show(child.plain()), wrong.expected, wrong.hint))
    return values


def _at(where: str, key: str) -> str:
    return f"{where} {key}" if key else where


def show(value: object) -> str:
    """Return a value as an error quotes it: short, and escaped."""
    if value is None:
        return "nothing"
    shown = f"{value}".lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def text(value: object) -> str:
    """Any text but an empty one, fit for a path."""
    if not isinstance(value, str):
        raise Wrong("text", "Put it in quotes." if isinstance(value, (bool, int, float)) else "")
    if not value.strip() or not is_one_line(value):
        raise Wrong(f"{ONE_LINE}, not empty")
    return value


def number(least: float = 0.0, most: float = math.inf) -> Check:
    """Make a check for a finite number between bounds, both included."""
    expected = f"a finite number of at least {least:g}" if most == math.inf else f"a number from {least:g} to {most:g}"

    def _number(value: object) -> float:
        unquote = "Write it without quotes." if isinstance(value, str) else ""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Wrong(expected, unquote)
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if not (math.isfinite(found) and least <= found <= most):
            raise Wrong(expected)
        return found

    return _number


def whole(least: int) -> Check:
    """Make a check for a whole number of at least ``least`` that fits 63 bits."""

    def _whole(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
            raise Wrong(f"a whole number of at least {least}")
        return value

    return _whole


def one_of(*names: str, absent: Mapping[str, str]) -> Check:
    """Make a check for one of some names; ``absent`` says why others that one may hope for are not there."""

    def _one_of(value: object) -> str:
        if value not in names:
            why = absent.get(value) if isinstance(value, str) else None
            raise Wrong(" or ".join(map(repr, names)), why or nearest(value, names))
        return str(value)

    return _one_of


def token_count(value: object) -> int:
    """Tokens: ``1.2B``, ``300M``, ``5k``, or a plain number. A fraction of a token is refused, never rounded."""
    expected = "a number of tokens such as 1.2B, 300M, 5k or 20000"
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63:
        value = f"{value:.0f}" if value == int(value) else f"{value}"
    match = (
        re.fullmatch(r"(\d{1,19}(?:\.\d{1,19})?) ?([kKmMbBtT]?)", value, re.ASCII) if isinstance(value, str) else None
    )
    if match is None:
        raise Wrong(expected)
    tokens = Decimal(match[1]) * _UNITS[match[2].upper()]
    if tokens != int(tokens) or tokens >= 2**63:
        raise Wrong(f"{expected}; whole tokens, below 9.2e18")
    return int(tokens)


def window(value: object) -> tuple[float, float]:
    """Two fractions of the run, the first below the second."""
    expected = "two fractions [a, b] with 0 <= a < b <= 1"
    if not isinstance(value, list) or len(value) != 2:
        raise Wrong(expected)
    try:
        start, end = map(number(0, 1), value)
    except Wrong as wrong:
        raise Wrong(expected) from wrong
    if start >= end:
        raise Wrong(expected)
    return start, end


def fraction_or_steps(value: object) -> float | int:
    """A fraction of the run (``0.1``, ``10%``) or a whole number of steps (``500``, ``500 steps``)."""
    expected = "a fraction of the run above 0 and below 1, or a whole number of steps from 1"
    if isinstance(value, str) and (match := _FRACTION_OR_STEPS.fullmatch(value)):
        value = float(Decimal(match["percent"]) / 100) if match["percent"] else int(match["steps"])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Wrong(expected)
    if isinstance(value, int):
        if not 1 <= value < 2**63:
            raise Wrong(expected)
        return value
    if not 0 < value < 1:
        # 1.0 could mean every step or once in the run: no guess.
        raise Wrong(expected, "Write steps without a decimal point." if value >= 1 else "")
    return value


def name_or_names(value: object) -> tuple[str, ...]:
    """One name or a list of names, each once."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise Wrong("a name or a list of names")
    if len(set(names)) < len(names):
        raise Wrong("each name once")
    return tuple(names)


def names_among(*names: str) -> Check:
    """Make a check for a list of some of these names, perhaps none."""

    def _names_among(value: object) -> tuple[str, ...]:
        given = [value] if isinstance(value, str) else value
        if not isinstance(given, list) or any(name not in names for name in given) or len(set(given)) < len(given):
            raise Wrong(f"a list of some of {', '.join(names)}")
        return tuple(given)

    return _names_among


def choice(value: object) -> Choice:
    """A name, or a mapping of ``name`` and options."""
    if isinstance(value, str) and value.strip():
        return Choice(value)
    if isinstance(value, dict) and isinstance(value.get("name"), str) and value["name"].strip():
        return Choice(value["name"], {key: option for key, option in value.items() if key != "name"})
    raise Wrong("a name, or a mapping of name and options", "Write {name: burst, bursts: 4}.")


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Wrong("true or false")
    return value


def optional(check_: Check) -> Check:
    """Make a check that lets null pass."""
    return lambda value: None if value is None else check_(value)


RENAMED = {
    "infusion.templates": "It is now infusion.template_order: cycle (was rotate), first (was one) or random.",
    "infusion.wordings": "It is now infusion.max_templates.",
    "infusion.chunk": "It is now infusion.chunk_tokens.",
    "retention.probes.templates": "It is now retention.probes.kinds.",
    "retention.probes.wordings": "It is now retention.probes.templates_per_fact.",
    "retention.text": "It is now retention.general_text.",
    "retention.counts": "It is now retention.corpus_counts.",
    "retention.guard.drop": "It is now retention.guard.min_drop.",
    "retention.guard.false_alarms": "It is now retention.guard.alpha.",
    "retention.guard.keep": "It is now retention.guard.throttle_to.",
}
"""Keys that were renamed, with the sentence that says what to write now."""

# Every key of kis.yaml; the dataclasses of config.py hold the defaults.
SCHEMA: Schema = {
    "knowledge": text,
    "templates": optional(text),
    "infusion": {
        "frequency": number(0, 1e15),
        "share": number(0, 1),
        "tokens": token_count,
        "placement": one_of("rows", "inline", absent={}),
        "window": window,
        "schedule": choice,
        "rendering": choice,
        "template_order": one_of(
            "cycle", "first", "random", absent={"rotate": "It is now cycle.", "one": "It is now first."}
        ),
        "max_templates": optional(whole(1)),
        "loss": one_of("all", "object", absent={}),
        "attention": one_of("row", "sentence", absent={}),
        "chunk_tokens": optional(whole(2)),
        "selection": choice,
        "skip_known": flag,
        "known_frequency": number(0, 1e15),
    },
    "retention": {
        "every": fraction_or_steps,
        "probes": {"facts": whole(1), "options": whole(2), "templates_per_fact": whole(1), "kinds": name_or_names},
        "control": whole(0),
        "by": names_among("relation", "domain"),
        "background": optional(text),
        "qa": optional(text),
        "general_text": optional(text),
        "corpus_counts": optional(text),
        "max_cost": optional(number(1e-6, 1)),
        "batch_tokens": optional(whole(1)),
        "guard": {
            "action": one_of(
                "none", "warn", "throttle", "stop_infusing", "stop_training", absent={"lower": "It is now throttle."}
            ),
            "min_drop": number(0, 1),
            "alpha": number(1e-9, 0.5),
            "patience": whole(1),
            "max_loss_rise": optional(number(0, 1e6)),
            "throttle_to": number(0, 1),
        },
    },
    "run_log": text,
    "cache": optional(text),
    "on_mismatch": one_of("error", "warn", absent={}),
    "seed": whole(0),
}
