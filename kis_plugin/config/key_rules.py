"""Rules of single keys of kis.yaml: amounts, windows, spacings, names and choices."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kis_plugin.amounts import EXAMPLES, parse_amount
from kis_plugin.config.choice import Choice
from kis_plugin.config.rules import LARGEST, Rule, Wrong

__all__ = ["Amount", "ChoiceOf", "FractionOrSteps", "NameOrNames", "NamesAmong", "Window"]

_PERCENT, _STEPS = "[0-9]{1,19}([.][0-9]{1,19})? ?%", "[0-9]{1,19} steps?"


@dataclass(frozen=True)
class Amount(Rule):
    """A whole number of tokens: ``1.2B``, ``300M``, ``5k``, or a plain number."""

    expected = f"an amount such as {EXAMPLES}"

    def _core(self, schema: Any) -> Any:
        number, text = schema.float_schema(strict=True, ge=0), schema.str_schema(strict=True)
        return schema.union_schema([schema.int_schema(strict=True, ge=0), number, text])

    def read(self, value: Any) -> int:
        """Return the number of tokens."""
        try:
            return parse_amount(value, least=0)
        except ValueError as error:
            raise Wrong(str(error)) from error


@dataclass(frozen=True)
class Window(Rule):
    """Two fractions of the run, the first below the second."""

    expected = "two fractions [a, b] with 0 <= a < b <= 1"

    def _core(self, schema: Any) -> Any:
        fraction = schema.float_schema(strict=True, ge=0, le=1)
        return schema.tuple_schema([fraction, fraction])

    def read(self, value: Any) -> tuple[float, float]:
        """Return the two fractions."""
        if value[0] >= value[1]:
            raise Wrong(self.expected)
        return value[0], value[1]


@dataclass(frozen=True)
class FractionOrSteps(Rule):
    """A fraction of the run (``0.1``, ``10%``) or a whole number of steps (``500``, ``500 steps``)."""

    expected = "a fraction of the run above 0 and below 1 (0.1 or 10%), or a number of steps from 1 (500 or 500 steps)"

    def hint(self, value: object) -> str:
        """1.0 could mean every step or once in the run: it is not guessed."""
        return "Write steps without a decimal point." if isinstance(value, float) and value >= 1 else ""

    def _core(self, schema: Any) -> Any:
        fraction = schema.float_schema(strict=True, gt=0, lt=1)
        steps = schema.int_schema(strict=True, ge=1, le=LARGEST)
        text = schema.str_schema(strict=True, pattern=f"^({_PERCENT}|{_STEPS})$")
        return schema.union_schema([fraction, steps, text])

    def read(self, value: Any) -> float | int:
        """Return a fraction as a float, steps as an int."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        every = float(Decimal(value.rstrip("% ")) / 100) if "%" in value else int(value.split()[0])
        if not (0 < every < 1 if isinstance(every, float) else 1 <= every <= LARGEST):
            raise Wrong(self.expected)
        return every


@dataclass(frozen=True)
class NameOrNames(Rule):
    """One name or a list of names, at least ``least``, each once."""

    least: int = 1
    kind: str = ""
    """What plugins register under these names, for editors."""

    expected = "a name or a list of names"

    def _core(self, schema: Any) -> Any:
        name = schema.str_schema(strict=True, pattern=r"\S")
        return schema.union_schema([name, schema.list_schema(name, min_length=self.least)])

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> Any:
        """Offer the registered names to editors."""
        if not self.kind:
            return handler(core)
        from kis_plugin.registry import registered

        name = {"enum": list(registered(self.kind))}
        return {"anyOf": [name, {"type": "array", "items": name, "minItems": self.least, "uniqueItems": True}]}

    def read(self, value: Any) -> tuple[str, ...]:
        """Return the names."""
        names = (value,) if isinstance(value, str) else tuple(value)
        if len(set(names)) < len(names):
            raise Wrong("each name once")
        return names


@dataclass(frozen=True)
class NamesAmong(NameOrNames):
    """Some of these names, perhaps none."""

    names: tuple[str, ...] = ()

    @property
    def expected(self) -> str:  # type: ignore[override]
        """What an error says was expected."""
        return f"a list of some of {', '.join(self.names)}"

    def _core(self, schema: Any) -> Any:
        name = schema.literal_schema(list(self.names))
        return schema.union_schema([name, schema.list_schema(name)])


@dataclass(frozen=True)
class ChoiceOf(Rule):
    """The name of something that plugins register, or a mapping of ``name`` and options."""

    kind: str

    expected = "a name, or a mapping of name and options"

    def hint(self, value: object) -> str:
        """Show how options are written."""
        return "Write {name: burst, bursts: 4}."

    def _core(self, schema: Any) -> Any:
        name = schema.str_schema(strict=True, pattern=r"\S")
        named = {"name": schema.typed_dict_field(name, required=True)}
        options = schema.typed_dict_schema(named, extra_behavior="allow", strict=True)
        return schema.union_schema([name, options])

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        """Offer the registered names to editors."""
        from kis_plugin.registry import registered

        names = {"enum": list(registered(self.kind))}
        options = {"type": "object", "properties": {"name": names}, "required": ["name"]}
        return {"anyOf": [names, options]}

    def read(self, value: Any) -> Choice:
        """Return the choice; whether it is registered is checked with its options."""
        if isinstance(value, str):
            return Choice(value)
        return Choice(value["name"], {key: option for key, option in value.items() if key != "name"})
