"""Settings of a sweep, stored in ``sweep.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml

from kis_plugin.config.rules import Number, Rule, Whole
from kis_plugin.config.schema import STRICT
from kis_plugin.config.validate import validate
from kis_plugin.errors import KISError
from kis_plugin.storage.atomic_write import write_atomically
from kis_sweep.folder import SETTINGS, read_settings
from kis_sweep.grid import Cell
from kis_sweep.training import Training

__all__ = ["Settings", "settings_of", "write_settings"]


class Cells(Rule):
    """Rule of the key ``grid``: a list of size, frequency and seed."""

    expected = "a list of cells [size, frequency, seed]"

    def _core(self, schema: Any) -> Any:
        size, seed = schema.int_schema(strict=True, ge=1), schema.int_schema(strict=True, ge=0)
        frequency = schema.float_schema(strict=True, ge=0, allow_inf_nan=False)
        return schema.list_schema(schema.tuple_schema([size, frequency, seed]))

    def read(self, value: Any) -> tuple[Cell, ...]:
        """Return the cells."""
        return tuple(Cell(*cell) for cell in value)


class Seconds(Rule):
    """Rule of the key ``seconds``: seconds per step, by model size."""

    expected = "seconds per step by model size"

    def _core(self, schema: Any) -> Any:
        seconds = schema.float_schema(strict=True, ge=0, allow_inf_nan=False)
        return schema.dict_schema(schema.int_schema(ge=1), seconds)


@dataclass(frozen=True)
class Settings:
    """Settings of a sweep, stored in ``sweep.yaml``.

    Attributes:
        training: Training settings that all runs share.
        grid: Cells of the full grid whose share the predictor can use, as size, frequency and seed.
        exposure: Tokens per exposure of every fact.
        text_tokens: Tokens of the base text; a longer run repeats it.
        held_out_tokens: Tokens of held-out general text.
        seconds: Seconds per step on the planning machine, by model size; empty if steps were not timed.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    training: Training
    grid: Annotated[tuple[Cell, ...], Cells()]
    exposure: Annotated[float, Number()]
    text_tokens: Annotated[int, Whole(1)]
    held_out_tokens: Annotated[int, Whole(1)]
    seconds: Annotated[Mapping[int, float], Seconds()]


def settings_of(sweep: Path) -> Settings:
    """Return the settings of a sweep.

    Raises:
        KISError: The folder holds no sweep, or its settings are invalid.
    """
    read = validate(Settings, read_settings(sweep), SETTINGS)
    if read.value is None:
        raise KISError(read.problems)
    return read.value


def write_settings(sweep: Path, settings: Settings) -> None:
    """Write the settings into the folder of a sweep."""
    values = {
        "training": asdict(settings.training),
        "exposure": settings.exposure,
        "text_tokens": settings.text_tokens,
        "held_out_tokens": settings.held_out_tokens,
        "seconds": dict(settings.seconds),
        "grid": [[cell.size, cell.frequency, cell.seed] for cell in settings.grid],
    }
    write_atomically(sweep / SETTINGS, yaml.safe_dump(values, sort_keys=False, default_flow_style=None))
