"""The compatibility table: what runs where, each cell with the test that shows it.

``tests/test_compatibility.py`` checks that every test named here exists. What no test shows is "not run".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["TABLE", "Cell", "compatibility", "named_tests"]

COLUMNS = ("map-style data", "stream", "last step short", "bf16", "compiled", "resume", "resume, other ranks")


@dataclass(frozen=True)
class Cell:
    """What is known of one combination.

    Attributes:
        says: ``yes``, ``refused``, ``host cannot`` or ``not run``.
        tests: Ids of tests, or the beginning of ids up to a bracket.
        note: Why, or where the limits are.
    """

    says: str
    tests: tuple[str, ...] = ()
    note: str = ""


def yes(*tests: str, note: str = "") -> Cell:
    return Cell("yes", tests, note)


def host_cannot(note: str) -> Cell:
    return Cell("host cannot", (), note)


NOT_RUN = Cell("not run")
SPLIT = "tests/sharded/test_trainer.py::"
HF, LIT, LOOP = "tests/kis_hf/", "tests/kis_litgpt/", "tests/kis_torch/"
LIT_RANKS = f"{LIT}test_lit_two_ranks.py::test_two_ranks_show_every_fact_f_times_over_a_kill"
TWO_NODES = "tests/sharded/test_litgpt.py::test_the_command_on_two_nodes_under_fsdp_goes_on_after_sigkill"
FABRIC = "Base text of a stream is each process's own matter: refused unless `on_mismatch: warn`."
SHARDS = (
    "A `datasets.IterableDataset` of which each process reads shards of its own: refused unless the number of "
    "processes is the same."
)
BY_DEEPSPEED = "By name, since DeepSpeed cannot load it, unless you convert the checkpoint to a universal one."
LOADED_SPLIT = "Transformers saves no optimizer of a model that is split at loading, on a CPU."
OTHER_RANKS = "tests/sharded/test_loop.py::test_a_split_run_goes_on_on_other_ranks"
REFUSED_CP = Cell(
    "refused",
    (f"{HF}test_trainer_contract.py::test_processes_that_share_a_batch_are_refused_by_name",),
    "by name, until a machine with GPUs has run it",
)


def trainer(
    strategy: str, *, compiled: Cell = NOT_RUN, resume: Cell | None = None, other: Cell = NOT_RUN
) -> list[Cell]:
    """Return the row of a strategy that all tests of the Trainer run under."""
    names = (
        "a_split_model_trains_as_one_process_does",
        "a_stream_is_infused_exactly",
        "a_last_step_of_fewer_batches_is_counted_exactly",
        "bf16_is_exact_in_counts_and_near_in_losses",
    )
    cells = [yes(f"{SPLIT}test_{name}[{strategy}]") for name in names]
    resumed = resume or yes(f"{SPLIT}test_a_split_run_that_stops_goes_on_exactly[{strategy}]")
    return [*cells, compiled, resumed, other]


def moved(strategy: str) -> Cell:
    """Return the cell of a change between one process and two."""
    return yes(*(f"{SPLIT}test_a_split_run_goes_on_on_{to}[{strategy}]" for to in ("one_process", "more_processes")))


def refused_by_deepspeed(strategy: str) -> Cell:
    test = f"{SPLIT}test_a_change_of_processes_that_the_host_cannot_load_is_refused_by_name[{strategy}-2 to 1]"
    return Cell("refused", (test,), BY_DEEPSPEED)


TABLE: dict[str, list[Cell]] = {
    "Trainer, one process": [
        yes(f"{HF}test_exact_counts.py::test_every_fact_is_shown_exactly_f_times"),
        yes(f"{HF}test_stream.py::test_every_fact_is_shown_exactly_f_times"),
        yes(f"{HF}test_exact_counts.py::test_every_fact_is_shown_exactly_f_times"),
        yes(f"{SPLIT}test_bf16_is_exact_in_counts_and_near_in_losses[ddp]"),  # compares with one process
        NOT_RUN,
        yes(f"{HF}test_killed.py::test_a_run_killed_twice_shows_what_the_unbroken_one_does"),
        yes(f"{HF}test_stream.py::test_a_resume_in_batches_of_another_size_shows_the_same_rows"),
    ],
    "Trainer, DDP": trainer(
        "ddp",
        other=yes(
            f"{HF}test_two_ranks.py::test_two_ranks_show_every_fact_f_times_over_a_resume[160-0]",
            f"{HF}test_two_ranks.py::test_two_ranks_show_a_streams_facts_f_times",
            note=SHARDS,
        ),
    ),
    "Trainer, FSDP 1": trainer("fsdp1", other=moved("fsdp1")),
    "Trainer, FSDP 2": trainer(
        "fsdp2", compiled=yes(f"{SPLIT}test_evaluation_adds_no_compiled_graphs[fsdp2]"), other=moved("fsdp2")
    ),
    "Trainer, ZeRO-2": trainer("zero2", other=refused_by_deepspeed("zero2")),
    "Trainer, ZeRO-3": trainer("zero3", other=refused_by_deepspeed("zero3")),
    "Trainer, tensor parallel": trainer("tp", resume=host_cannot(LOADED_SPLIT), other=host_cannot(LOADED_SPLIT)),
    "Trainer, data x tensor parallel": [
        yes(f"{SPLIT}test_a_split_model_trains_as_one_process_does[dp-tp]"),
        *[NOT_RUN] * 4,
        *[host_cannot(LOADED_SPLIT)] * 2,
    ],
    "Trainer, context parallel": [REFUSED_CP] * 7,
    "Trainer, sequence parallel": [REFUSED_CP] * 7,
    "LitGPT, one process": [
        yes(f"{LIT}test_lit_exact_counts.py::test_every_fact_is_shown_exactly_f_times"),
        yes(f"{LIT}test_lit_exact_counts.py::test_every_fact_is_shown_exactly_f_times"),
        Cell("host cannot", (), "LitGPT takes no step of fewer batches."),
        NOT_RUN,
        yes(
            f"{LIT}test_lit_command.py::test_the_example_runs_as_it_stands",
            f"{LIT}test_pretrain_hooks.py::test_evaluation_adds_no_compiled_graphs",
        ),
        yes(
            f"{LIT}test_lit_resume.py::test_a_resumed_run_trains_on_the_rows_of_an_unbroken_one",
            f"{LIT}test_lit_command.py::test_the_command_goes_on_after_a_kill",
        ),
        yes(f"{LIT}test_lit_resume.py::test_a_resume_in_batches_of_another_size_shows_the_same_rows"),
    ],
    "LitGPT, DDP": [
        yes(f"{LIT_RANKS}[map]"),
        yes(f"{LIT_RANKS}[stream]"),
        Cell("host cannot", (), "LitGPT takes no step of fewer batches."),
        NOT_RUN,
        NOT_RUN,
        yes(f"{LIT_RANKS}[map]", f"{LIT_RANKS}[stream]"),
        yes(
            f"{LIT_RANKS}[map]",
            f"{LIT}test_lit_two_ranks.py::test_one_process_reads_the_rows_of_each_step_that_two_did",
            note=f"{FABRIC} From one process to several, Fabric shuffles in another order: refused likewise.",
        ),
    ],
    "LitGPT, FSDP": [
        yes("tests/sharded/test_litgpt.py::test_litgpt_under_fsdp_is_exact_before_and_after_a_kill"),
        NOT_RUN,
        Cell("host cannot", (), "LitGPT takes no step of fewer batches."),
        NOT_RUN,
        NOT_RUN,
        yes("tests/sharded/test_litgpt.py::test_litgpt_under_fsdp_is_exact_before_and_after_a_kill"),
        yes(
            "tests/sharded/test_litgpt.py::test_litgpt_under_fsdp_is_exact_before_and_after_a_kill",
            f"{LIT}test_lit_two_ranks.py::test_an_order_that_fabric_changes_is_refused",
            note="Two processes to one; from one to several as under DDP.",
        ),
    ],
    "LitGPT, FSDP on two nodes": [
        yes(TWO_NODES),
        *[NOT_RUN] * 4,
        yes(TWO_NODES, note="by the stock command with `--resume auto`, after SIGKILL"),
        NOT_RUN,
    ],
    "LitGPT, other strategies": [
        Cell(
            "refused",
            (f"{LIT}test_lit_two_ranks.py::test_strategies_that_are_not_tested_are_refused",),
            "by name, until they are tested",
        )
    ]
    * 7,
    "Loop, one process": [
        yes(f"{LOOP}test_loop.py::test_every_fact_is_shown_exactly_f_times"),
        yes(f"{LOOP}test_loop.py::test_every_fact_is_shown_exactly_f_times"),
        Cell("refused", (f"{LOOP}test_loop.py::test_loops_that_tell_something_else_are_refused",), "steps are whole"),
        NOT_RUN,
        NOT_RUN,
        yes(f"{LOOP}test_loop.py::test_a_resumed_run_shows_the_same_rows_as_an_unbroken_one"),
        NOT_RUN,
    ],
    "Loop, DDP": [
        yes("tests/sharded/test_loop.py::test_a_split_model_trains_as_one_process_does[ddp]"),
        yes(f"{LOOP}test_ranks.py::test_two_ranks_show_every_fact_f_times_over_a_resume[stream]"),
        *[NOT_RUN] * 3,
        yes(f"{LOOP}test_ranks.py::test_two_ranks_show_every_fact_f_times_over_a_resume"),
        NOT_RUN,
    ],
    **{
        name: [
            yes(f"tests/sharded/test_loop.py::test_a_split_model_trains_as_one_process_does[{key}]"),
            *[NOT_RUN] * 4,
            *[other] * 2,
        ]
        for name, key, other in (
            ("Loop, FSDP 1", "fsdp1", NOT_RUN),
            ("Loop, FSDP 2", "fsdp2", yes(f"{OTHER_RANKS}[1-2]", f"{OTHER_RANKS}[2-1]")),
            ("Loop, a device mesh of one's own", "mesh", NOT_RUN),
        )
    },
}


def named_tests() -> list[str]:
    """Return the id of every test that a cell names, in the order of the table."""
    return list(dict.fromkeys(name for row in TABLE.values() for cell in row for name in cell.tests))


def compatibility() -> str:
    """Return the table, what its numbers mean, and the commands of the tests."""
    numbers = {name: f"T{at}" for at, name in enumerate(named_tests(), start=1)}
    notes = {note: f"N{at}" for at, note in enumerate(dict.fromkeys(_notes()), start=1)}
    lines = [f"| host, strategy | {' | '.join(COLUMNS)} |", "| --- " * (len(COLUMNS) + 1) + "|"]
    for name, row in TABLE.items():
        cells = [" ".join([cell.says, *(numbers[one] for one in cell.tests), *_noted(cell, notes)]) for cell in row]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", *(f"- **{number}**: {note[0].upper()}{note[1:].rstrip('.')}." for note, number in notes.items())]
    lines += ["", "| test | command |", "| --- | --- |"]
    lines += [f'| {number} | `python -m pytest "{name}"` |' for name, number in numbers.items()]
    return "\n".join(lines)


def _notes() -> Iterator[str]:
    yield from (cell.note for row in TABLE.values() for cell in row if cell.note)


def _noted(cell: Cell, notes: dict[str, str]) -> list[str]:
    return [notes[cell.note]] if cell.note else []
