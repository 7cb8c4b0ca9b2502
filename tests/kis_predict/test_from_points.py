"""``--points``: critical points that were measured or published, without runs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kis_predict.cli import main

ALPHAS = "N,F_c\n124M,.0815\n209M,.0899\n355M,.0965\n"
"""Published learning efficiencies of three sizes (Christoph et al. 2025, arXiv 2506.16912)."""


RATIOS = "N;ratio\n460M;29.8\n940M;34.9\n1.6B;41.4\n3.1B;47.8\n"
"""Published critical mixture ratios, in per cent (CMR, arXiv 2407.17467, T = 100)."""


@pytest.fixture
def points(tmp_path):
    def write(text: str, name: str = "points.csv") -> str:
        (path := tmp_path / name).write_text(text)
        return str(path)

    return write


def answer(capsys, *words: str) -> dict:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_published_values_give_their_exponent(points, capsys):
    found = answer(capsys, "--points", points(ALPHAS), "--target", "700M")
    assert found["law"]["parameters"]["b"] == pytest.approx(0.161, abs=0.006)
    assert found["law"]["holdout_error"] < 0.04
    assert found["groups"] == []
    assert found["method"]["version"]


def test_the_third_published_efficiency_is_predicted_from_two(points, capsys):
    found = answer(capsys, "--points", points(ALPHAS), "--target", "700M")
    (third,) = found["prefix_errors"]
    assert third["params"] == 355e6
    assert np.exp(third["log_error"]) == pytest.approx(1.03, abs=0.01)


def test_published_ratios_follow_their_power_in_their_own_unit(points, capsys):
    found = answer(capsys, "--points", points(RATIOS), "--target", "7B")
    assert found["law"]["parameters"]["b"] == pytest.approx(0.25, abs=0.02)
    assert found["law"]["holdout_error"] < 0.04
    assert found["collapse"]["low"] < 47.8 * (7 / 3.1) ** 0.25 < found["collapse"]["high"]
    assert found["points"] == 4
    assert main(["--points", points(RATIOS), "--target", "7B"]) == 0
    out = capsys.readouterr().out
    assert "in the unit of the points into N=7B" in out.splitlines()[0]
    assert "exposures" not in out


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_power_law_is_found_again(points, capsys, delimiter):
    sizes = np.geomspace(1e8, 3e9, 6)
    rows = [f"{n:.0f},{20 * n:.0f},{300 * (n / 1e9) ** 0.4},0.03" for n in sizes]
    text = "\n".join(["params,tokens,collapse,sd", *rows]).replace(",", delimiter)
    found = answer(capsys, "--points", points(text), "--target", "9B", "--tokens", "180B")
    truth = 300 * 9**0.4
    assert found["collapse"]["low"] < truth < found["collapse"]["high"]
    assert found["collapse"]["frequency"] == pytest.approx(truth, rel=0.25)
    assert found["recommendation"]["frequency"] < truth


def test_points_given_twice_count_once(points, capsys):
    once = answer(capsys, "--points", points(ALPHAS), "--target", "700M")
    rows = ALPHAS.splitlines()
    twice = answer(capsys, "--points", points("\n".join([*rows, *rows[1:]])), "--target", "700M")
    assert twice["collapse"] == once["collapse"]
    assert twice["points"] == 3
    assert "Left out 3 points that repeat another one in every value" in twice["warnings"]


def test_the_order_of_points_does_not_matter(points, capsys):
    rows = RATIOS.splitlines()
    texts = RATIOS, "\n".join([rows[0], *rows[:0:-1]])
    one, other = (answer(capsys, "--points", points(text), "--target", "7B") for text in texts)
    assert one["collapse"] == other["collapse"]


def test_wide_errors_of_points_widen_the_interval(points, capsys):
    found = []
    for sd in (0.01, 0.2):
        text = "\n".join(["N,F_c,sd", *(f"{n}e8,{300 * n**0.4},{sd}" for n in (1, 3, 9, 27))])
        collapse = answer(capsys, "--points", points(text), "--target", "8B")["collapse"]
        found.append(np.log(collapse["high"] / collapse["low"]))
    assert found[1] > 1.5 * found[0]


@pytest.mark.parametrize("factor", [0.1, 10])
def test_off_the_points_rule_of_d_the_lower_axis_is_kept(points, capsys, factor):
    text = "N,D,F_c,sd\n100M,20B,300,.02\n300M,20B,310,.02\n900M,20B,290,.02\n2700M,20B,300,.02\n"
    words = "--points", points(text), "--target", "4B"
    on = answer(capsys, *words, "--tokens", "20B")
    off = answer(capsys, *words, "--tokens", f"{20 * factor:g}B")
    assert off["recommendation"]["frequency"] < 1.05 * 300 * min(1, factor)
    assert off["collapse"]["low"] < 300 * min(1, factor) * 1.1
    assert off["collapse"]["high"] > 300 * max(1, factor) / 1.1
    assert any("the recommendation keeps" in line for line in off["warnings"])
    assert any("what D alone does is unknown" in line for line in off["assumptions"])
    assert on["warnings"] == []
    assert "Holds for the sweep's rule of D: the same D, 20B, at every size" in on["assumptions"]


def test_the_report_says_what_it_rests_on(points, capsys):
    assert main(["--points", points(ALPHAS), "--target", "700M"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "from critical points as given" in out
    assert "3 critical points of 3 sizes as given" in out


def test_a_target_too_far_is_refused(points, capsys):
    assert main(["--points", points(ALPHAS), "--target", "1000B"]) == 1
    assert capsys.readouterr().out.startswith("No prediction for N=1T")


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("N,x\n1e8,1\n", [], "expected a CSV table with columns N and F_c"),
        ("N,F_c\n1e8,1\n2e8,2\n", [], "found 2 sizes, expected three or more"),
        ("N,F_c\n1e8,1\n2e8,-3\n,4\n", [], "points.csv:3 value: found '-3', expected a positive number"),
        ("N,F_c\n1e8,1\n2e8,3\n,4\n", [], "points.csv:4: found no params"),
        ("N,D,F_c\n1e8,1e9,1\n2e8,,2\n3e8,1e9,3\n", [], "found D at some points only"),
        ("N,D,F_c\n1e8,1e9,1\n2e8,2e9,2\n3e8,3e9,3\n", [], "Give the target's budget by --tokens"),
        (ALPHAS, ["--tokens", "100B"], "--tokens: found 100,000,000,000, while the points have no D"),
        (ALPHAS, ["--logs", "x"], "--points: found --logs beside it"),
        (ALPHAS, ["--plot", "x.png"], "--plot: found --points beside it"),
        (ALPHAS, ["--write-config", "x.yaml"], "--write-config: found --points beside it"),
    ],
)
def test_what_is_wrong_is_named(points, capsys, text, words, said):
    assert main(["--points", points(text), "--target", "1B", *words]) == 2
    assert said in capsys.readouterr().err


def test_neither_logs_nor_points_is_an_error(capsys):
    assert main(["--target", "1B"]) == 2
    assert "or --points with critical points" in capsys.readouterr().err
