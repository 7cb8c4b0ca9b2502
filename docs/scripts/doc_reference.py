"""Write the generated parts of the reference: configuration, run log and command line, from the code that defines them.

    python docs/scripts/doc_reference.py            # write them
    python docs/scripts/doc_reference.py --check    # say which pages are out of date; exit code 1 if any

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- /generated -->``; everything else on a page is
written by hand. Meanings are the docstrings under the fields, so they are written once.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import click
from doc_compatibility import compatibility

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters"), str(ROOT / "predictor")]
REFERENCE = ROOT / "docs" / "reference"


def field_docs(cls: type) -> dict[str, str]:
    """Return the docstring under each field of a class, as one line of Markdown."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for statement, following in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and _is_text(following):
            found[statement.target.id] = in_markdown(following.value.value)  # type: ignore[attr-defined]
    return found


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def in_markdown(text: str) -> str:
    """Return a docstring as one line: literals in single backticks, bars escaped for a table."""
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def default_of(field: Field[Any]) -> object:
    """Return a field's default; MISSING where it has none."""
    return field.default_factory() if field.default_factory is not MISSING else field.default


def as_written(default: object) -> str:
    """Return a default as ``kis.yaml`` writes it."""
    if default is MISSING:
        return ""
    if isinstance(default, tuple):
        return ", ".join(default) if isinstance(default[0], str) else str(list(default))
    if default is None or isinstance(default, bool):
        return {None: "null", False: "false", True: "true"}[default]
    return str(default)


def configuration() -> str:
    """Return the table of every key of ``kis.yaml``."""
    from kis_plugin.config.schema import DEFAULT_FREQUENCY, KisYaml

    rows = ["| key | default | meaning |", "| --- | --- | --- |"]
    for key, default, meaning in keys(KisYaml):
        shown = f"{DEFAULT_FREQUENCY:g}" if key == "infusion.frequency" else default  # one of three amounts
        rows.append(f"| `{key}` | {shown} | {meaning} |")
    return "\n".join(rows)


def keys(cls: type, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield every key of a configuration class with its default and its meaning."""
    from kis_plugin.config.choice import Choice

    meanings = field_docs(cls)
    for field in fields(cls):
        default = default_of(field)
        if is_dataclass(default) and not isinstance(default, Choice):
            yield from keys(type(default), f"{prefix}{field.name}.")
        elif field.name != "path":
            yield prefix + field.name, as_written(default), meanings.get(field.name, "")


def run_log() -> str:
    """Return a table for each record type of the run log."""
    from kis_plugin.run.log_files import records

    parts = []
    for name, cls in (*records.RECORDS.items(), ("recipe", records.TrainingRecipe)):
        meanings = field_docs(cls)
        rows = ["| field | type | meaning |", "| --- | --- | --- |"]
        for field in fields(cls):
            if field.name == "extra":
                continue
            kind = written_type(str(field.type), vars(records))
            required = " (required)" if default_of(field) is MISSING else ""
            rows.append(f"| `{field.name}` | {kind}{required} | {meanings.get(field.name, '')} |")
        purpose = in_markdown(inspect.getdoc(cls) or "")
        title = f"`{name}`" if name in records.RECORDS else "`run`, how the host trains"
        parts.append(f"### {title}\n\n{purpose}\n\n" + "\n".join(rows))
    return "\n\n".join(parts)


def written_type(annotation: str, names: dict[str, Any]) -> str:
    """Return an annotation as the log's readers know it: choices spelt out, optional ones without None."""
    plain = annotation.removesuffix(" | None")
    named = names.get(plain)
    if get_origin(named) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(named))
    if get_origin(named) is Annotated:
        return str(get_args(named)[0].__name__)
    return plain.replace("Mapping[", "object[").replace("|", "or")


def command_line() -> str:
    """Return every command of ``kis`` and ``kis-predict`` with its options."""
    from kis_plugin.cli.main import main as kis
    from kis_predict.cli import command as kis_predict

    parts = []
    context = click.Context(kis, info_name="kis")
    for name in kis.list_commands(context):
        command = kis.get_command(context, name)
        assert command is not None
        parts += described(command, click.Context(command, info_name=name, parent=context))
    parts += described(kis_predict, click.Context(kis_predict, info_name="kis-predict"))
    return "\n\n".join(parts)


def described(command: click.Command, context: click.Context) -> list[str]:
    """Return the section of a command, and after it those of its subcommands."""
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [
        f"### {context.command_path}",
        f"```\n{context.command_path} {usage}\n```",
        *paragraphs(command.help or ""),
    ]
    rows = [row for param in command.get_params(context) if (row := option_row(param, context))]
    if rows:
        parts.append("\n".join(["| option | default | meaning |", "| --- | --- | --- |", *rows]))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            under = command.get_command(context, name)
            assert under is not None
            parts += described(under, click.Context(under, info_name=name, parent=context))
    return parts


def paragraphs(text: str) -> Iterator[str]:
    r"""Yield a help text as Markdown: paragraphs after a ``\b`` line keep their lines."""
    for part in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        kept = re.sub(r"\A(?:\x08|\\b)\n", "", part)
        if kept != part:
            yield f"```\n{textwrap.dedent(kept)}\n```"
        else:
            yield " ".join(part.split()).replace("<", "&lt;")


def option_row(param: click.Parameter, context: click.Context) -> str:
    """Return the table row of an option; an empty string for an argument or ``--help``."""
    if not isinstance(param, click.Option) or param.hidden or "--help" in param.opts:
        return ""
    record = param.get_help_record(context)
    assert record is not None
    names, text = record
    names = re.sub(r"\[([^\]]*\|[^\]]*)\]", lambda match: "{" + match[1].replace("|", ",") + "}", names)
    meaning, _, extra = text.partition("  [")
    facts = [part.strip() for part in extra.removesuffix("]").split(";")] if extra else []
    default = next((fact.removeprefix("default: ") for fact in facts if fact.startswith("default: ")), "")
    others = [fact for fact in facts if not fact.startswith("default: ")]
    meaning = " ".join(meaning.split()) + (f" ({', '.join(others)})" if others else "")
    escaped = [cell.replace("|", "\\|").replace("<", "&lt;") for cell in (default, meaning)]
    return f"| `{names}` | {escaped[0]} | {escaped[1]} |".replace("|  |", "| |")


GENERATED: dict[str, tuple[str, Callable[[], str]]] = {
    "configuration": ("configuration.md", configuration),
    "run log": ("run-log.md", run_log),
    "command line": ("command-line.md", command_line),
    "compatibility": ("compatibility.md", compatibility),
}


def current(name: str) -> tuple[Path, str, str]:
    """Return a page, its text as it is, and its text with the part called ``name`` written anew."""
    file, make = GENERATED[name]
    page = REFERENCE / file
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- /generated -->)", re.S)
    return page, text, pattern.sub(lambda match: f"{match[1]}\n{make()}\n\n{match[2]}", text)


def main() -> int:
    """Write the pages, or with ``--check`` say which are out of date."""
    stale = 0
    for name in GENERATED:
        page, text, new = current(name)
        if text != new:
            stale += 1
            print(f"{page.relative_to(ROOT)}: {'out of date' if '--check' in sys.argv else 'written'}")
            if "--check" not in sys.argv:
                page.write_text(new, encoding="utf-8")
    return int(stale > 0 and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
