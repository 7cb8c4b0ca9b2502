"""One sentence on what came of a run, and the likeliest reason where nothing was retained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scipy.stats import binomtest

from kis_plugin.config.schema import GuardConfig
from kis_plugin.retention.control_leaks import UNLIKELY
from kis_plugin.retention.series import ABOVE_CONTROL, CONTROL, HELD_OUT, SEEN
from kis_plugin.summary.exposures import miscount_of
from kis_plugin.summary.history import History, Point

__all__ = ["Verdict", "verdict_of"]

LEAST_FREQUENCY = 34
"""Fewest exposures with which a run of the studies retained facts above chance: 34, at 0.47M parameters."""
LARGE_SHARE = 0.3
"""Of runs of the studies that ended at chance with many exposures, nearly all had a larger share."""
LEAST_TOKENS_PER_PARAM = 1.0
_WIDE = 0.2
"""An interval of this width cannot tell chance from half of what can be retained."""
_GAP = 0.2
_MIN_DROP = GuardConfig().min_drop


@dataclass(frozen=True)
class Verdict:
    """What came of a run.

    Attributes:
        name: ``retained``, ``at chance``, ``collapsed``, ``forgotten``, ``leaked``, ``diverged``, ``miscounted``,
            ``failed``, ``uninfused`` or ``not measured``.
        sentence: The same with numbers, and with a reason.
    """

    name: str
    sentence: str


def verdict_of(history: History) -> Verdict:
    """Return the verdict on a run; of one that is not finished, on what there is so far."""
    for name, rule in _RULES:
        if sentence := rule(history):
            return Verdict(name, sentence)
    raise AssertionError("the last rule always answers")


def _diverged(history: History) -> str | None:
    end, guard = history.log.end, history.log.guard
    if end and end.status == "diverged":
        why = end.extra.get("diverged") or "a loss or logits became NaN or infinite"
        return f"Diverged: {why}. Accuracies after that say nothing; lower the learning rate."
    if guard and guard[-1].verdict == "diverged":
        return f"Diverged at step {guard[-1].step:,}: accuracies after that say nothing; lower the learning rate."
    return None


def _failed(history: History) -> str | None:
    end = history.log.end
    return f"Failed at step {end.step:,}." if end and end.status == "failed" else None


def _miscounted(history: History) -> str | None:
    why = miscount_of(history.log)
    return f"Miscounted: {why}. Do not predict from this run." if why else None


def _unmeasured(history: History) -> str | None:
    return None if history.main else "Not measured: the run log has no retention."


def _leaked(history: History) -> str | None:
    first, last = history.first(CONTROL), history.last(CONTROL)
    if first is None or last is None or not _is_above_chance(last):
        return None
    if first is not last and not last.exceeds(first):
        return None  # what the model knew before is no leak
    rose = f"rose from {first.accuracy:.3f} to" if first is not last else "are at"
    above = history.last(ABOVE_CONTROL)
    rest = f" Held-out minus control is {_signed(above)}: read that." if above else ""
    return f"Leaked: control facts, never infused, {rose} {last.accuracy:.3f}.{rest}"


def _is_above_chance(point: Point) -> bool:
    if point.uninformed is None or not point.worth:
        return False
    right = round(point.worth * point.accuracy)
    return float(binomtest(right, point.worth, point.uninformed, alternative="greater").pvalue) < UNLIKELY


def _uninfused(history: History) -> str | None:
    if history.run.frequency:
        return None
    last = history.last(history.main)
    assert last
    return f"Uninfused: held-out ends at {last.accuracy:.3f} without any exposure."


def _fell(history: History) -> tuple[int, Point, Point] | None:
    """Return step and point of the best evaluation and the last point, where retention fell beyond the noise."""
    best, last = history.best(history.main), history.last(history.main)
    if best is None or last is None or not best[1].exceeds(last):
        return None
    height = best[1].accuracy - (best[1].uninformed or 0.0)
    return (*best, last) if best[1].accuracy - last.accuracy >= _MIN_DROP * height else None


def _seen_fell(history: History, step: int) -> bool:
    seen = dict(history.points(SEEN))
    last = history.last(SEEN)
    return last is not None and step in seen and seen[step].exceeds(last)


def _collapsed(history: History) -> str | None:
    fell = _fell(history)
    if fell is None or _seen_fell(history, fell[0]):
        return None
    above = history.last(ABOVE_CONTROL)
    rest = f" {_signed(above)} above control is left." if above and above.low > 0 else ""
    return f"Collapsed: {_fall_text(fell)} while seen templates did not.{rest} Infuse less."


def _forgotten(history: History) -> str | None:
    fell = _fell(history)
    return f"Forgotten: {_fall_text(fell)}, and seen templates fell too." if fell else None


def _fall_text(fell: tuple[int, Point, Point]) -> str:
    return f"held-out retention fell from {fell[1].accuracy:.3f} (step {fell[0]:,}) to {fell[2].accuracy:.3f}"


def _at_chance(history: History) -> str | None:
    last, above = history.last(history.main), history.last(ABOVE_CONTROL)
    assert last
    if above is not None and above.low > 0:
        return None
    if above is None and (last.chance is None or last.low > last.chance):
        return None
    of = "chance" if above is None or (last.chance is not None and last.low <= last.chance) else "control"
    control = history.last(CONTROL)
    if of == "control" and above and control and control.high - control.low > _WIDE:
        return (
            f"At control: held-out ends at {last.accuracy:.3f}, above chance. {control.n} control probes leave the "
            f"difference anywhere from {above.low:+.2f} to {above.high:+.2f}, which cannot tell. Infuse more facts, or "
            "raise retention.control."
        )
    reason = next(text for fits, text in _REASONS if fits(history, last)).format(
        frequency=history.run.frequency, share=history.run.share or 0.0, n=last.n, low=last.low, high=last.high,
        ratio=history.run.tokens / max(history.run.params, 1),
        seen=seen.accuracy if (seen := history.last(SEEN)) else 0.0,
    )  # fmt: skip
    return f"At {of}: held-out ends at {last.accuracy:.3f}. Likeliest reason: {reason}"


def _seen_alone(history: History, last: Point) -> bool:
    seen = history.last(SEEN)
    return seen is not None and _is_above_chance(seen) and seen.low - last.high > 0.0


_REASONS: tuple[tuple[Callable[[History, Point], bool], str], ...] = (
    (
        lambda history, last: last.high - last.low > _WIDE,
        "{n} probes leave an interval from {low:.2f} to {high:.2f}, which cannot tell. Probe more facts.",
    ),
    (
        _seen_alone,
        "sentences were learnt by heart, as seen templates are right at {seen:.2f}. Add templates to each relation.",
    ),
    (
        lambda history, last: (history.run.share or 0.0) > LARGE_SHARE,
        "infused text took {share:.0%} of all tokens and left too little general text. Infuse fewer facts.",
    ),
    (
        lambda history, last: history.run.tokens < LEAST_TOKENS_PER_PARAM * history.run.params,
        "the run is short, D = {ratio:.2g} tokens per parameter. Train longer, or start from a trained model.",
    ),
    (
        lambda history, last: history.run.frequency < LEAST_FREQUENCY,
        "{frequency:g} exposures are few; runs of the studies that start untrained needed 34 or more.",
    ),
    (
        lambda history, last: True,
        "{frequency:g} exposures are too few for a model of this size. Raise the frequency, or infuse fewer facts.",
    ),
)
"""Reasons for no retention; the first that fits is the likeliest."""


def _retained(history: History) -> str | None:
    last, above = history.last(history.main), history.last(ABOVE_CONTROL)
    assert last
    against = (
        f"{_signed(above)} above control" if above else "" if last.chance is None else f"chance is {last.chance:.3f}"
    )
    sentence = f"Retained: held-out ends at {last.accuracy:.3f}{f', {against}' if against else ''}."
    seen = history.last(SEEN)
    if history.main == HELD_OUT and seen is not None and seen.low - last.high > _GAP:
        sentence += f" Seen templates are at {seen.accuracy:.3f}: more templates would carry more over."
    return sentence


def _signed(point: Point) -> str:
    return f"{point.accuracy:+.3f} [{point.low:+.3f}, {point.high:+.3f}]"


_RULES: tuple[tuple[str, Callable[[History], str | None]], ...] = (
    ("diverged", _diverged),
    ("failed", _failed),
    ("miscounted", _miscounted),
    ("not measured", _unmeasured),
    ("leaked", _leaked),
    ("uninfused", _uninfused),
    ("collapsed", _collapsed),
    ("forgotten", _forgotten),
    ("at chance", _at_chance),
    ("retained", _retained),
)
