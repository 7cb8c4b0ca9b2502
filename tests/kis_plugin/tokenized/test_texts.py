"""Facts and passages as tokens: every template of every fact, and passages split where a sentence ends."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kis_plugin.config.choice import Choice
from kis_plugin.config.schema import Config, InfusionConfig
from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Fact, Knowledge, Passage, Templates
from kis_plugin.templates.load import load_templates
from kis_plugin.tokenized import build as item_build
from kis_plugin.tokenized.infusion_split import InfusionSplit
from kis_plugin.tokenized.texts import load_texts, texts_key
from kis_plugin.tokenized.tokenizer import Encoded, HFTokenizer, flat, render, sentence_breaks
from tests.world.tokenizers import KINDS, hugging_face

EOS = 0


class CharTokenizer:
    """One token a character; EOS is 0."""

    eos = EOS
    fingerprint = "chars"

    def encode(self, texts):
        return [Encoded(tuple(map(ord, text)), tuple(range(1, len(text) + 1))) for text in texts]

    def encode_ids(self, texts):
        return flat([list(map(ord, text)) for text in texts])

    def decode(self, ids):
        return "".join(map(chr, ids))

    def breaks(self):
        return sentence_breaks([chr(i) for i in range(1 << 12)])


kinds = pytest.mark.parametrize("kind", KINDS)


@cache
def wrapped(kind):
    return HFTokenizer(hugging_face(kind))


def split_of(facts=(), passages=(), infused=None, infused_facts=None, cache=None, templates_of=None):
    knowledge = Knowledge(tuple(facts), tuple(passages), templates_of or {})
    return InfusionSplit(
        knowledge,
        load_templates(None, knowledge),
        np.arange(len(facts)) if infused is None else np.array(infused, dtype=np.int64),
        np.empty(0, dtype=np.int64),
        np.arange(len(passages)) if infused_facts is None else np.array(infused_facts, dtype=np.int64),
        fingerprint="k",
        cache=cache,
    )


def build(
    facts=(),
    passages=(),
    sequence_length=64,
    tokenizer=None,
    cache=None,
    infused=None,
    infused_facts=None,
    templates_of=None,
    **infusion,
):
    config = Config(Path("facts.jsonl"), infusion=InfusionConfig(frequency=1, **infusion))
    known = split_of(facts, passages, infused, infused_facts, cache, templates_of)
    return load_texts(config, known, tokenizer or CharTokenizer(), sequence_length)


def texts_of(items, eos=EOS):
    parts = [items.tokens[a:b] for a, b in zip(items.offsets, items.offsets[1:], strict=False)]
    if eos is not None:
        assert all(part[-1] == eos for part in parts)
        parts = [part[:-1] for part in parts]
    return ["".join(map(chr, part.tolist())) for part in parts]


LYON = Fact("Lyon", "P17", "France")


def test_a_fact_is_infused_in_each_of_its_training_sentences():
    trained = load_templates(None, Knowledge((LYON,))).of("P17").trained
    assert len(trained) >= 2
    items = build([LYON])
    assert (len(items), items.templates, items.own_templates.tolist()) == (1, len(trained), [len(trained)])
    assert texts_of(items) == [render(template, LYON) for template in trained]
    assert texts_of(build([LYON], template_order="first")) == [render(trained[0], LYON)]


def test_a_sentence_longer_than_a_row_is_refused_by_name():
    with pytest.raises(KISError, match=r"fact long-one: found a sentence of \d+ tokens.*expected 1 to 31 tokens"):
        build([Fact("x" * 60, "P17", "France", "long-one")], sequence_length=32)


def test_a_passage_is_split_between_sentences():
    passage = Passage("One two three. Four five six! Seven eight nine ten eleven.", "p")
    assert texts_of(build(passages=[passage], sequence_length=32)) == [
        "One two three. Four five six!",
        " Seven eight nine ten eleven.",
    ]
    assert build(passages=[passage]).entry.tolist() == [0]


@given(st.text(st.sampled_from("ab .!?\n"), min_size=1, max_size=200), st.integers(8, 40))
def test_pieces_of_a_passage_are_all_of_it_and_fit(text, sequence_length):
    assume(max(map(len, re.split(r"\s", text))) < sequence_length - 1)
    pieces = texts_of(build(passages=[Passage(text, "p")], sequence_length=sequence_length))
    assert "".join(pieces) == text
    assert max(map(len, pieces)) < sequence_length


def test_a_word_longer_than_a_row_is_refused():
    with pytest.raises(KISError, match="passage p: found no place to cut it within 15 tokens after 'xxxx"):
        build(passages=[Passage("x" * 40, "p")], sequence_length=16)


def test_texts_are_numbered_template_by_template():
    relations = {
        "one": Templates(("{subject} 1 {object}.", "{subject} held {object}")),
        "two": Templates(("{subject} 1 {object}.", "{object} 2 {subject}.", "{subject} held {object}")),
    }
    facts = [Fact("a", "one", "b"), Fact("c", "two", "d"), Fact("e", "two", "f")]
    items = build(facts, [Passage("p q", "p")], templates_of=relations)
    assert (len(items), items.templates, items.own_templates.tolist()) == (4, 2, [1, 2, 2, 1])
    assert items.entry.tolist() == [0, 1, 2, 3]
    assert texts_of(items) == ["a 1 b.", "c 1 d.", "e 1 f.", "p q", "a 1 b.", "d 2 c.", "f 2 e.", "p q"]
    assert items.lengths.tolist() == [[7, 7, 7, 4]] * 2
    assert build(facts, templates_of=relations, template_order="first").own_templates.tolist() == [1, 1, 1]


def test_the_first_few_templates_are_used():
    relations = {
        "two": Templates(
            ("{subject} 1 {object}.", "{subject} 2 {object}.", "{subject} a {object}", "{object} b {subject}")
        ),
        "three": Templates(tuple(f"{{subject}} {n} {{object}}." for n in range(6))),
    }
    facts = [Fact("a", "two", "b"), Fact("c", "three", "d")]
    items = build(facts, templates_of=relations, max_templates=2)
    assert (items.templates, items.own_templates.tolist()) == (2, [2, 2])
    assert texts_of(items) == ["a 1 b.", "c 0 d.", "a 2 b.", "c 1 d."]
    assert build(facts, templates_of=relations, max_templates=7).own_templates.tolist() == [2, 3]
    assert texts_of(build(facts, templates_of=relations, max_templates=1)) == texts_of(
        build(facts, templates_of=relations, template_order="first")
    )


def test_only_what_is_selected_is_infused():
    facts = [Fact(name, "P17", "France") for name in "abcd"]
    passages = [Passage(f"Text {name}.", name) for name in "xyz"]
    items = build(facts, passages, infused=[1, 3], infused_facts=[0, 2], template_order="first")
    assert items.entry.tolist() == [1, 3, 4, 6]
    assert [text[0] for text in texts_of(items)[:2]] == ["b", "d"]
    assert texts_of(items)[2:] == ["Text x.", "Text z."]
    nothing = build(facts, passages, infused=[], infused_facts=[])
    assert (len(nothing), nothing.templates, nothing.offsets.tolist(), nothing.lengths.shape) == (0, 1, [0], (1, 0))


names = st.text("abé東😀 {}.", min_size=1, max_size=12)


@kinds
@given(
    st.lists(  # facts that differ by spaces alone are refused as one
        st.tuples(names, st.sampled_from(["P17", "P36", "r"]), names),
        max_size=5,
        unique_by=lambda triple: tuple("".join(name.split()) for name in triple),
    ),
    st.sampled_from(["rows", "inline"]),
    st.sampled_from(["first", "cycle", "random"]),
    st.sampled_from(["all", "object"]),
)
def test_items_are_what_the_tokenizer_makes_of_each_text(kind, triples, placement, order, loss):
    facts = [Fact(*triple) for triple in triples]
    inline = placement == "inline"
    items = build(
        facts, sequence_length=4096, tokenizer=wrapped(kind), placement=placement, template_order=order, loss=loss
    )
    book, plain = load_templates(None, Knowledge(tuple(facts))), hugging_face(kind)
    expected = []
    for number in range(items.templates):
        for fact, own in zip(facts, items.own_templates.tolist(), strict=True):
            trained = book.of(fact.relation).trained
            assert own == (1 if order == "first" else len(trained))
            text = render(trained[number % own], fact)
            text = " " + text if inline and kind != "metaspace" else text
            expected.append(
                [*plain(text, add_special_tokens=False)["input_ids"], *([] if inline else [plain.eos_token_id])]
            )
    found = [items.tokens[a:b].tolist() for a, b in pairwise(items.offsets.tolist())]
    assert found == expected
    assert items.tokens.dtype == np.uint16


@kinds
def test_a_sentence_between_others_has_one_space_before_it(kind):
    ours = wrapped(kind)
    before = ours.encode_ids(["The capital."])[0].tolist()
    items = build([LYON], tokenizer=ours, placement="inline", template_order="first")
    text = ours.decode([*before, *items.tokens.tolist(), *before])
    sentence = render(load_templates(None, Knowledge((LYON,))).of("P17").trained[0], LYON)
    after = "" if kind == "byte-level" else " "
    infused_facts = f"The capital. {sentence}{after}The capital."
    assert text == (infused_facts.lower() if kind == "word pieces" else infused_facts)


OBJECT_ANYWHERE = Templates(
    ("{subject} has {object}, they say.", "{object} lies in {subject}.", "x {subject} {object}", "y {subject} {object}")
)


@pytest.mark.parametrize("kind", ["byte-level", "metaspace"])
@pytest.mark.parametrize("placement", ["rows", "inline"])
def test_targets_are_the_tokens_that_reach_into_the_object(kind, placement):
    objects = ["France", "東京", "😀", "Ségou", "{subject}", "New York City"]
    facts = [Fact("Mali", "r", obj) for obj in objects]
    ours, relations = wrapped(kind), {"r": OBJECT_ANYWHERE}
    items = build(
        facts, tokenizer=ours, sequence_length=128, loss="object", placement=placement, templates_of=relations
    )
    assert items.targets.dtype == np.uint8
    assert len(items.targets) == len(items.tokens)
    before = ours.encode(["a"])[0].ids
    for obj, (start, end) in zip(objects * 2, pairwise(items.offsets.tolist()), strict=True):
        where = start + np.flatnonzero(items.targets[start:end])
        assert (np.diff(where) == 1).all()
        assert obj in ours.decode([*before, *items.tokens[where].tolist()])
        # The space that a tokenizer of its own puts before a text has the place of the first character.
        for fewer in (where[1:] if where[0] > start else where[2:], where[:-1]):
            assert obj not in ours.decode([*before, *items.tokens[fewer].tolist()]), "more than the object takes"


def test_all_bytes_of_a_character_of_the_object_are_targets():
    """A byte-level vocabulary that never saw 犬 has three tokens for it, which all have the same place in the text."""
    ours = wrapped("byte-level")
    relations = {"r": Templates(("{subject}({object})!", "x {subject} {object}"))}
    items = build([Fact("東", "r", "犬")], tokenizer=ours, loss="object", templates_of=relations)
    after = len(ours.encode_ids([")!"])[0])
    assert len(ours.encode_ids(["犬"])[0]) == 3
    assert items.targets.tolist()[-after - 4 :] == [1, 1, 1, *[0] * after, 0]
    assert items.targets.sum() == 3


def test_passages_have_no_object_to_learn():
    with pytest.raises(KISError, match=r"config infusion\.loss: found object, with 1 passages to infuse, expected all"):
        build([LYON], [Passage("a b", "p")], loss="object")
    assert build([LYON], [Passage("a b", "p")], infused_facts=[], loss="object").targets is not None
    assert build([LYON]).targets is None


@pytest.mark.parametrize(("placement", "limit"), [("rows", 31), ("inline", 16)])
def test_a_text_may_fill_what_a_placement_can_hold(placement, limit):
    fixed = len(render("{subject} is {object}.", Fact("", "r", "b"))) + (placement == "inline")
    relations = {"r": Templates(("{subject} is {object}.", "x {subject} {object}"))}
    for more in (0, 1):
        fact = Fact("x" * (limit - fixed + more), "r", "b", "f")
        if more:
            with pytest.raises(
                KISError, match=rf"fact f: found a sentence of {limit + 1} tokens.*expected 1 to {limit} "
            ):
                build([fact], sequence_length=32, placement=placement, templates_of=relations)
        else:
            assert len(build([fact], sequence_length=32, placement=placement, templates_of=relations)) == 1


def test_all_words_that_are_too_long_are_named_at_once():
    passages = [Passage(f"{'x' * 40} a", "p"), Passage("Fine.", "q"), Passage("y" * 40, "r")]
    with pytest.raises(KISError, match="passage p") as caught:
        build(passages=passages, sequence_length=16)
    assert [problem.where for problem in caught.value.problems] == ["passage p", "passage r"]


def test_twenty_sentences_that_are_too_long_are_enough():
    with pytest.raises(KISError, match="20 problems"):
        build([Fact("x" * 60, "P17", "France", f"f{n}") for n in range(3000)], sequence_length=32)


def test_a_document_is_split_into_chunks_of_whole_sentences():
    text = "One two. Three four five. Six! Seven eight nine. Ten."
    assert texts_of(build(passages=[Passage(text, "p")], chunk_tokens=20)) == [
        "One two.",
        " Three four five.",
        " Six!",
        " Seven eight nine.",
        " Ten.",
    ]
    pieces = texts_of(build(passages=[Passage(text, "p")], chunk_tokens=24))
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 24
    assert all(piece.endswith((".", "!")) for piece in pieces)
    assert texts_of(build(passages=[Passage(text, "p")])) == [text]


@given(
    st.lists(st.sampled_from(["A b c.", "Dd ee!", 'He said "x."', "\n", "y z"]), min_size=1, max_size=30),
    st.integers(16, 60),
)
def test_chunks_lose_no_token_of_the_document(sentences, chunk):
    text = " ".join(sentences)
    ours = wrapped("byte-level")
    items = build(passages=[Passage(text, "p")], tokenizer=ours, chunk_tokens=chunk, sequence_length=1024)
    inside = items.tokens[items.tokens != ours.eos]
    assert inside.tolist() == ours.encode_ids([text])[0].tolist()
    assert items.lengths.max() <= chunk + 1
    assert items.entry.tolist() == [0] * len(items)


def test_a_book_is_tokenized_strip_by_strip(monkeypatch):
    monkeypatch.setattr(item_build, "_CHARACTERS", 50)
    text = " ".join(f"This is sentence {n}." for n in range(100)) + " " + "x" * 120
    items = build(passages=[Passage(text, "p"), Passage("Short.", "q")], sequence_length=256)
    assert "".join(texts_of(items)) == text + "Short."
    assert items.entry.tolist() == [0] * (len(items) - 1) + [1]
    assert all(piece.endswith(".") for piece in texts_of(items)[:-4])


def test_inline_texts_stand_between_spaces():
    items = build(
        [LYON],
        [Passage("One two. Three four.", "p"), Passage("\nLine.", "q")],
        chunk_tokens=10,
        placement="inline",
        template_order="first",
    )
    assert texts_of(items, eos=None)[1:] == [" One two.", " Three", " four.", "\nLine."]
    assert texts_of(items, eos=None)[0].startswith(" Lyon")


def test_a_large_vocabulary_takes_four_bytes_a_token():
    class Wide(CharTokenizer):
        def breaks(self):
            return np.zeros(1 << 17, dtype=bool), np.zeros(1 << 17, dtype=bool)

    fact = Fact("😀", "P17", "France")
    items = build([fact], tokenizer=Wide(), template_order="first")
    assert items.tokens.dtype == np.int32
    assert texts_of(items)[0].startswith("😀")
    with pytest.raises(KISError, match=r"tokenizer: found token 128512, expected ids below 4096"):
        build([fact])


def test_items_from_the_cache_are_those_made_in_memory(tmp_path):
    facts = [Fact(f"Town{n}", "P17", "France") for n in range(2500)]
    passages = [Passage("A b c. D e f.", "p")]
    made = build(facts, passages, cache=None)
    stored = build(facts, passages, cache=tmp_path)
    again = build(facts, passages, cache=tmp_path, tokenizer=Refusing())
    for items in (stored, again):
        for name in ("tokens", "offsets", "entry", "own_templates"):
            one, other = getattr(items, name), getattr(made, name)
            assert (one.dtype, one.tolist()) == (other.dtype, other.tolist()), name
        assert (items.templates, items.fingerprint, items.targets) == (made.templates, made.fingerprint, None)
    assert not stored.tokens.flags.writeable
    assert len(pickle.dumps(stored)) < 4096, "workers are sent paths, not tokens"


class Refusing(CharTokenizer):
    """A tokenizer that is not to be called again."""

    def encode(self, texts):
        raise AssertionError("tokenized again")

    encode_ids = encode


def test_the_order_of_work_does_not_show():
    facts = [Fact(f"Town{n}", "P17", "France") for n in range(3000)]
    ours = wrapped("byte-level")
    assert build(facts, tokenizer=ours).tokens.tolist() == build(facts, tokenizer=ours).tokens.tolist()
    sizes = {build(facts, tokenizer=ours).fingerprint}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_build, "_TEXTS", 7)
        sizes.add(build(facts, tokenizer=ours).fingerprint)
    assert len(sizes) == 1, "the fingerprint depends on the size of batches"


def test_the_fingerprint_covers_every_token_target_and_entry():
    other = Fact("Lyon", "P17", "Franca")
    found = {
        name: items.fingerprint
        for name, items in {
            "plain": build([LYON]),
            "object": build([other]),
            "one template": build([LYON], template_order="first"),
            "targets": build([LYON], loss="object"),
            "inline": build([LYON], placement="inline"),
            "triples": build([LYON], rendering=Choice("triples")),
            "entry": build([other, LYON], infused=[1]),
        }.items()
    }
    assert len(set(found.values())) == len(found), found
    assert (
        build([LYON], sequence_length=128).fingerprint
        == build([LYON]).fingerprint
        == build([LYON], template_order="random").fingerprint
    )


def test_the_cache_key_is_what_the_texts_depend_on():
    base = {"facts": [LYON, Fact("Bamako", "P17", "Mali")], "passages": [Passage("a b", "p")]}

    def key(tokenizer=None, sequence_length=64, fingerprint="k", **changes):
        parts = {
            name: changes.pop(name)
            for name in ("facts", "passages", "infused", "infused_facts", "templates_of")
            if name in changes
        }
        config = Config(
            Path("facts.jsonl"), infusion=InfusionConfig(**({"frequency": 1} | changes)), seed=changes.pop("seed", 0)
        )
        known = replace(split_of(**(base | parts)), fingerprint=fingerprint)
        return json.dumps(texts_key(config, known, tokenizer or CharTokenizer(), sequence_length), sort_keys=True)

    class Other(CharTokenizer):
        fingerprint = "other"

    template = Templates(("{subject} 1 {object}.", "{subject} held {object}"))
    different = [
        key(),
        key(fingerprint="other"),
        key(infused=[0]),
        key(infused_facts=[]),
        key(rendering=Choice("triples")),
        key(rendering=Choice("triples", {"separator": " "})),
        key(template_order="first"),
        key(max_templates=2),
        key(templates_of={"P17": template}),
        key(tokenizer=Other()),
        key(sequence_length=128),
        key(placement="inline"),
        key(chunk_tokens=32),
        key(loss="object"),
    ]
    assert len(set(different)) == len(different)
    same = [
        key(template_order="random"),
        key(frequency=None, share=0.1),
        key(window=(0.1, 0.2)),
        key(schedule=Choice("burst")),
        key(attention="sentence"),
        key(skip_known=True),
        key(templates_of={"P36": template}),
    ]
    assert set(same) == {key()}
