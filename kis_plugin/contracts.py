"""The shapes a plugin hands over: one protocol for each thing that can be added from another distribution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from kis_plugin.knowledge import Fact, Knowledge, Passage, Templates

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from kis_plugin.models import LoadedModel, LoadOptions
    from kis_plugin.probing.probes import Question, QuestionMaker
    from kis_plugin.sweep_run import Shape, SweepRun
    from kis_plugin.template_book import TemplateBook

__all__ = [
    "Framework", "Law", "LogReader", "ModelLoader", "ProbeKind", "Rendered", "Renderer", "RunPlugin", "Schedule",
    "Selection", "Source", "TemplateSet",
]  # fmt: skip


@runtime_checkable
class Source(Protocol):
    """Reads one kind of knowledge file or folder.

    One that may meet more than fits into memory has a method ``stream(path)`` too, which yields the facts and passages
    of ``read`` one by one and raises everything wrong with the file after the last of them. What it yields is kept in
    the cache under the file's content; an attribute ``version``, raised when the same file gives other facts, keeps an
    old one from being taken. A source without it is read in memory at every start.
    """

    name: str

    def claims(self, path: Path) -> bool:
        """Return whether this source reads ``path``, from its name or a glance inside."""

    def read(self, path: Path) -> Knowledge:
        """Read all of it.

        Raises:
            KISError: Everything wrong with the file, each with its line.
        """


@runtime_checkable
class TemplateSet(Protocol):
    """Sentences for relations, selected in ``kis.yaml`` by ``templates: <name>``."""

    name: str

    def templates(self) -> Mapping[str, Templates]:
        """Return the templates by relation. The key ``*`` serves relations that are not listed."""


@runtime_checkable
class Schedule(Protocol):
    """Says how densely each part of the window is infused, selected by ``infusion.schedule: <name>``.

    A schedule gives the shape alone; that every exposure then has exactly one row is not its business. One that is a
    dataclass takes its fields as options: ``schedule: {name: burst, bursts: 4}``. It may have an attribute
    ``in_order``; if that is true, every round tells the facts in the same order, so that the gaps between a fact's
    exposures follow the shape as the rounds do.
    """

    @property
    def name(self) -> str:
        """What ``kis.yaml`` calls it."""

    def weights(self, parts: int) -> Sequence[int]:
        """Return the weight of each of ``parts`` equal parts of the window: whole numbers, not all of them 0."""


class Rendered(NamedTuple):
    """One wording of one fact; a tuple, since millions of them are made."""

    text: str
    """What is infused."""
    object: tuple[int, int]
    """Where the object stands in it, as characters (first, end)."""


@runtime_checkable
class Renderer(Protocol):
    """Says how a fact is worded, selected by ``infusion.rendering: <name>``."""

    @property
    def name(self) -> str:
        """What ``kis.yaml`` calls it."""

    def wordings(self, relation: str, book: TemplateBook) -> int:
        """Return how many wordings facts of ``relation`` have; 1 or more."""

    def render(self, fact: Fact, wording: int, book: TemplateBook) -> Rendered:
        """Return ``fact`` in wording ``wording``, in ``range(wordings)``."""


@runtime_checkable
class Selection(Protocol):
    """Says which facts or passages are worth their tokens, selected by ``infusion.selection: <name>``.

    One that is a dataclass takes its fields as options: ``selection: {name: difference, scores: scores.jsonl}``.
    """

    @property
    def name(self) -> str:
        """What ``kis.yaml`` calls it."""

    def select(self, entries: Sequence[Fact] | Sequence[Passage], seed: int) -> npt.NDArray[np.int64]:
        """Return the places in ``entries`` of those to infuse, sorted.

        Raises:
            KISError: It cannot tell.
        """


@runtime_checkable
class ProbeKind(Protocol):
    """Makes the questions of one series, selected by ``retention.probes.templates: [<name>]``.

    One that asks ``maker.among`` instead of the balanced sets of ``maker.sets`` has an attribute ``balanced`` that is
    false. Several series of one kind are called ``<name>/<what tells them apart>``.
    """

    name: str

    def questions(self, maker: QuestionMaker) -> Sequence[Question]:
        """Return the questions about the facts that ``maker`` holds."""


@runtime_checkable
class ModelLoader(Protocol):
    """Loads one kind of saved model, for ``kis probe``. The first loader that claims a model loads it."""

    name: str

    def claims(self, model: str) -> bool:
        """Return whether this loader loads ``model``, a path or a name, from its looks: nothing is imported for it."""

    def load(self, model: str, options: LoadOptions) -> LoadedModel:
        """Load model and tokenizer.

        Raises:
            KISError: What is wrong with either, or with an option; or the extra that is not installed.
        """


@runtime_checkable
class Framework(Protocol):
    """Trains the runs of ``kis sweep``, each in a process of its own; selected by ``--framework <name>``."""

    name: str

    def train(self, run: SweepRun) -> None:
        """Train a run to its end, from its last checkpoint where ``run.work`` holds one.

        Raises:
            KISError: What is wrong with the run's configuration; or the extra that is not installed.
        """

    def seconds_per_step(self, run: SweepRun) -> float:
        """Time a few steps of a run on this machine, and leave nothing behind."""

    def shape_of(self, model: str, block: int) -> Shape:
        """Return the shape of a trained model that runs with rows of ``block`` tokens go on from.

        Args:
            model: A folder or a name.
            block: Tokens of a row.

        Raises:
            KISError: There is no such model, or it is none that this framework's runs can be.
        """


@runtime_checkable
class LogReader(Protocol):
    """Finds and reads runs in one log format, for ``kis-predict``. The first reader that claims a file reads it."""

    name: str

    def claims(self, path: Path) -> bool:
        """Return whether this reader reads the file ``path``, from its name or a glance inside."""

    def read(self, path: Path) -> Iterable[Any]:
        """Return the runs in it, as ``kis_predict.observed.ObservedRun``.

        Raises:
            KISError: What is wrong with the file, with its lines.
        """


@runtime_checkable
class Law(Protocol):
    """How a critical amount depends on the model and its budget, for ``kis-predict``: linear on the log scale.

    One that is not has three members more, which must come together: ``shape``, the name of the parameter that bends
    it; ``shapes(log_amounts)``, which returns the values to try, equally likely beforehand, given the observed
    log F_c; and ``bend(line, shape)``, which returns log F_c and its slope by the line, for arrays that broadcast.
    """

    name: str
    formula: str
    """For people: ``log F_c = a + b log N``."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters' names, in the order of the columns of ``features``."""

    def features(self, params: npt.NDArray[np.float64], tokens: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the design matrix, (groups, parameters), for N and D, (groups,) each; natural logarithms inside.

        The predictor itself sees when the groups cannot tell the parameters apart, and leaves the law out.
        """


# Any object with hook implementations for run events (hookspecs.py): built for one run, gone with it.
RunPlugin = object
