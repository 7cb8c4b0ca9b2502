"""``kis-predict efficiency`` on tables and run logs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kis_predict.cli import main
from kis_predict.efficiency.answers import read_answers
from tests.kis_predict.efficiency.test_published import some_answers


def table(path, models, params=None):
    lines = ["model,params,fact,occurrences,correct"]
    for model in models:
        for fact, x, correct in zip(model.facts, model.occurrences, model.correct, strict=True):
            lines.append(f"{model.model},{(params or {}).get(model.model, '')},{fact},{x:g},{int(correct)}")
    path.write_text("\n".join(lines) + "\n")
    return path


def run_log(folder, model, params):
    """A run log with the answers of an evaluation at the end, and earlier ones that do not count."""
    folder.mkdir(parents=True)
    run = {"type": "run", "schema": 2, "params": params, "tokens": 10, "frequency": 1}
    common = {"type": "retention", "tokens": 10, "accuracy": 0.5, "n": 400}
    answers = {"facts": list(model.facts), "occurrences": model.occurrences.tolist(),
               "correct": model.correct.astype(int).tolist()}  # fmt: skip
    wrong = {**answers, "correct": [0] * len(model.facts)}
    records = [
        run,
        {**common, "probe": "held_out", "step": 1, "answers": wrong},
        {**common, "probe": "seen", "step": 2, "answers": wrong},
        {**common, "probe": "held_out", "step": 2, "answers": answers},
    ]
    (folder / "kis.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records) + '{"type": "ret')
    return folder


def efficiency(capsys, *words):
    code = main(["efficiency", "--bootstraps", "50", *map(str, words)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_alphas_with_intervals_as_json_and_the_same_twice(tmp_path, capsys):
    models = some_answers((0.1, 0.3, 0.6), n=800)
    path = table(tmp_path / "answers.csv", models, {"m0": 10**6, "m1": 10**7, "m2": 10**8})
    code, out, _ = efficiency(capsys, "--logs", path, "--json")
    found = json.loads(out)
    assert (code, found["status"], found["seed"], found["bootstraps"]) == (0, "ok", 0, 50)
    for model, true in zip(found["models"], (0.1, 0.3, 0.6), strict=True):
        low, high = model["alpha_interval"]
        assert low < model["alpha"] < high
        assert low - 0.1 < true < high + 0.1
        assert model["waf_interval"][0] <= model["waf"] <= model["waf_interval"][1]
    logs = np.log([[10**6, 10**7, 10**8], [model["alpha"] for model in found["models"]]])
    assert found["exponent"] == pytest.approx(np.polyfit(*logs, 1)[0])
    assert efficiency(capsys, "--logs", path, "--json")[1] == out
    other = json.loads(efficiency(capsys, "--logs", path, "--json", "--seed", "1")[1])
    assert other["models"][0]["alpha"] == found["models"][0]["alpha"]
    assert other["models"][0]["alpha_interval"] != found["models"][0]["alpha_interval"]


def test_run_logs_give_what_a_table_gives(tmp_path, capsys):
    models = some_answers((0.1, 0.6))
    for model, params in zip(models, (10**6, 10**7), strict=True):
        run_log(tmp_path / "runs" / model.model, model, params)
    path = table(tmp_path / "answers.csv", models, {"m0": 10**6, "m1": 10**7})
    (tmp_path / "runs" / "other.csv").write_text("a,b\n1,2\n")  # another table in a folder is none of ours
    logs = json.loads(efficiency(capsys, "--logs", tmp_path / "runs", "--json")[1])
    rows = json.loads(efficiency(capsys, "--logs", path, "--json")[1])
    for ours in (logs, rows):
        for model in ours["models"]:
            model["model"] = model["model"].rsplit("/", 1)[-1]
    assert logs == rows
    code, out, _ = efficiency(capsys, "--logs", tmp_path / "runs")
    assert code == 0
    assert "alpha grows as N^" in out
    assert "1,000,000" in out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,fact\nm,a\n", "expected model, fact, occurrences, correct"),
        ("model,fact,occurrences,correct\nm,a,3,yes\n", "2: found model 'm', fact 'a', correct 'yes'"),
        ("model,fact,occurrences,correct\nm,a,-1,1\n", "fact 'a' shown '-1' times, expected a number of 0 or more"),
        ("model,fact,occurrences,correct\nm,a,nan,1\n", "shown 'nan' times"),
        ("model,fact,occurrences,correct\nm,a,1,1\nm,a,2,1\n", "fact 'a' twice, expected each fact once"),
        ("model,fact,occurrences,correct\nm,a,1,1\n", "found 1 answers, expected 50 or more"),
        ("model,fact,occurrences,correct\n" + "".join(f"m,f{k},7,1\n" for k in range(60)), "all shown 7 times"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path, capsys, text, message):
    (tmp_path / "answers.csv").write_text(text)
    code, out, err = efficiency(capsys, "--logs", tmp_path / "answers.csv")
    assert (code, out) == (2, "")
    assert message in err


def test_logs_without_answers_are_no_answers(tmp_path, capsys):
    (model,) = some_answers((0.3,))
    run_log(tmp_path / "runs", model, 10**6)
    code, _, err = efficiency(capsys, "--logs", tmp_path / "runs", "--series", "background")
    assert code == 2
    assert "1 run logs without answers of background" in err
    assert "retention.corpus_counts" in err
    code, _, err = efficiency(capsys, "--logs", tmp_path / "none")
    assert (code, "nothing of that name" in err) == (2, True)


def test_a_model_that_comes_twice_is_refused(tmp_path, capsys):
    models = some_answers((0.3,))
    one, two = (table(tmp_path / name, models) for name in ("a.csv", "b.csv"))
    code, _, err = efficiency(capsys, "--logs", one, "--logs", two)
    assert (code, "the model 'm0' again" in err) == (2, True)


def test_kis_runs_efficiency_is_the_same_command(tmp_path):
    from kis_plugin.cli.main import main as kis

    path = table(tmp_path / "answers.csv", some_answers((0.3,)))
    from click.testing import CliRunner

    result = CliRunner().invoke(kis, ["runs", "efficiency", "--logs", str(path), "--bootstraps", "50"])
    assert result.exit_code == 0, result.output
    assert len(read_answers([str(path)], "held_out", print)) == 1
