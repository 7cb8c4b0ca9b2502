"""Facts from JSONL, CSV and TSV: what is read, and what is refused with its line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Fact, Knowledge
from kis_plugin.knowledge.sources.read import read_knowledge
from kis_plugin.knowledge.sources.triples import TripleSource
from kis_plugin.storage.text_rules import is_one_line
from kis_plugin.storage.unicode_forms import canonical

ROME = {"subject": "Italy", "relation": "P36", "object": "Rome"}
OSLO = {"subject": "Norway", "relation": "P36", "object": "Oslo"}
anything = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

pytestmark = pytest.mark.usefixtures("here")


def write(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


def jsonl(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def problems(name: str, content: str | bytes) -> list[str]:
    with pytest.raises(KISError) as caught:
        TripleSource().read(write(name, content))
    return [str(problem) for problem in caught.value.problems]


def test_jsonl_gives_facts_in_file_order_with_line_ids():
    knowledge = read_knowledge(write("f.jsonl", jsonl(ROME) + "\n" + jsonl({**OSLO, "id": "n", "more": [1]})))
    assert knowledge == Knowledge((Fact("Italy", "P36", "Rome", "P36:1"), Fact("Norway", "P36", "Oslo", "n")))


def test_csv_and_tsv_have_named_columns_in_any_order():
    table = 'object,id,note,subject,relation\nRome,7,x,Italy,P36\n\n"Washington, D.C.",,,USA,P36\n'
    facts = (Fact("Italy", "P36", "Rome", "7"), Fact("USA", "P36", "Washington, D.C.", "P36:4"))
    assert read_knowledge(write("f.csv", table)).facts == facts
    tabs = 'Subject\tRelation\tObject\n"the ""Boot"""\tP36\tRome\n'
    assert read_knowledge(write("f.tsv", tabs)).facts == (Fact('the "Boot"', "P36", "Rome", "P36:2"),)


@pytest.mark.parametrize("mark", [";", "\t", ","])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_csv_file_is_separated_as_its_first_row_is(mark, start):
    rows = [["subject", "relation", "object"], ["Italy", "P36", "Rome"], ["USA", "P36", '"Washington, D.C.; south"']]
    table = start + "".join(mark.join(row) + "\r\n" for row in rows)
    facts = (Fact("Italy", "P36", "Rome", "P36:2"), Fact("USA", "P36", "Washington, D.C.; south", "P36:3"))
    assert read_knowledge(write("f.csv", table)).facts == facts


def test_column_names_of_bear_and_wikidata_are_known():
    bear = jsonl({"sub_id": "Q38", "sub_label": "Italy", "relation": "P36", "obj_label": "Rome"})
    query = (
        "subject,subjectLabel,relation,object,objectLabel\n"
        "http://www.wikidata.org/entity/Q38,Italy,http://www.wikidata.org/prop/direct/P36,"
        "http://www.wikidata.org/entity/Q220,Rome\n"
    )
    assert [fact.object for fact in read_knowledge(write("b.jsonl", bear)).facts] == ["Rome"]
    assert read_knowledge(write("q.csv", query)).facts == (Fact("Italy", "P36", "Rome", "P36:2"),)


def test_aliases_are_a_list_or_a_column_with_bars():
    lines = jsonl({**ROME, "aliases": ["Roma", " Urbs ", "Roma"]}, OSLO, {**OSLO, "subject": "N", "aliases": None})
    facts = read_knowledge(write("f.jsonl", lines)).facts
    assert [fact.aliases for fact in facts] == [("Roma", "Urbs"), (), ()]
    table = "subject,relation,object,Aliases\nItaly,P36,Rome,Roma | Urbs\nNorway,P36,Oslo,\n"
    assert [fact.aliases for fact in read_knowledge(write("f.csv", table)).facts] == [("Roma", "Urbs"), ()]


def test_aliases_belong_to_the_replaced_object():
    line = jsonl({**ROME, "aliases": ["Roma"], "until": 0.5, "replaced_by": "Milan"})
    old, new = read_knowledge(write("f.jsonl", line)).facts
    assert (old.object, old.aliases, old.until) == ("Rome", ("Roma",), 0.5)
    assert (new.object, new.aliases, new.start) == ("Milan", (), 0.5)


