"""The kind ``answer_space`` beside what lm-pub-quiz 0.3.3 found: the same scores up to a constant of each question."""

from __future__ import annotations

import json

import numpy as np
import torch
from bear_world import RECORDED, write_folder, write_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from kis_hf.model import HFModelView
from kis_plugin.probing.answer_space import AnswerSpaceProbe
from kis_plugin.probing.probes import QuestionMaker
from kis_plugin.probing.scoring import prepare
from kis_plugin.sentences import HFTokenizer
from kis_plugin.sources import read_knowledge


def test_every_answer_is_scored_as_lm_pub_quiz_scores_it(tmp_path):
    found = json.loads(RECORDED.read_text())["answers"]["eos first"]
    knowledge = read_knowledge(write_folder(tmp_path / "bear"))
    model = write_model(tmp_path / "model", "<eos>")
    maker = QuestionMaker(
        knowledge.facts,
        (),
        lambda relation: knowledge.templates[relation],
        0,
        among=np.arange(len(knowledge.facts)),
        answer_spaces=knowledge.answer_spaces,
    )
    questions = AnswerSpaceProbe().questions(maker)
    view = HFModelView(AutoModelForCausalLM.from_pretrained(model).eval())
    with torch.no_grad():
        scores = prepare(questions, HFTokenizer(AutoTokenizer.from_pretrained(model))).score(view)
    theirs = {(one["relation"], one["template"], one["subject"]): one for one in found}
    assert len(questions) == len(theirs) == 39
    for place, question in enumerate(questions):
        fact = knowledge.facts[question.fact]
        one = theirs[fact.relation, int(question.series.rpartition("/")[2]), fact.subject]
        expected = np.array(list(one["scores"].values()))
        mine = scores.logprobs[place, : len(question.options)]
        np.testing.assert_allclose(mine - mine[0], expected - expected[0], atol=1e-3)
        assert scores.correct[place] == (max(one["scores"], key=one["scores"].get) == one["object"])
