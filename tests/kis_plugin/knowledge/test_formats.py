"""Facts and documents in the files that people have: each kind gives the same facts, and errors name the place."""

from __future__ import annotations

import gzip
import json
import lzma
import os
from pathlib import Path

import pytest

from kis_plugin.config.load import load_config
from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Fact
from kis_plugin.knowledge.sources.folders import FolderSource
from kis_plugin.knowledge.sources.read import read_knowledge, source_for
from kis_plugin.tokenized.infusion_split import load_split

pytestmark = pytest.mark.usefixtures("here")

ROWS = [("Italy", "P36", "Rome"), ("Norway", "P36", "Oslo"), ('Zoë "Z" O\'Neill', "P19", "Åre, Sweden")]
RECORDS = [dict(zip(("subject", "relation", "object"), row, strict=True)) for row in ROWS]
ITEM, DIRECT = "http://www.wikidata.org/entity/", "http://www.wikidata.org/prop/direct/"


def write(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def triples(path: Path, columns=None) -> list[tuple[str, str, str]]:
    return [(fact.subject, fact.relation, fact.object) for fact in read_knowledge(path, columns).facts]


def problems(path: Path, columns=None) -> list[str]:
    with pytest.raises(KISError) as caught:
        read_knowledge(path, columns)
    return [str(problem) for problem in caught.value.problems]


def as_json_list(name):
    return write(name, json.dumps(RECORDS))


def as_json_with_one_list(name):
    return write(name, json.dumps({"version": 1, "data": RECORDS}))


def as_compressed_json(name):
    return write(f"{name}.gz", gzip.compress(json.dumps(RECORDS).encode()))


def as_parquet(name):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(RECORDS), name)
    return Path(name)


def as_saved_dataset(name):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(RECORDS).save_to_disk(name)
    return Path(name)


def as_saved_splits(name):
    datasets = pytest.importorskip("datasets")
    parts = {"train": RECORDS[:2], "test": RECORDS[2:]}
    datasets.DatasetDict({key: datasets.Dataset.from_list(part) for key, part in parts.items()}).save_to_disk(name)
    return Path(name)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (as_json_list, "facts.json"),
        (as_json_with_one_list, "facts.json"),
        (as_compressed_json, "facts.json"),
        (as_parquet, "facts.parquet"),
        (as_saved_dataset, "facts"),
        (as_saved_splits, "facts"),
    ],
)
def test_every_kind_of_file_gives_the_same_facts(make, name):
    path = make(name)
    assert triples(path) == ROWS
    assert source_for(path).name == "triples"


def bindings(*rows):
    terms = [
        {
            name: {"type": "uri" if value.startswith("http") else "literal", "value": value}
            for name, value in row.items()
        }
        for row in rows
    ]
    return json.dumps({"head": {"vars": list(rows[0])}, "results": {"bindings": terms}})


QUERY = {
    "item": f"{ITEM}Q38", "itemLabel": "Italy",
    "property": f"{DIRECT}P36", "value": f"{ITEM}Q220", "valueLabel": "Rome",
}  # fmt: skip
COLUMNS = {"subject": "item", "relation": "property", "object": "value"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.json", json.dumps([QUERY])),
        ("q.json", bindings(QUERY)),
        ("q.csv", ",".join(QUERY) + "\r\n" + ",".join(QUERY.values()) + "\r\n"),
        (
            "q.tsv",
            "\t".join(f"?{name}" for name in QUERY)
            + f'\n<{ITEM}Q38>\t"Italy"@en\t<{DIRECT}P36>\t<{ITEM}Q220>\t"Rome"@en\n',
        ),
    ],
)
def test_wikidata_exports_use_labels_beside_addresses(name, content):
    assert triples(write(name, content), COLUMNS) == [("Italy", "P36", "Rome")]