@pytest.mark.parametrize(
    ("aliases", "said"),
    [
        ("Roma", "found 'Roma', expected a list of text"),
        (["Roma", 7], "found ['Roma', 7], expected a list of text"),
        (["Roma", " "], "found an empty name, expected text"),
        (["a\nb"], "found 'a\\nb', expected text in one line, without control characters"),
    ],
)
def test_invalid_aliases_are_errors(aliases, said):
    assert problems("f.jsonl", jsonl({**ROME, "aliases": aliases})) == [f"f.jsonl:1 aliases: {said}"]


def test_white_space_around_values_does_not_count():
    assert read_knowledge(write("f.csv", "subject, relation,object\n Italy,P36 ,Rome \n")).facts[0].object == "Rome"


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
def test_byte_order_mark_and_line_ends_do_not_matter(ends, mark, suffix, pack):
    lines = jsonl(ROME, {**OSLO, "object": "Ōslo"}).replace("\n", ends)
    table = f"subject,relation,object{ends}Italy,P36,Rome{ends}Norway,P36,Ōslo"
    for name, text, objects in (("f.jsonl", lines, ["Rome", "Ōslo"]), ("f.csv", table, ["Rome", "Ōslo"])):
        facts = read_knowledge(write(name + suffix, pack(mark + text.encode()))).facts
        assert [fact.object for fact in facts] == objects


def test_all_problems_of_a_file_are_reported():
    assert problems(
        "f.jsonl",
        jsonl(ROME)
        + "{oops}\n"
        + jsonl({"subject": "Norway", "object": "Oslo"}, {**OSLO, "object": 7}, {**OSLO, "object": " "}, ["a"], ROME)
        + jsonl({**OSLO, "id": 1}, {**ROME, "subject": "Rome", "id": "1"}, {**OSLO, "object": "a\nb"}),
    ) == [
        "f.jsonl:2: found a line that is not JSON (Expecting property name enclosed in double quotes), "
        "expected one JSON object a line",
        "f.jsonl:3 relation: found only the keys 'subject', 'object', expected the key 'relation'",
        "f.jsonl:4 object: found 7, expected text. Put it in quotes.",
        "f.jsonl:5 object: found an empty value, expected text",
        "f.jsonl:6: found ['a'], expected one JSON object a line",
        "f.jsonl:7: found 'Italy | P36 | Rome' a second time, expected each triple once; the first is in line 1",
        "f.jsonl:9 id: found '1' a second time, expected each id once; the first is in line 8",
        "f.jsonl:10 object: found 'a\\nb', expected text in one line, without control characters",
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("f.csv", "subject,relation,object\na,b\n", "f.csv:2: found 2 columns, expected 3, as the first row has"),
        ("f.csv", "subject,relation\n", "f.csv:1 object: found only the columns 'subject', 'relation', expected"),
        (
            "f.csv",
            "subject|relation|object\na|b|c\n",
            "f.csv:1 subject: found only the columns 'subject|relation|object', expected the column "
            "'subject' in the first row. Values are separated by commas or semicolons in .csv",
        ),
        ("f.csv", "subject,subject,relation,object\n", "f.csv:1 subject: found the column more than once"),
        ("f.csv", "subject,relation,object\n,b,c\n", "f.csv:2 subject: found an empty value, expected text"),
        ("f.csv", 'subject,relation,object\n"a"b,r,c\n', "f.csv:2: found a row that is no CSV"),
        ("f.tsv", 'subject\trelation\tobject\na\tr\t"b\n', "f.tsv:2: found a row that is no TSV"),
        ("f.csv", "subject,relation,object\n", "f.csv: found no facts, expected a subject"),
        ("f.csv", "", "f.csv: found no facts"),
        ("f.jsonl", "\n \n", "f.jsonl: found no facts"),
        ("f.jsonl", b'\n{"subject": "\xff"}\n', "f.jsonl:2: found bytes that are not UTF-8 (b'\\xff"),
        ("f.jsonl", jsonl(ROME).encode("utf-16"), "f.jsonl:1: found a byte-order mark of UTF-16"),
        ("f.jsonl", jsonl({**ROME, "object": "\ud800"}), "f.jsonl:1 object: found '\\ud800', expected text in one"),
        ("f.jsonl", jsonl({**ROME, "id": [1]}), "f.jsonl:1 id: found [1], expected text or a whole number"),
        ("f.jsonl", jsonl({**ROME, "object": None}), "f.jsonl:1 object: found null, expected text"),
        ("f.jsonl", "[" * 100_000, "f.jsonl:1: found a line that is not JSON"),
        ("f.jsonl", '{"subject": ' + "9" * 5000 + "}", "f.jsonl:1"),
        ("f.jsonl.gz", b"no gzip", "f.jsonl.gz: found Not a gzipped file"),
        ("f.jsonl.gz", gzip.compress(jsonl(ROME).encode(), mtime=0)[:-9], "f.jsonl.gz: found Compressed file ended"),
        ("f.jsonl.xz", b"no xz", "f.jsonl.xz: found Input format not supported"),
    ],
)
def test_a_file_that_is_wrong(name, content, said):
    assert problems(name, content)[0].startswith(said)


