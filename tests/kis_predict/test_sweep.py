from dataclasses import replace

import numpy as np
import pytest

from kis_predict.recipe import settings_of
from kis_predict.sweep import build_sweep


def test_groups_are_sizes_and_budgets(sweep_runs):
    runs = sweep_runs(sizes=(3e7, 1e7)) + sweep_runs(sizes=(1e7,), tokens_per_param=40)
    assert [(g.params, g.tokens, len(g.runs)) for g in build_sweep(runs).groups] == [
        (10**7, 2 * 10**8, 11), (10**7, 4 * 10**8, 11), (3 * 10**7, 6 * 10**8, 11),
    ]  # fmt: skip


def test_budgets_within_a_percent_are_one(sweep_runs):
    runs = sweep_runs(sizes=(1e7,))
    runs = [replace(run, tokens=run.tokens - 100_000 * (at % 3)) for at, run in enumerate(runs)]
    assert len(build_sweep(runs).groups) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "unfinished"}, "did not complete"),
        ({"status": "failed"}, "did not complete"),
        ({"retention": None}, "carry no held-out retention"),
        ({"frequency": 0.0}, "are uninfused"),
        ({"share": 0.95}, "share above 0.9"),
    ],
)
def test_what_cannot_be_compared_is_left_out_in_one_line(sweep_runs, change, reason):
    runs = sweep_runs(sizes=(1e7,))
    runs[3], runs[4] = replace(runs[3], **change), replace(runs[4], **change)
    sweep = build_sweep(runs)
    assert len(sweep.groups[0].runs) == 9
    assert [line for line in sweep.warnings if reason in line and "Left out 2 runs" in line] == list(sweep.warnings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"retention": None}, "1 run that carries no held-out retention: "),
        ({"share": 0.95}, "1 run that has a share above 0.9"),
        ({"status": "unfinished"}, "1 run that did not complete: "),
    ],
)
def test_one_run_that_is_left_out_is_one_run(sweep_runs, change, said):
    runs = sweep_runs(sizes=(1e7,))
    runs[3] = replace(runs[3], **change)
    assert said in build_sweep(runs).warnings[0]


def test_a_share_that_the_log_does_not_give_is_computed(sweep_runs):
    runs = sweep_runs(sizes=(1e7,), share=None, facts=100_000)
    # 20 tokens of 100,000 facts in 2e8 tokens: a share of 0.9 is reached at F = 90.
    sweep = build_sweep(runs)
    assert max(run.frequency for run in sweep.groups[0].runs) <= 90 < max(run.frequency for run in runs)


def test_repeated_runs_are_left_out_but_seeds_are_not(sweep_runs):
    runs = sweep_runs(sizes=(1e7,), seeds=2)
    sweep = build_sweep([*runs, runs[0], replace(runs[1], retention=0.9)])
    assert len(sweep.groups[0].runs) == 22
    assert "Left out 2 runs that repeat another run" in sweep.warnings[0]


def test_without_seeds_only_equal_results_are_repeats(sweep_runs):
    runs = [replace(run, seed=None) for run in sweep_runs(sizes=(1e7,))]
    again = [replace(run, retention=run.retention + 0.01) for run in runs]
    assert len(build_sweep([*runs, *again, runs[0]]).groups[0].runs) == 22


def test_points_average_seeds_and_keep_their_probes(sweep_runs):
    group = build_sweep(sweep_runs(sizes=(1e7,), seeds=3, probes=600)).groups[0]
    x, retention, probes, repeats = group.points()
    assert len(x) == 11
    assert np.allclose(probes, 600)
    assert np.allclose(repeats, 3)
    by_hand = np.mean([run.retention for run in group.runs if np.isclose(np.log(run.frequency), x[5])])
    assert retention[5] == pytest.approx(by_hand)


def test_a_size_at_few_frequencies_is_not_fitted(sweep_runs):
    sweep = build_sweep(sweep_runs(sizes=(1e7,), points=4))
    assert not sweep.groups
    assert len(sweep.thin) == 1


def test_what_logs_do_not_say_is_assumed_aloud(sweep_runs):
    sweep = build_sweep(sweep_runs(sizes=(1e7,), probes=None, chance=None, share=None, facts=None))
    assert ["4 options are assumed" in sweep.assumptions[0], "probes" in sweep.assumptions[1]] == [True, True]
    assert "share" in sweep.assumptions[2]


