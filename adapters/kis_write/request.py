"""What ``kis write`` is to write, checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kis_plugin.config.load import load_config
from kis_plugin.config.schema import Config
from kis_plugin.counting.places import Place
from kis_plugin.errors import KISError, Problem
from kis_plugin.infusion.build_plan import plan_infusion
from kis_plugin.infusion.inputs import InfusionInputs, load_inputs
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.registry import find
from kis_plugin.tokenized.load_tokenizer import load_tokenizer
from kis_plugin.tokenized.tokenizer import TextTokenizer
from kis_write.base_tokens import megatron_prefix
from kis_write.protocols import Format, HostSettings, Layout

__all__ = ["Planned", "WriteRequest", "planned"]


@dataclass(frozen=True)
class WriteRequest:
    """The options of ``kis write``.

    Attributes:
        config: The kis.yaml.
        tokenizer: A folder, a ``tokenizer.json`` or a name.
        sequence_length: Tokens a row, T.
        base: The base corpus: one tokenized file, or text, also behind URLs.
        format: A registered format.
        mode: ``whole``, or ``side``: the infused rows alone.
        rows: Of the whole run, all epochs.
        host_seed: The seed by which the host shuffles; None: not known.
        batch: Rows of a global batch; None: not known.
        shuffle: Read base rows in another random order each epoch.
    """

    config: Path
    tokenizer: str
    sequence_length: int
    base: tuple[Place, ...]
    format: str
    mode: str
    rows: int
    host_seed: int | None = None
    batch: int | None = None
    shuffle: bool = True


@dataclass(frozen=True)
class Planned:
    """A request with all that it names.

    Attributes:
        request: As given.
        config: Loaded.
        tokenizer: Loaded.
        inputs: What is infused.
        plan: Which texts each row of the run carries.
        format: How it is written.
        host: How the files will be read.
        layout: Where rows stand in the files.
    """

    request: WriteRequest
    config: Config
    tokenizer: TextTokenizer
    inputs: InfusionInputs
    plan: InfusionPlan
    format: Format
    host: HostSettings
    layout: Layout


def planned(request: WriteRequest) -> Planned:
    """Load what a request names, and plan its rows.

    Raises:
        KISError: Anything that the written files could not keep: a wrong amount, settings that act during a run, an
            order that the host does not keep.
    """
    config = load_config(request.config)
    _refuse_run_settings(config)
    form: Format = find("formats", request.format, "--format")
    tokenizer = load_tokenizer(request.tokenizer)
    inputs = load_inputs(config, tokenizer, request.sequence_length)
    plan = plan_infusion(inputs, request.rows)
    rows = plan.infused_rows if request.mode == "side" else request.rows
    if request.mode == "side":
        _refuse_side(request, config, inputs)
    if not rows:
        raise KISError(Problem(f"{request.config} infusion", "nothing to infuse", "an amount, in mode side"))
    host = HostSettings(
        request.sequence_length, rows, request.host_seed, request.batch, len(tokenizer.breaks()[0]), tokenizer.eos
    )
    layout = form.layout(host)
    if layout.order != "exact" and (why := _needs_order(config, inputs)):
        raise KISError(Problem(why, "rows in an order of the host's own", "a uniform schedule", layout.reason))
    return Planned(request, config, tokenizer, inputs, plan, form, host, layout)


def _refuse_run_settings(config: Config) -> None:
    """Refuse what only a running model can do, or what token ids alone cannot say."""
    where = config.path or "config"
    guard = config.retention.guard
    wrong = [
        (f"{where} infusion.loss", config.infusion.loss, "all", config.infusion.loss != "all"),
        (f"{where} infusion.attention", config.infusion.attention, "row", config.infusion.attention != "row"),
        (f"{where} infusion.skip_known", "set", "nothing: it needs the model in training", config.infusion.skip_known),
        (
            f"{where} retention.guard.action",
            guard.action,
            "warn or none: files cannot change during a run",
            guard.action not in ("none", "warn"),
        ),
    ]
    if problems := [Problem(where, str(found), expected) for where, found, expected, is_wrong in wrong if is_wrong]:
        raise KISError(problems)


def _refuse_side(request: WriteRequest, config: Config, inputs: InfusionInputs) -> None:
    where = config.path or "config"
    if request.format != "megatron":
        found = f"side, with format {request.format}"
        hint = "Megatron blends data sets by counts; other hosts mix them by chance."
        raise KISError(Problem("--mode", found, "whole, or format megatron", hint))
    if config.infusion.placement != "rows":
        found, expected = config.infusion.placement, "rows: infused rows stand beside the base, not in its text"
        raise KISError(Problem(f"{where} infusion.placement", found, expected))
    if why := _needs_order(config, inputs):
        raise KISError(Problem(why, "a schedule, in mode side", "uniform: the blend is even", "Use --mode whole."))
    if megatron_prefix(request.base[0]) is None:
        found, hint = f"{request.base[0]}, without an .idx", "Tokenize it with Megatron's tools/preprocess_data.py."
        raise KISError(Problem("--base", found, "in mode side, a .bin of Megatron's to blend with", hint))


def _needs_order(config: Config, inputs: InfusionInputs) -> str:
    """Return the setting that needs rows in the order of the plan; empty if none does."""
    where, infusion = config.path or "config", config.infusion
    if infusion.schedule.name != "uniform":
        return f"{where} infusion.schedule"
    if tuple(infusion.window) != (0.0, 1.0):
        return f"{where} infusion.window"
    return f"{config.knowledge}: dates of validity" if inputs.split.changing is not None else ""
