from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kis_plugin.config.schema import Config, InfusionConfig, ProbesConfig, RetentionConfig
from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Fact, Knowledge, Templates
from kis_plugin.retention.prior_knowledge import decide_known, known_facts
from kis_plugin.retention.prior_knowledge_file import keep_known, known_state, saved_known
from kis_plugin.retention.questions.distractors import option_sets
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.ranks import Ranks
from kis_plugin.tokenized.infusion_split import InfusionSplit
from kis_plugin.tokenized.tokenizer import render
from tests.world.words import Knowing, Words

TEMPLATES = Templates(
    (
        "{subject} was born in {object}.",
        "{subject} saw the light of day in {object}.",
        "The birthplace of {subject} is {object}.",
    )
)
FACTS = tuple(Fact(f"Person{number}", "born", f"City{number % 10}", str(number)) for number in range(40))


class Book:
    def of(self, relation):
        return TEMPLATES

    def domains_of(self, relation):
        return ()


def split_of(facts=FACTS):
    return InfusionSplit(Knowledge(facts), Book(), np.arange(len(facts), dtype=np.int64), np.arange(0))


def run_in(folder, **changed):
    config = Config(
        Path("facts.jsonl"),
        infusion=InfusionConfig(frequency=3, skip_known=changed.pop("skip_known", True)),
        retention=RetentionConfig(probes=ProbesConfig(options=4)),
        on_mismatch=changed.pop("on_mismatch", "error"),
    )
    tokenizer = Words()
    run = TrainingRun(
        config=config, tokenizer=tokenizer, model=Knowing(tokenizer), framework="none", run_id="r",
        folder=folder / "runs" / "r", params=1, params_non_embedding=1, rows=100, sequence_length=32, steps=10,
        notify=lambda line: None,
    )  # fmt: skip
    return replace(run, **changed)


def known(run, facts=FACTS):
    split = split_of(facts)
    return set(np.flatnonzero(known_facts(run, split, split.infused)).tolist())


def test_a_fact_is_known_when_it_wins_in_every_statement(tmp_path):
    run = run_in(tmp_path)
    run.model.learn(render(statement, fact) for fact in FACTS[:10] for statement in TEMPLATES.statements)
    run.model.learn(render(statement, fact) for fact in FACTS[10:30] for statement in TEMPLATES.trained)
    assert known(run) == set(range(10))
    assert run.model.modes[0] == "evaluation"
    assert run.model.modes[-1] == "training"


def test_a_model_without_preferences_knows_nothing(tmp_path):
    assert known(run_in(tmp_path)) == set()


def test_preferring_an_object_is_not_knowing(tmp_path):
    run = run_in(tmp_path)
    run.model.like({f"City{number}": float(number) for number in range(10)})
    assert known(run) == set()


def test_a_fact_that_beats_the_preference_is_known(tmp_path):
    run = run_in(tmp_path)
    run.model.learn(render(statement, fact) for fact in FACTS[:10] for statement in TEMPLATES.statements)
    run.model.like({f"City{number}": number / 10 for number in range(10)})
    assert known(run) == set(range(10))


def test_only_sets_with_long_sentences_are_unknown(tmp_path):
    long = Fact("Person of a " + "very " * 40 + "long name", "born", "City0", "long")
    facts = (*FACTS[1:], long)
    run = run_in(tmp_path)
    run.model.learn(render(statement, fact) for fact in facts for statement in TEMPLATES.statements)
    assert len(known(run, facts)) == 36


def test_facts_without_an_option_set_are_unknown(tmp_path):
    facts = tuple(Fact(f"Person{number}", "born", f"City{number % 3}", str(number)) for number in range(12))
    run = run_in(tmp_path)
    run.model.learn(render(statement, fact) for fact in facts for statement in TEMPLATES.statements)
    assert known(run, facts) == set()


