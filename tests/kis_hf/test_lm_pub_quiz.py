"""The kind ``answer_space`` beside what lm-pub-quiz 0.3.3 found: the same scores up to a constant of each question."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForCausalLM, AutoTokenizer

from kis_plugin.cli.main import main
from kis_plugin.knowledge.sources.read import read_knowledge
from kis_plugin.probe_kinds.answer_space import AnswerSpaceProbe
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.retention.scoring.prepare import prepare
from kis_plugin.retention.scoring.scorer import Scorer
from kis_plugin.tokenized.tokenizer import HFTokenizer
from kis_torch.model_view import TorchModelView
from tests.world.bear import MODELS, RECORDED, RELATIONS, write_folder, write_model


def test_every_answer_is_scored_as_lm_pub_quiz_scores_it(tmp_path):
    found = json.loads(RECORDED.read_text())["answers"]["eos first"]
    knowledge = read_knowledge(write_folder(tmp_path / "bear"))
    model = write_model(tmp_path / "model", "<eos>")
    maker = QuestionMaker(
        knowledge.facts,
        (),
        lambda relation: knowledge.templates[relation],
        0,
        candidates=np.arange(len(knowledge.facts)),
        answer_spaces=knowledge.answer_spaces,
    )
    questions = AnswerSpaceProbe().questions(maker)
    view = TorchModelView(AutoModelForCausalLM.from_pretrained(model).eval())
    with torch.no_grad():
        scores = Scorer(prepare(questions, HFTokenizer(AutoTokenizer.from_pretrained(model)))).score(view)
    theirs = {(one["relation"], one["template"], one["subject"]): one for one in found}
    assert len(questions) == len(theirs) == 39
    for place, question in enumerate(questions):
        fact = knowledge.facts[question.fact]
        one = theirs[fact.relation, int(question.series.rpartition("/")[2]), fact.subject]
        expected = np.array(list(one["scores"].values()))
        mine = scores.logprobs[place, : len(question.options)]
        np.testing.assert_allclose(mine - mine[0], expected - expected[0], atol=1e-3)
        assert scores.correct[place] == (max(one["scores"], key=one["scores"].get) == one["object"])


def answered(tmp_path, begins, begin):
    """What ``kis probe`` writes of a model whose documents begin with some token: each answer by its whole sentence."""
    folder, model = write_folder(tmp_path / "bear"), write_model(tmp_path / "model", begins)
    arguments = ["--probes", "answer_space", "--begin", begin, "--device", "cpu", "--answers", tmp_path / "a.jsonl"]
    done = CliRunner().invoke(main, ["probe", "--model", *map(str, [model, "--knowledge", folder, *arguments])])
    assert done.exit_code == 0, done.stderr
    lines = map(json.loads, (tmp_path / "a.jsonl").read_text().splitlines())
    return {(line["series"], (line["prefix"] + line["right"]).lower()): line for line in lines}


def recorded(answers):
    """What lm-pub-quiz found, likewise: whether the right answer is the likeliest, and by how much (nats)."""
    found = {}
    for one in json.loads(RECORDED.read_text())["answers"][answers]:
        sentence = RELATIONS[one["relation"]][one["template"]].replace("[X]", one["subject"])
        others = [score for name, score in one["scores"].items() if name != one["object"]]
        margin = one["scores"][one["object"]] - max(others)
        found[f"answer_space/{one['template']}", sentence.replace("[Y]", one["object"]).lower()] = margin
    return found


@pytest.mark.parametrize(("answers", "begin"), [("eos first", "eos"), ("bos first", "bos")])
def test_kis_probe_begins_with_the_models_token(tmp_path, answers, begin):
    expected, found = recorded(answers), answered(tmp_path, MODELS[answers], begin)
    assert found.keys() == expected.keys()
    assert len(found) == 39
    for key, margin in expected.items():
        assert found[key]["margin"] == pytest.approx(margin, abs=1e-3)
        assert found[key]["correct"] == (margin > 0)


def test_another_token_first_gives_other_answers(tmp_path):
    expected, found = recorded("bos first"), answered(tmp_path, MODELS["bos first"], "eos")
    assert np.median([abs(found[key]["margin"] - margin) for key, margin in expected.items()]) > 0.01