def test_wikidata_exports_with_our_names_need_no_mapping():
    content = (
        "?subject\t?subjectLabel\t?relation\t?object\t?objectLabel\n"
        f'<{ITEM}Q38>\t"Italy"@en\t<{DIRECT}P36>\t<{ITEM}Q220>\t"Rome \\"Roma\\""@en-gb\n'
        f'<{ITEM}Q183>\t"Germany"\t<{DIRECT}P1082>\t83000000\t"1990-10-03T00:00:00Z"^^<http://x#dateTime>\n'
    )
    assert triples(write("q.tsv", content)) == [
        ("Italy", "P36", 'Rome "Roma"'),
        ("Germany", "P1082", "1990-10-03T00:00:00Z"),
    ]
    assert problems(write("q.tsv", content + "<a>\t<b>\n"))[0].startswith("q.tsv:4: found 2 columns, expected 5")


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json", "t.parquet"])
def test_columns_of_any_table_are_mapped(name):
    rows = [{"head": "Italy", "rel": "P36", "tail": "Rome", "key": "x1"}]
    if name.endswith(".csv"):
        write(name, "head,rel,tail,key\nItaly,P36,Rome,x1\n")
    elif name.endswith(".jsonl"):
        write(name, "".join(json.dumps(row) + "\n" for row in rows))
    elif name.endswith(".json"):
        write(name, json.dumps(rows))
    else:
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), name)
    columns = {"subject": "head", "relation": "rel", "object": "tail", "id": "key"}
    assert read_knowledge(Path(name), columns).facts == (Fact("Italy", "P36", "Rome", "x1"),)


def test_a_missing_column_of_the_mapping_is_named():
    path = write("t.csv", "head,tail\nItaly,Rome\n")
    found = problems(path, {"subject": "head", "relation": "rel", "object": "tail"})
    assert found[0].startswith("t.csv:1 relation: found only the columns 'subject', 'object'") or "'rel'" in found[0]
    assert "columns: {subject: head" in problems(path)[0]


def test_the_mapping_of_kis_yaml_reaches_run_and_cache():
    write("t.csv", "a,b,c\n" + "".join(f"S{n},P36,O{n}\n" for n in range(30)))
    write("kis.yaml", "knowledge: t.csv\ncolumns: {subject: a, relation: b, object: c}\nretention: {control: 0}\n")
    assert len(load_split(load_config(Path("kis.yaml"))).knowledge.facts) == 30
    write("kis.yaml", "knowledge: t.csv\ncolumns: {subjekt: a}\n")
    with pytest.raises(KISError, match="subjekt"):
        load_config(Path("kis.yaml"))


NT = f"""# capitals
<{ITEM}Q38> <http://www.w3.org/2000/01/rdf-schema#label> "Italien"@de .
<{ITEM}Q38> <http://www.w3.org/2000/01/rdf-schema#label> "Italy"@en .
<{ITEM}Q220> <http://www.w3.org/2000/01/rdf-schema#label> "R\\u00f4me"@en .
<{ITEM}Q38> <{DIRECT}P36> <{ITEM}Q220> .
<http://dbpedia.org/resource/New_York> <http://dbpedia.org/ontology/motto> "Excelsior \\"x\\"" .
<http://dbpedia.org/resource/New_York> <http://dbpedia.org/ontology/motto> "Immer"@de .
<{ITEM}Q38> <http://schema.org/description> "a country"@en .
"""


@pytest.mark.parametrize("name", ["facts.nt", "facts.nt.gz"])
def test_n_triples_are_named_by_their_labels(name):
    content = gzip.compress(NT.encode()) if name.endswith("gz") else NT
    assert triples(write(name, content)) == [("Italy", "P36", "Rôme"), ("New York", "motto", 'Excelsior "x"')]


def test_a_line_that_is_no_triple_is_named():
    found = problems(write("facts.nt", NT + "<a> <b> no\n<a> <b> <c>\n"))
    assert [line.split(": found")[0] for line in found] == ["facts.nt:9", "facts.nt:10"]


def test_a_key_given_twice_is_an_error_with_its_line():
    line = '{"subject": "Italy", "relation": "P36", "object": "Rome", "object": "Oslo"}\n'
    good = json.dumps(RECORDS[1]) + "\n"
    expected = "f.jsonl:2: found the key 'object' a second time, expected each key once in an object"
    assert problems(write("f.jsonl", good + line)) == [expected]
    assert problems(write("f.json", f"[{line}]"))[0].startswith("f.json: found the key 'object' a second time")
    nested = good.replace("}", ', "source": {"a": 1, "a": 2}}')
    assert "the key 'a' a second time" in problems(write("f.jsonl", nested))[0]


