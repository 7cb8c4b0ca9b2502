"""KIS and its peers as scorers of multiple-choice probes, for ``python -m benchmarks retention``.

Each is a module that is run as a process of its own (``python -m benchmarks.scorers.NAME job.json``), so that its peak
memory is its own; those of peers run in the interpreter that holds them and import nothing of KIS.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SCORERS", "Scorer"]


@dataclass(frozen=True)
class Scorer:
    """One contender.

    Attributes:
        name: What the tables call it.
        module: Of this package.
        distribution: What has to be installed, as the package index names it; empty for what comes with the checkout.
        note: How it is used here.
    """

    name: str
    module: str
    distribution: str
    note: str


SCORERS = {
    scorer.name: scorer
    for scorer in (
        Scorer("KIS", "kis", "", "prepare() once a run, then score() at every evaluation"),
        Scorer(
            "lm-pub-quiz",
            "lm_pub_quiz",
            "lm-pub-quiz",
            "Evaluator.score_answers for each question, conditional_score=True: only the object's tokens are scored",
        ),
        Scorer("lm-eval", "lm_eval", "lm-eval", "HFLM.loglikelihood on all questions at once, one request an option"),
        Scorer("plain", "plain", "", "one option a forward pass, no padding: the reference, not timed in turn"),
    )
}