def test_of_a_thousand_problems_twenty_are_shown():
    found = problems("f.jsonl", "{}\n" * 334)  # three parts are missing in each
    assert len(found) == 21
    assert found[-1] == "f.jsonl: found and 982 more, expected none. Correct those above first."


words = st.text(min_size=1, max_size=12).map(str.strip).filter(lambda text: canonical(text) and is_one_line(text))
triples = st.lists(
    st.tuples(words, words, words),
    min_size=1,
    max_size=6,
    unique_by=lambda triple: (canonical(triple[0]), triple[1], canonical(triple[2])),
)


@anything
@given(triples, st.sampled_from(["f.jsonl", "f.csv", "f.tsv", "f.csv.gz"]))
def test_written_values_are_read_back(tmp_path, written, name):
    if name == "f.jsonl":
        text = jsonl(*(dict(zip(ROME, triple, strict=True)) for triple in written))
    else:
        sheet = io.StringIO(newline="")
        table = csv.writer(sheet, delimiter="\t" if "tsv" in name else ",")
        table.writerows([list(ROME), *written])
        text = sheet.getvalue()
    raw = text.encode()
    facts = read_knowledge(write(name, gzip.compress(raw) if name.endswith("gz") else raw)).facts
    assert [(fact.subject, fact.relation, fact.object) for fact in facts] == written
    assert len({fact.id for fact in facts}) == len(facts)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ROME, "id", "text"]), inner),
    max_leaves=10,
)


@anything
@given(
    st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.lists(json_values, max_size=4).map(lambda values: jsonl(*values).encode())
    | st.text('subject,relation\tobject"\n\r\0', max_size=60).map(
        lambda text: b"subject,relation,object\n" + text.encode()
    ),
    st.sampled_from(["f.jsonl", "f.csv", "f.tsv", "f.jsonl.gz", "f.csv.xz", "f.txt", "f.txt.gz"]),
)
def test_any_bytes_give_knowledge_or_a_kis_error(tmp_path, raw, name):
    path = write(name, raw)
    try:
        outcome = read_knowledge(path)
    except KISError as error:
        outcome = error
    assert name in str(outcome) if isinstance(outcome, KISError) else len(outcome) > 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zoë Müller", unicodedata.normalize("NFD", "Zoë Müller")),
        ("New York", "New\u00a0York"),
        ("New York", "New\u200b York"),
        ("New York", "New  York"),
        ("Å", "\u212b"),
    ],
)
def test_a_fact_in_another_encoding_is_the_same_fact(one, other):
    content = jsonl({**ROME, "subject": one}, OSLO, {**ROME, "subject": other})
    (problem,) = problems("f.jsonl", content)
    assert problem.startswith("f.jsonl:3: found ")
    assert problem.endswith("a second time, expected each triple once; the first is in line 1")
    (problem,) = problems("f.jsonl", jsonl({**ROME, "object": one}, {**ROME, "object": other}))
    assert "a second time" in problem


@pytest.mark.parametrize("name", ["\u200b", "\ufeff\u2060", "\u00ad"])
def test_a_name_without_visible_text_is_empty(name):
    assert problems("f.jsonl", jsonl({**ROME, "subject": name})) == [
        "f.jsonl:1 subject: found an empty value, expected text"
    ]