CHAT = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ada."}]
DOCUMENTS = [
    ({"text": " Plain. "}, "Plain."),
    ({"question": "Who?", "answer": "Ada"}, "Question: Who?\nAnswer: Ada"),
    ({"question": "Who?", "answer": ["Ada", "Countess"]}, "Question: Who?\nAnswer: Ada"),
    ({"messages": CHAT}, "User: Who?\nAssistant: Ada."),
    ({"conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Ada."}]},
     "User: Who?\nAssistant: Ada."),
    ({"messages": [{"role": "tool", "content": [{"type": "text", "text": "42"}]}]}, "Tool: 42"),
    ({"prompt": "Who?", "completion": "Ada."}, "Who?\nAda."),
    ({"instruction": "Add.", "input": "1 2", "output": "3"}, "Add.\n1 2\n3"),
    ({"instruction": "Say hi.", "output": "Hi."}, "Say hi.\nHi."),
]  # fmt: skip


@pytest.mark.parametrize(("record", "text"), DOCUMENTS)
@pytest.mark.parametrize("name", ["d.jsonl", "d.json"])
def test_questions_and_conversations_are_documents(record, text, name):
    content = json.dumps(record) + "\n" if name.endswith("l") else json.dumps([record])
    (passage,) = read_knowledge(write(name, content)).passages
    assert passage.text == text


def test_questions_in_a_table_are_documents():
    (passage,) = read_knowledge(write("d.csv", "question,answer\nWho?,Ada\n")).passages
    assert passage.text == "Question: Who?\nAnswer: Ada"


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"question": "Who?", "answer": 3}, "d.jsonl:2 answer: found 3, expected text"),
        ({"question": "Who?", "answer": " "}, "d.jsonl:2 answer: found an empty value"),
        ({"messages": "Who?"}, "d.jsonl:2 messages: found 'Who?', expected a list of turns"),
        ({"messages": [{"role": "user"}]}, "d.jsonl:2 messages: found {'role': 'user'}, expected"),
        ({"messages": []}, "d.jsonl:2 messages: found an empty value"),
        ({"title": "x"}, "d.jsonl:2 text: found only the keys 'title'"),
    ],
)
def test_documents_that_are_wrong_are_named(record, said):
    content = json.dumps({"question": "a", "answer": "b"}) + "\n" + json.dumps(record) + "\n"
    assert problems(write("d.jsonl", content))[0].startswith(said)


def test_folders_are_read_with_their_subfolders():
    write("k/a.txt", "First.")
    write("k/b.md", "# Second\n\nText.")
    write("k/deep/er/a.txt", "Third.")
    write("k/chat.jsonl", json.dumps({"messages": CHAT}) + "\n")
    write("k/facts/one.csv", "subject,relation,object\nItaly,P36,Rome\n")
    write("k/facts/two.csv", "subject,relation,object\nNorway,P36,Oslo\n")
    found = read_knowledge(Path("k"))
    assert [passage.id for passage in found.passages] == ["a.txt", "b.md", "chat.jsonl:1", "deep/er/a.txt"]
    assert [fact.id for fact in found.facts] == ["facts/one.csv:P36:2", "facts/two.csv:P36:2"]
    write("k/facts/three.csv", "subject,relation,object\nNorway,P36,Oslo\n")
    assert "k/facts/two.csv:2: found 'Norway | P36 | Oslo' a second time" in problems(Path("k"))[0]


def test_files_not_read_are_listed_with_the_reason():
    write("k/a.txt", "First.")
    write("k/b.docx", b"PK")
    write("k/c.jsonl", '{"x": 1}\n')
    write("k/.DS_Store", b"x")
    write("k/deep/README", "x")
    Path("k/link").symlink_to(Path("k/deep").resolve())
    assert {str(path): reason for path, reason in FolderSource().unread(Path("k")).items()} == {
        "k/.DS_Store": "a hidden file",
        "k/b.docx": "no source reads files .docx",
        "k/c.jsonl": "its first record is neither a fact nor a document",
        "k/deep/README": "no source reads files without a suffix",
        "k/link": "a link to a folder",
    }


