"""The protocol of a probe kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from kis_plugin.retention.probes import Question, QuestionMaker

__all__ = ["ProbeKind"]


@runtime_checkable
class ProbeKind(Protocol):
    """Makes the questions of one series, selected by ``retention.probes.kinds: [<name>]``.

    One that asks ``maker.among`` instead of the balanced sets of ``maker.sets`` has an attribute ``balanced`` that is
    false. Several series of one kind are called ``<name>/<what tells them apart>``.
    """

    name: str

    def questions(self, maker: QuestionMaker) -> Sequence[Question]:
        """Return the questions about the facts that ``maker`` holds."""