def test_rank_0_decides_for_all(tmp_path):
    first = run_in(tmp_path)
    first.model.learn(render(statement, fact) for fact in FACTS[:20] for statement in TEMPLATES.statements)
    said = []

    def kept(array):
        said.append(array.copy())
        return array

    mask = decide_known(replace(first, ranks=Ranks(0, 2, kept)), split_of(), None)
    lines = iter(said)
    # The other rank's model knows nothing: what rank 0 found is what counts, and it says nothing itself.
    mine = []

    def from_rank_0(array):
        mine.append(array.copy())
        return next(lines)

    other = run_in(tmp_path / "other", ranks=Ranks(1, 2, from_rank_0))
    assert decide_known(other, split_of(), None).tolist() == mask.tolist() == [n < 20 for n in range(40)]
    assert not any(array.any() for array in mine)
    assert next(lines, None) is None


def test_without_skip_known_nothing_is_evaluated(tmp_path):
    run = run_in(tmp_path, skip_known=False)
    assert decide_known(run, split_of(), None) is None
    assert known_state(None) == {}
    assert run.model.modes == []
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def begun(tmp_path):
    run = run_in(tmp_path)
    run.model.learn(render(statement, fact) for fact in FACTS[5:17] for statement in TEMPLATES.statements)
    mask = decide_known(run, split_of(), None)
    assert mask.sum() == 12
    assert not run.folder.exists()  # the run may be refused yet
    keep_known(run.folder, mask)
    return replace(run, start_step=4), mask, known_state(mask)


def test_a_resume_reads_what_was_found(begun):
    run, mask, state = begun
    probed = len(run.model.modes)
    assert decide_known(run, split_of(), state).tolist() == mask.tolist()
    assert saved_known(run, len(FACTS)).tolist() == mask.tolist()
    assert len(run.model.modes) == probed
    assert [path.name for path in run.folder.iterdir()] == ["known.npz"]


def test_a_resume_without_the_file_is_refused(begun):
    run, _, state = begun
    (run.folder / "known.npz").unlink()
    with pytest.raises(
        KISError, match=r"resume at step 4: .*known\.npz: found no file .* 12 known facts.*Put the file back"
    ):
        decide_known(run, split_of(), state)


@pytest.mark.parametrize("spoil", [lambda data: data[:50], lambda data: b"", lambda data: b"nothing of ours"])
def test_a_resume_with_a_torn_file_is_refused(begun, spoil):
    run, _, state = begun
    path = run.folder / "known.npz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(KISError, match=r"known\.npz: found no file of these facts"):
        decide_known(run, split_of(), state)


def test_a_resume_with_another_decision_is_refused(begun):
    run, mask, _ = begun
    other = known_state(np.roll(mask, 1))
    with pytest.raises(KISError, match=r"known\.npz: found another one"):
        decide_known(run, split_of(), other)


def test_skip_known_may_not_change_at_a_resume(begun):
    run, _, state = begun
    with pytest.raises(KISError, match=r"infusion\.skip_known: found true, expected false as before"):
        decide_known(run, split_of(), {"plan": {}})
    off = replace(run, config=replace(run.config, infusion=InfusionConfig(frequency=3)))
    with pytest.raises(KISError, match=r"infusion\.skip_known: found false, expected true as before"):
        decide_known(off, split_of(), state)
    warned = replace(off, config=replace(off.config, on_mismatch="warn"))
    assert decide_known(warned, split_of(), state) is None


def test_a_true_object_of_an_uninfused_fact_is_no_option(tmp_path):
    """Of four cities each person also lives in the next one, by facts that the run does not infuse."""
    infused = [Fact(f"P{n}", "born", f"City{n % 5}", f"{n}") for n in range(20)]
    others = [Fact(f"P{n}", "born", f"City{(n + 1) % 5}", f"o{n}") for n in range(20)]
    facts = tuple(infused + others)
    places = np.arange(20)
    sets = option_sets(facts, places, 4, 20, 0).sets
    run = run_in(tmp_path)
    run.model.learn(render(statement, fact) for fact in facts for statement in TEMPLATES.statements)
    found = known_facts(run, InfusionSplit(Knowledge(facts), Book(), places, np.arange(0)), places)
    assert found.sum() == sum(len(one.facts) for one in sets)