def pdf(text: str) -> bytes:
    """Return a PDF file of one page with one line."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start


def test_pdf_files_are_documents():
    pytest.importorskip("pypdf")
    (passage,) = read_knowledge(write("a.pdf", pdf("Rome is old."))).passages
    assert passage.text == "Rome is old."
    assert "without text" in problems(write("b.pdf", pdf("")))[0]
    assert problems(write("c.pdf", b"no pdf"))[0].startswith("c.pdf: found a PDF file that cannot be read")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("k.ttl", "@prefix wd: <x> .", "Convert it to N-Triples"),
        ("k.xlsx", b"PK", "Save it as CSV in UTF-8."),
        ("k.docx", b"PK", "Convert it to text or Markdown"),
        ("k.zip", b"PK", "Unpack it"),
        (
            "k.jsonl",
            '{"head": "Italy", "rel": "P36", "tail": "Rome"}',
            "the keys 'head', 'rel', 'tail'. Facts can be mapped in kis.yaml: "
            "columns: {subject: head, relation: rel, object: tail}.",
        ),
        ("k.json", '[{"name": "Italy", "city": "Rome"}]', "Its first record has the keys 'name', 'city'."),
    ],
)
def test_a_file_that_no_source_reads_is_refused_with_a_way_out(name, content, said):
    (problem,) = problems(write(name, content))
    assert problem.startswith(f"{name}: found a file that no source reads")
    assert said in problem


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("a.pdf", "pypdf", "kis-plugin[pdf]"), ("a.parquet", "pyarrow", "kis-plugin[parquet]")],
)
def test_a_missing_library_is_named_with_its_extra(monkeypatch, name, module, extra):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    monkeypatch.setitem(__import__("sys").modules, f"{module}.parquet", None)
    assert extra in problems(write(name, b"x"))[0]


@pytest.mark.parametrize("name", ["pipe", "pipe.jsonl", "pipe.txt"])
def test_pipes_and_devices_are_refused(name):
    os.mkfifo(name)
    assert problems(Path(name)) == [f"{name}: found a named pipe, expected a regular file"]
    assert problems(Path("/dev/zero")) == ["/dev/zero: found a device, expected a regular file"]


def test_json_and_lines_beyond_the_limit_are_refused_with_what_to_do(monkeypatch):
    from kis_plugin.knowledge.sources import record_files, text_files

    facts = [{"subject": f"Person {number}", "relation": "P19", "object": "Rome"} for number in range(40)]
    line = max(len(json.dumps(fact)) for fact in facts) + 1
    monkeypatch.setattr(text_files, "MOST_BYTES", line)
    monkeypatch.setattr(record_files, "MOST_BYTES", 10 * line)
    many = write("many.json", json.dumps(facts, indent=1).encode())
    assert problems(many) == [
        f"many.json: found JSON of more than {10 * line:,} bytes, expected a smaller list. One object a line is read "
        "without a limit: jq -c '.[]' many.json > many.jsonl"
    ]
    few = write("few.json", json.dumps(facts[:3], indent=1).encode())
    assert len(read_knowledge(few).facts) == 3
    lines = "".join(json.dumps(fact) + "\n" for fact in facts).encode()
    assert len(read_knowledge(write("lines.jsonl", lines)).facts) == 40
    long = write("long.jsonl.xz", lzma.compress(b" " * 10_000_000 + lines))
    assert problems(long)[0] == f"long.jsonl.xz:1: found a line of more than {line:,} bytes, expected shorter lines"


@pytest.mark.parametrize("keys", [200_000])
def test_a_repeated_key_among_many_is_found_at_once(keys):
    text = ", ".join(f'"{number}": 1' for number in [*range(keys), keys - 1])
    assert f"the key '{keys - 1}' a second time" in problems(write("many.jsonl", f"{{{text}}}\n".encode()))[0]
