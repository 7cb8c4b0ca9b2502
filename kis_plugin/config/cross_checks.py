"""Checks that involve more than one key of a configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kis_plugin.config.key_rules import ChoiceOf
from kis_plugin.config.options import choice_problems
from kis_plugin.config.schema import (
    AMOUNTS,
    CHOICES,
    DEFAULT_FREQUENCY,
    PRESETS,
    RETENTION_PATHS,
    is_file_name,
    nearest_existing,
)
from kis_plugin.errors import Problem, nearest
from kis_plugin.registry import registered
from kis_plugin.storage.yaml_nodes import Node

__all__ = ["problems_together"]


def problems_together(root: Node, values: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    """Yield everything wrong with a configuration beyond its single keys.

    Args:
        root: All of the file, a mapping.
        values: Those of its values, as written, that are right alone.
        folder: Where its relative paths begin.
    """
    yield from _amount_problems(root)
    yield from _preset_problems(root, values)
    yield from _contradictions(root, values)
    yield from _path_problems(root, values, folder)
    yield from _name_problems(root, values)


def _amount_problems(root: Node) -> Iterator[Problem]:
    """Each of the three amounts says the same thing in another way: two of them would contradict each other."""
    infusion = root.value.get("infusion")
    keys = infusion.value if infusion and isinstance(infusion.value, dict) else {}
    given = [name for name in keys if name in AMOUNTS]
    if len(given) > 1:
        where = f"{keys[given[1]].key_where} infusion.{given[1]}"
        yield Problem(where, " and ".join(given), f"exactly one of {', '.join(AMOUNTS)}")


def _preset_problems(root: Node, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Keys that say something else than the preset beside them; an amount may, a choice may have further options."""
    infusion = values.get("infusion", {})
    preset = infusion.get("preset")
    for key, value in PRESETS.get(preset, {}).items():
        if key in AMOUNTS and value == 0:
            yield from _amounts_of_a_baseline(root, infusion, preset)
        if key in AMOUNTS or key not in infusion:
            continue
        given = infusion[key]
        if key in CHOICES:
            choice = ChoiceOf(CHOICES[key]).read(given)
            same = choice.name == value.name and value.options.items() <= choice.options.items()
        else:
            same = given == value
        if not same:
            where = f"{root.value['infusion'].value[key].where} infusion.{key}"
            hint = "Leave out the key, or the preset."
            yield Problem(where, f"{given!r} beside preset: {preset}", f"{value}, which is what it stands for", hint)


def _amounts_of_a_baseline(root: Node, infusion: Mapping[str, Any], preset: str) -> Iterator[Problem]:
    """Any amount but none: a baseline infuses nothing."""
    for name in AMOUNTS:
        if infusion.get(name):
            where = f"{root.value['infusion'].value[name].where} infusion.{name}"
            hint = "Leave out the key, or the preset."
            yield Problem(where, f"{infusion[name]!r} beside preset: {preset}", "no amount: it infuses nothing", hint)


def _contradictions(root: Node, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Keys that contradict each other, though each is valid by itself."""
    infusion = values.get("infusion", {})

    def at(key: str) -> str:
        return f"{root.value['infusion'].value[key].key_where} infusion.{key}"

    if infusion.get("attention") == "sentence" and infusion.get("placement") == "inline":
        hint = "An inline sentence stands in the base text: it sees what is before it, and what follows sees it."
        yield Problem(at("attention"), "sentence with placement: inline", "row, or placement: rows", hint)
    if infusion.get("template_order") == "first" and (infusion.get("max_templates") or 1) > 1:
        hint = "first uses one template; cycle and random use as many as max_templates says."
        found = f"{infusion['max_templates']} with template_order: first"
        yield Problem(at("max_templates"), found, "template_order: cycle or random", hint)
    if "known_frequency" not in infusion:
        return
    known, frequency = infusion["known_frequency"], infusion.get("frequency", DEFAULT_FREQUENCY)
    if not infusion.get("skip_known"):
        hint = "Without skip_known no fact is probed before the first step, so no fact counts as known."
        yield Problem(at("known_frequency"), f"{known:g} without skip_known", "skip_known: true beside it", hint)
    elif known > frequency and not {"share", "tokens"} & infusion.keys():
        hint = "Facts that the model knows already are given less than others."
        yield Problem(at("known_frequency"), f"{known:g}", f"at most the frequency, {frequency:g}", hint)


def _path_problems(root: Node, values: Mapping[str, Any], folder: Path) -> Iterator[Problem]:
    retention = values.get("retention", {})
    named = [("knowledge", "a file or folder of facts"), ("templates", "a file of templates")]
    named += [(f"retention.{key}", what) for key, what in RETENTION_PATHS.items()]
    for dotted, what in named:
        key = dotted.removeprefix("retention.")
        inside = retention if key != dotted else values
        value = inside.get(key)
        if value is None or (dotted == "templates" and not is_file_name(value)):
            continue
        node = (root.value["retention"] if inside is retention else root).value[key]
        try:
            (folder / value).stat()
            if (folder / value).is_dir():
                next((folder / value).iterdir(), None)  # is it readable?
        except (OSError, ValueError) as error:
            reason = "no such file or folder" if isinstance(error, FileNotFoundError) else str(error)
            here = Path(value).is_absolute() or ":" not in node.where  # of no file: made in code
            hint = "" if here else "Relative paths are taken from the folder of the configuration."
            yield Problem(f"{node.where} {dotted}", f"{value!r}: {reason}", what, hint)
            continue
        if dotted != "templates" and not ((folder / value).is_file() or (folder / value).is_dir()):
            # Knowledge is read twice, a pipe can be read once.
            yield Problem(f"{node.where} {dotted}", f"{value!r}: a pipe or a device", what)
    for key in ("run_log", "cache"):
        if (made := values.get(key)) is None:
            continue
        where, there = f"{root.value[key].where} {key}", nearest_existing(folder / made)
        if made.startswith("~"):
            yield Problem(where, repr(made), "a folder", "Write it out: ~ means nothing here.")
        elif not there.is_dir():
            yield Problem(where, f"{made!r}: {there} is a file", "a folder, which is made if it is missing")


def _name_problems(root: Node, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Names of what plugins register, checked here so that a misspelt one comes with its line."""
    kinds = values.get("retention", {}).get("probes", {}).get("kinds", ())
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    infusion = values.get("infusion", {})
    for key, kind in CHOICES.items():
        if key in infusion:
            node = root.value["infusion"].value[key]
            options = node.value.items() if isinstance(node.value, dict) else ()
            lines = {name: f"{option.where} infusion.{key}.{name}" for name, option in options}
            choice = ChoiceOf(kind).read(infusion[key])
            yield from choice_problems(kind, choice, f"{node.where} infusion.{key}", lines)
    named = (("probes", "retention.probes.kinds", kinds), ("templates", "templates", (values.get("templates"),)))
    for kind, key, names in named:
        for name in names:
            if name is None or (kind == "templates" and is_file_name(name)) or name in registered(kind):
                continue
            node = root
            for part in key.split("."):
                node = node.value[part]
            hint = nearest(name, registered(kind)) + (" A file's name ends in .yaml." if kind == "templates" else "")
            yield Problem(f"{node.where} {key}", repr(name), f"one of the installed {kind}", hint)
