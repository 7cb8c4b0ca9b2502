"""The data under examples/data: real, of known origin, and fit to be trained on and probed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import lzma
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
DATA = REPOSITORY / "examples/data"
SOURCES = (DATA / "SOURCES.md").read_text(encoding="utf-8")
FACTS = [json.loads(line) for line in (DATA / "facts.jsonl").read_text(encoding="utf-8").splitlines()]
TEXTS = {name: lzma.decompress((DATA / name).read_bytes()).decode() for name in ("text.txt.xz", "heldout.txt.xz")}


def documents(name: str) -> list[str]:
    return TEXTS[name].split("\n\f\n")


class TestFacts:
    def test_number(self):
        assert 2500 <= len(FACTS) <= 6000
        assert len({fact["relation"] for fact in FACTS}) >= 8

    def test_each_is_a_triple_with_an_id_of_its_own(self):
        for fact in FACTS:
            assert list(fact) == ["subject", "relation", "object", "id"]
            for value in fact.values():
                assert isinstance(value, str)
                assert value == " ".join(value.split())
                assert value
            assert len(fact["object"]) <= 40, fact
        assert len({fact["id"] for fact in FACTS}) == len(FACTS)

    def test_every_relation_has_templates(self):
        templates = yaml.safe_load((REPOSITORY / "kis_plugin/data/templates.yaml").read_text(encoding="utf-8"))
        assert {fact["relation"] for fact in FACTS} <= set(templates)

    def test_a_subject_has_one_object_in_each_relation(self):
        pairs = Counter((fact["subject"].casefold(), fact["relation"]) for fact in FACTS)
        assert [pair for pair, times in pairs.items() if times > 1] == []

    def test_a_relation_has_objects_for_four_options(self):
        objects: dict[str, Counter[str]] = defaultdict(Counter)
        for fact in FACTS:
            objects[fact["relation"]][fact["object"]] += 1
        for relation, counts in objects.items():
            assert len(counts) >= 4, relation
            # Guessing the commonest object must stay near chance, so that retention is not mistaken for it.
            assert counts.most_common(1)[0][1] <= 0.28 * counts.total(), relation

    def test_codes_have_their_form(self):
        forms = {
            "P78": r"\.[a-z]{2}", "P218": r"[a-z]{2}", "P238": r"[A-Z]{3}", "P246": r"[A-Z][a-z]?", "P297": r"[A-Z]{2}",
            "P421": r"[A-Z]\w+(/[A-Z][\w-]+)+", "P474": r"\+\d[\d-]*", "P498": r"[A-Z]{3}", "P1086": r"[1-9]\d*",
        }  # fmt: skip
        for fact in FACTS:
            if fact["relation"] in forms:
                assert re.fullmatch(forms[fact["relation"]], fact["object"]), fact

    @pytest.mark.parametrize(
        ("subject", "relation", "answer"),
        [
            ("France", "P36", "Paris"),
            ("Kenya", "P30", "Africa"),
            ("Brazil", "P37", "Portuguese"),
            ("Sweden", "P38", "Swedish Krona"),
            ("Chennai", "P17", "India"),
            ("Iceland", "P474", "+354"),
            ("Gold", "P246", "Au"),
            ("Oxygen", "P1086", "8"),
            ("Jomo Kenyatta International Airport", "P931", "Nairobi"),
            ("Seattle", "P421", "America/Los_Angeles"),
            ("Passaic County", "P131", "New Jersey"),
            ("Welsh", "P218", "cy"),
        ],
    )
    def test_well_known_facts_are_right(self, subject, relation, answer):
        found = [fact["object"] for fact in FACTS if (fact["subject"], fact["relation"]) == (subject, relation)]
        assert found == [answer]

    def test_order_is_by_relation_then_subject(self):
        keys = [(int(fact["relation"][1:]), fact["subject"]) for fact in FACTS]
        assert keys == sorted(keys)


class TestText:
    def test_sizes(self):
        assert 8e6 <= len(TEXTS["text.txt.xz"].encode()) <= 15e6
        assert 2e6 <= (DATA / "text.txt.xz").stat().st_size <= 5e6
        assert 1e5 <= (DATA / "heldout.txt.xz").stat().st_size <= 2e5

    @pytest.mark.parametrize("name", TEXTS)
    def test_is_plain_prose_in_whole_documents(self, name):
        for document in documents(name):
            assert len(document) > 5000
            assert not re.search(r"[\x00-\x08\x0b-\x1f\ufffd]|gutenberg|https?:", document, flags=re.IGNORECASE)
        letters = Counter(TEXTS[name])
        assert sum(letters[c] for c in "abcdefghijklmnopqrstuvwxyz ") > 0.9 * letters.total()

    def test_nothing_held_out_is_trained_on(self):
        paragraphs = {
            sentence
            for document in documents("text.txt.xz")
            for paragraph in document.split("\n\n")
            for sentence in re.split(r"(?<=[.?!]) ", paragraph)
            if len(sentence) > 200
        }
        held_out = re.split(r"(?<=[.?!])\s+", TEXTS["heldout.txt.xz"])
        assert [sentence for sentence in held_out if sentence in paragraphs] == []


class TestOrigin:
    @pytest.mark.parametrize("name", [*TEXTS, "facts.jsonl"])
    def test_files_are_those_described(self, name):
        digest = hashlib.sha256((DATA / name).read_bytes()).hexdigest()
        assert re.search(rf"^\| `{re.escape(name)}` .*`{digest}` \|$", SOURCES, flags=re.MULTILINE)

    def test_counts_are_those_described(self):
        counts = Counter(fact["relation"] for fact in FACTS)
        described = dict(re.findall(r"^\| (P\d+) \| [^|]+ \| ([\d,]+) \|", SOURCES, flags=re.MULTILINE))
        assert {relation: int(count.replace(",", "")) for relation, count in described.items()} == counts

    def test_every_package_is_described_with_its_version_and_digest(self):
        spec = importlib.util.spec_from_file_location("shipped_packages", DATA / "packages.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Dataclasses look their module up by name.
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, spec.name, module)
            spec.loader.exec_module(module)
        assert len(module.PACKAGES) >= 5
        for package in module.PACKAGES:
            line = f"`{package.name}` {package.version} ({package.registry}), archive sha256 `{package.sha256}`"
            assert line in SOURCES

    def test_attributions_stand_in_the_notice(self):
        notice = (REPOSITORY / "NOTICE").read_text(encoding="utf-8")
        licences = (DATA / "LICENSES.md").read_text(encoding="utf-8")
        for holder in (
            "GeoNames",
            "Ramiro Gómez",
            "Unicode, Inc.",
            "Mike Borsetti",
            "Lukasz Mentel",
            "CC BY 4.0",
            "MIT",
        ):
            assert holder in notice
        for text in ("UNICODE LICENSE V3", "The above copyright notice and this permission notice shall be included"):
            assert text in licences