@pytest.mark.parametrize(
    ("column", "label"),
    [
        ("learning_rate", "learning rate"), ("config.optim", "optimizer"), ("base_epochs", "base repeat rate"),
        ("knowledge_hash", "fact set"), ("weight_decay", "weight decay"),
    ],
)  # fmt: skip
def test_recipes_that_differ_are_warned_of(sweep_runs, column, label):
    def warned(of):
        runs = [replace(run, settings=settings_of({column: of(at, run)})) for at, run in enumerate(sweep_runs())]
        return [line for line in build_sweep(runs).warnings if f"The {label} differs" in line]

    assert warned(lambda at, run: ("3e-4", "0.0003", 0.0003)[at % 3]) == []
    (inside,) = warned(lambda at, run: (0.0003, 0.001)[at % 2])
    assert "between runs of one size (N=10M: 0.0003, 0.001)" in inside
    (between,) = warned(lambda at, run: 1e4 / run.params)
    assert "between sizes (" in between
    rate = label in ("learning rate", "weight decay")
    assert ("continues this" in between, "mixes recipes" in between) == (rate, not rate)


def test_what_follows_the_length_of_a_run_may_differ_between_budgets(sweep_runs):
    def warned(settings):
        both = [*sweep_runs(), *(replace(run, tokens=2 * run.tokens) for run in sweep_runs())]
        runs = [replace(run, settings=settings_of(settings(run))) for run in both]
        return [line.split(":")[0] for line in build_sweep(runs).warnings if " differs between " in line]

    # A twentieth of every run, or 100 steps of every run, is one recipe; neither is two.
    assert warned(lambda run: {"warmup": 0.05, "warmup_steps": run.tokens // 10**6}) == []
    assert warned(lambda run: {"warmup": 10**6 / run.tokens, "warmup_steps": 100}) == []
    neither = warned(lambda run: {"warmup": 10**6 / run.tokens, "warmup_steps": run.tokens // 10**7})
    assert [line.split(" (")[0] for line in neither] == [
        "The warm-up differs between sizes", "The length of the warm-up differs between sizes",
    ]  # fmt: skip
    assert len(warned(lambda run: {"warmup_steps": run.tokens // 10**6})) == 1  # nothing else says how long it is


def test_a_table_gives_the_recipe_and_other_facts_are_warned_of(sweep_runs, write_csv):
    from kis_predict.readers.csv_table import CSVReader

    rows = write_csv(sweep_runs()).read_text().splitlines()
    path = write_csv([], "recipes.csv")
    cells = [f"{row},{3e-4 * (1 + at % 2)},x{at}" for at, row in enumerate(rows[1:])]
    path.write_text("\n".join([rows[0] + ",lr,notes", *cells]))
    (line,) = build_sweep(CSVReader().read(path)).warnings
    assert "The learning rate differs between runs of one size (N=10M: 0.0003, 0.0006)" in line
    other = [replace(run, tokens_per_fact=20.0 + at % 2 * 3) for at, run in enumerate(sweep_runs())]
    (line,) = build_sweep(other).warnings
    assert line == "The tokens of one exposure differ between runs (20 to 23): these are other facts"


@pytest.mark.parametrize(("other", "facts"), [(1000, 1000), (1015, 1007), (1030, None), (None, None)])
def test_a_few_facts_more_by_the_seed_are_the_same_facts(sweep_runs, other, facts):
    runs = [replace(run, facts=other if run.seed else 1000) for run in sweep_runs(seeds=2)]
    sweep = build_sweep(runs)
    assert sweep.facts == facts
    assert any("number of facts differs" in line for line in sweep.warnings) == (facts is None)


def test_a_budget_that_differs_per_run_is_said_in_one_line(sweep_runs):
    from kis_predict.curves.size_estimates import estimate_sizes
    from kis_predict.design.missing_runs import missing_runs

    runs = [replace(run, tokens=round(run.frequency * 1e6)) for run in sweep_runs(last={})]
    sweep = build_sweep(runs)
    lines = missing_runs(sweep, estimate_sizes(sweep.groups, 50, 0, 0.9))
    assert len(lines) == 2
    assert lines[1].startswith("D differs per run at N=10M, N=30M, N=90M, N=270M: 44 budgets from ")
    assert [line for line in sweep.warnings if "D differs per run" in line] == list(sweep.warnings)
