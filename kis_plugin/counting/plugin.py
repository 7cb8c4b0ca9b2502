"""Accuracy by corpus counts, and learning efficiency, as a run plugin."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kis_plugin.counting.by_count import CorpusCounts, counted_tokens, read_run_counts, with_efficiency
from kis_plugin.hook_markers import hookimpl
from kis_plugin.knowledge.facts import Fact
from kis_plugin.retention.results import Outcomes
from kis_plugin.run import log as runlog
from kis_plugin.run.context import TrainingRun
from kis_plugin.tokenized.infusion_split import load_split

__all__ = ["RetentionByCount"]


class RetentionByCount:
    """One run's records by count; it adds nothing where ``retention.corpus_counts`` is not set."""

    def __init__(self, run: TrainingRun) -> None:
        self._counts: CorpusCounts | None = None

    @hookimpl
    def kis_run_start(self, run: TrainingRun) -> None:
        """Read the counts.

        Raises:
            KISError: An invalid file, or infused facts that were not counted as they are now.
        """
        if run.config.retention.corpus_counts is None:
            return
        counts = read_run_counts(run.config, load_split(run.config))
        if counts is not None:
            self._counts = CorpusCounts(counts, counted_tokens(counts.about, run.tokenizer))

    @hookimpl
    def kis_retention_records(
        self,
        run: TrainingRun,
        step: int,
        outcomes: Outcomes,
        facts_of: Callable[[str], Sequence[Fact]],
        records: list[runlog.Retention],
    ) -> None:
        """Add accuracy by count, and at the end of the run how efficiently facts were learnt."""
        if self._counts is None:
            return
        tokens = run.tokens_at(step)
        if step == run.steps:
            shown = run.session.shown()  # sums over ranks, so every rank must call it
            if run.rank == 0:
                unknown = "it is not known what was infused so far"
                found = unknown if shown is None else self._counts.occurrences(outcomes, facts_of, tokens, shown)
                records[:] = with_efficiency(records, outcomes, found, facts_of)
        records += self._counts.records(step, tokens, outcomes, facts_of)
