"""What a key may hold: annotations that pydantic reads, each with the words of its error.

A rule stands in the type of a field: ``Annotated[float, Number(0, 1)]``. pydantic is imported when a schema is built,
not with this module, so that commands that read no configuration start without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kis_plugin.errors import nearest
from kis_plugin.storage.text_rules import ONE_LINE

if TYPE_CHECKING:
    from pydantic_core.core_schema import CoreSchema

__all__ = ["LARGEST", "Flag", "Number", "OneOf", "PathText", "Rule", "Text", "Whole", "Wrong", "number_hint"]

LARGEST = 2**63 - 1
_CONTROL = "\x00-\x1f\x7f-\x9f\u2028\u2029"


class Wrong(ValueError):  # noqa: N818 (a message from a rule to ``validate``, never seen outside)
    """Raised by a rule: what was expected, and perhaps a hint."""

    def __init__(self, expected: str, hint: str = "") -> None:
        self.expected, self.hint = expected, hint
        super().__init__(expected)


class Rule:
    """Base of the rules: pydantic checks the value by ``_core``; a refused value gets the rule's message."""

    @property
    def expected(self) -> str:
        """What an error says was expected."""
        raise NotImplementedError

    def hint(self, value: object) -> str:
        """Return what an error about ``value`` says to do; empty where that is plain."""
        return ""

    def _core(self, schema: Any) -> Any:
        """Return pydantic's schema of the values that pass, made with its module of schemas."""
        raise NotImplementedError

    def read(self, value: Any) -> Any:
        """Return the value that is meant by one that passed ``_core``, or raise ``Wrong``."""
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """Tell pydantic how to validate a field with this rule."""
        from pydantic_core import ValidationError, core_schema

        def validate(value: Any, inner: Any) -> Any:
            try:
                return self.read(inner(value))
            except (ValidationError, OverflowError) as error:
                raise Wrong(self.expected, self.hint(value)) from error

        return core_schema.no_info_wrap_validator_function(validate, self._core(core_schema))


@dataclass(frozen=True)
class Text(Rule):
    """A text in one line that is not empty."""

    expected = f"{ONE_LINE}, not empty"

    def hint(self, value: object) -> str:
        """Numbers and truth values are text only in quotes."""
        return "Put it in quotes." if isinstance(value, (bool, int, float)) else ""

    def _core(self, schema: Any) -> Any:
        return schema.str_schema(strict=True, pattern=rf"^[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$")


class PathText(Text):
    """A path; relative ones are taken from the folder that the validation's context names."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """Tell pydantic how to validate a field with this rule."""
        from pydantic_core import core_schema

        def resolve(text: str, info: core_schema.ValidationInfo) -> Path:
            folder: Path = (info.context or {}).get("folder", Path())
            return folder / text

        return core_schema.with_info_after_validator_function(
            resolve, super().__get_pydantic_core_schema__(source, handler)
        )


@dataclass(frozen=True)
class Number(Rule):
    """A finite number between bounds, both included."""

    least: float = 0.0
    most: float = math.inf

    @property
    def expected(self) -> str:
        """What an error says was expected."""
        if self.most == math.inf:
            return f"a finite number of at least {self.least:g}"
        return f"a number from {self.least:g} to {self.most:g}"

    def hint(self, value: object) -> str:
        """Say how a number is written that is text here."""
        return number_hint(value)

    def _core(self, schema: Any) -> Any:
        most = None if self.most == math.inf else self.most
        return schema.float_schema(strict=True, allow_inf_nan=False, ge=self.least, le=most)


def number_hint(value: object) -> str:
    """Return how to write a number that stands there as text: in quotes, or with a percent sign; else nothing."""
    text = value.strip() if isinstance(value, str) else ""
    try:
        number = float(text.removesuffix("%").rstrip())
    except ValueError:
        return ""
    return f"Write it as a fraction: {number / 100:g}." if text.endswith("%") else "Write it without quotes."


@dataclass(frozen=True)
class Whole(Rule):
    """A whole number of at least ``least`` that fits 63 bits."""

    least: int

    @property
    def expected(self) -> str:
        """What an error says was expected."""
        return f"a whole number of at least {self.least}"

    def _core(self, schema: Any) -> Any:
        return schema.int_schema(strict=True, ge=self.least, le=LARGEST)


@dataclass(frozen=True)
class Flag(Rule):
    """True or false."""

    expected = "true or false"

    def _core(self, schema: Any) -> Any:
        return schema.bool_schema(strict=True)


@dataclass(frozen=True)
class OneOf(Rule):
    """One of some names."""

    names: tuple[str, ...]
    renamed: Mapping[str, str] = field(default_factory=dict, hash=False)
    """New names of values that were renamed."""

    @property
    def expected(self) -> str:
        """What an error says was expected."""
        return " or ".join(map(repr, self.names))

    def hint(self, value: object) -> str:
        """Say what a renamed value is called now, or name the nearest valid one."""
        new = self.renamed.get(value) if isinstance(value, str) else None
        return f"It is now {new}." if new else nearest(value, self.names)

    def _core(self, schema: Any) -> Any:
        return schema.literal_schema(list(self.names))
