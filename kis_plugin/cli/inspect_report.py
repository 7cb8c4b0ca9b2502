"""What ``kis inspect`` reports of a planned run, as values that print and that ``--json`` writes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ExampleRow", "InspectReport", "RelationShare", "Stretch"]


@dataclass(frozen=True)
class RelationShare:
    """The part of the infusion that one relation gets.

    Attributes:
        relation: Its name in the file; ``(passages)`` for documents.
        label: Its name in words.
        infused: Infused facts of this relation; for documents, infused chunks.
        exposures: Exposures of all of them together.
        tokens: Tokens of these exposures.
        share: ``tokens`` as a fraction of all infused tokens.
    """

    relation: str
    label: str
    infused: int
    exposures: int
    tokens: int
    share: float


@dataclass(frozen=True)
class Stretch:
    """A part of an example row.

    Attributes:
        infused: Whether it is infused text; otherwise it is base text.
        tokens: Its length, EOS included.
        text: The infused text; empty for base text.
        id: The id of the fact or passage; empty for base text.
    """

    infused: bool
    tokens: int
    text: str = ""
    id: str = ""


@dataclass(frozen=True)
class ExampleRow:
    """One infused row: its number in the run, and its parts in order."""

    row: int
    stretches: tuple[Stretch, ...]

    @property
    def infused_tokens(self) -> int:
        """Infused tokens of the row."""
        return sum(stretch.tokens for stretch in self.stretches if stretch.infused)


@dataclass(frozen=True)
class InspectReport:
    """The report of ``kis inspect``.

    Attributes:
        config: The configuration file.
        amount: The infusion amount of the configuration, as ``{"frequency": 64.0}``.
        rows: Rows of the run.
        sequence_length: Tokens per row.
        tokens: Token budget D of the run.
        facts: Infused facts.
        passages: Infused passages.
        texts: Texts of one round: one per fact, and one per chunk of a passage.
        templates: The greatest number of templates that any fact uses.
        frequency: Mean exposures per text.
        fewest: Exposures of the text that has fewest.
        most: Exposures of the text that has most.
        exposures: Exposures of all texts together.
        infused_tokens: Tokens of all exposures.
        share: ``infused_tokens`` as a fraction of D.
        infused_rows: Rows with infused text.
        settings: The other keys of ``infusion`` that shape the plan, as text.
        relations: The part of each relation, most tokens first.
        density: For each of 64 equal parts of the run, the fraction of its rows that are infused.
        every: The density is computed from one row in ``every``; 1 for all rows.
        examples: Some infused rows, ten by default, evenly spaced among the infused ones.
        schedule_hash: The hash that the run log will record.
        warnings: Remarks on the knowledge and the plan, one line each.
    """

    config: str
    amount: dict[str, float]
    rows: int
    sequence_length: int
    tokens: int
    facts: int
    passages: int
    texts: int
    templates: int
    frequency: float
    fewest: int
    most: int
    exposures: int
    infused_tokens: int
    share: float
    infused_rows: int
    settings: dict[str, str]
    relations: tuple[RelationShare, ...]
    density: tuple[float, ...]
    every: int
    examples: tuple[ExampleRow, ...]
    schedule_hash: str
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {"status": "ok", **asdict(self)}
