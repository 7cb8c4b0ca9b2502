"""``kis audit`` against data that other code wrote: exact, torn, too few, leaked."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from kis_plugin.cli.main import main
from kis_plugin.errors import KISError
from kis_write import write_dataset
from kis_write.audit import audit_rows, sought_of_sentences
from kis_write.text_index import TextIndex
from tests.world.facts import people
from tests.world.tokenizers import make_tokenizer


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout, done.stderr


def test_a_written_data_set_is_as_requested(request_for, tmp_path):
    write_dataset(request_for({"frequency": 6.5}), tmp_path / "out")
    code, out, _ = run("audit", tmp_path / "out", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["summary"] == {"min": 6, "max": 7, "mean": 6.5}
    assert (report["wrong"], report["torn"], report["leaked"], report["rows"]) == (0, 0, 0, 200)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda rows: rows[10:], {"leaked": 0}),  # training that ends early
        (lambda rows: np.concatenate([rows, rows]), {"leaked": 0}),  # an epoch too many
        (lambda rows: rows.ravel()[33:-32].reshape(-1, 65), {"leaked": 0}),  # a reader that is off by half a row
    ],
    ids=["short", "twice", "shifted"],
)
def test_other_counts_than_planned_end_with_exit_code_1(request_for, tmp_path, change, expected):
    write_dataset(request_for(), tmp_path / "out")
    path = tmp_path / "out" / "kis.ds"
    rows = np.fromfile(path, dtype=np.uint16).reshape(-1, 65)
    changed = change(rows)
    changed.tofile(path)
    code, out, _ = run("audit", tmp_path / "out", "--json")
    report = json.loads(out)
    assert code == 1
    assert report["wrong"] > 0
    assert report["leaked"] == expected["leaked"]
    if changed.shape[0] == 199:
        assert report["torn"] > 5


def test_a_loader_of_ones_own_is_read_and_leaks_are_found(request_for, tmp_path):
    request = request_for()
    control = people()[0]  # made a leak below, whichever facts are held back
    sentences = [f"{fact['subject']} was born in {fact['object']}." for fact in people()]
    tokenizer = make_tokenizer()
    ids = [tokenizer.encode(sentence, add_special_tokens=False) for sentence in sentences]
    rows = [(one + [tokenizer.eos_token_id] * 64)[:64] for one in ids]
    np.save(tmp_path / "rows.npy", np.array(rows))
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        f"def batches():\n    rows = np.load({str(tmp_path / 'rows.npy')!r})\n"
        "    return [{'input_ids': rows[:10]}, {'input_ids': rows[10:]}]\n"
    )
    loader = f"{tmp_path / 'mine.py'}:batches"
    given = ("--loader", loader, "--tokenizer", request.tokenizer, "--block", 64)
    (tmp_path / "sentences.txt").write_text("\n".join(sentences))
    code, out, _ = run("audit", *given, "--sentences", tmp_path / "sentences.txt", "--expect", 1, "--json")
    report = json.loads(out)
    assert (code, report["items"], report["wrong"]) == (0, 24, 0)
    assert report["summary"] == {"min": 1, "max": 1, "mean": 1.0}
    assert control["subject"] in sentences[0]
    code, out, _ = run("audit", *given, "--sentences", tmp_path / "sentences.txt", "--expect", 2, "--json")
    assert (code, json.loads(out)["wrong"]) == (1, 24)


def test_controls_that_occur_are_named(request_for, tmp_path):
    from kis_plugin.config.load import load_config
    from kis_plugin.tokenized.load_tokenizer import load_tokenizer
    from kis_write.audit import sought_of_config

    request = request_for()
    write_dataset(request, tmp_path / "out")
    sought = sought_of_config(load_config(request.config), load_tokenizer(request.tokenizer), 64)
    number = next(n for n, item in enumerate(sought.item.tolist()) if sought.control[item])
    path = tmp_path / "out" / "kis.ds"
    rows = np.fromfile(path, dtype=np.uint16).reshape(-1, 65)
    leak = sought.texts[number]
    rows[0, 20 : 20 + len(leak)] = leak
    rows.tofile(path)
    code, out, _ = run("audit", tmp_path / "out")
    assert code == 1
    assert "1 exposures of control facts" in out
    assert sought.names[sought.item[number]] in out


def test_texts_are_counted_as_a_plain_search_counts_them():
    draw = np.random.default_rng(0)
    texts = [draw.integers(0, 50, size=draw.integers(9, 20)) for _ in range(30)]
    texts.append(np.concatenate([texts[0], texts[1]]))  # begins with another one: the longest is meant
    rows = draw.integers(0, 50, size=(40, 120))
    placed = []
    for row in rows:
        at = 0
        while at < 70:
            number = int(draw.integers(len(texts)))
            row[at : at + len(texts[number])] = texts[number]
            placed.append(number)
            at += len(texts[number]) + int(draw.integers(0, 5))
    found = TextIndex(texts).find(rows)
    # A text 0 before a text 1 without a gap is text 30.
    assert len(found.whole) >= len(placed) - placed.count(0)
    lists = [row.tolist() for row in rows]
    for number in range(2, 30):
        wanted = texts[number].tolist()
        plain = sum(row[at : at + len(wanted)] == wanted for row in lists for at in range(len(row)))
        assert list(found.whole).count(number) == plain


def test_a_text_cut_by_the_end_of_a_row_is_torn_and_never_whole():
    text = np.arange(100, 120)
    stream = np.concatenate([np.arange(50), text, np.arange(58)])  # 128 tokens: the text lies over token 64
    found = TextIndex([text]).find(stream.reshape(2, 64))
    assert (found.whole, found.cut, found.resumed) == ([], 1, 0)  # 6 tokens of it begin the second row: too few to tell
    found = TextIndex([text]).find(np.roll(stream, 4).reshape(2, 64))
    assert (found.cut, found.resumed) == (1, 1)


def test_sentences_are_found_at_the_start_and_after_a_space():
    from kis_plugin.tokenized.tokenizer import HFTokenizer

    tokenizer = make_tokenizer()
    sought = sought_of_sentences(["Person1 was born in Town1."], HFTokenizer(tokenizer))
    row = tokenizer.encode("Person1 was born in Town1. river Person1 was born in Town1.", add_special_tokens=False)
    assert audit_rows(sought, [np.array([row])]).exposures == [2]


BAD = [
    ([np.zeros((2, 3))], "type float64"),
    ([np.zeros(3, dtype=np.int64)], "shape"),
]


@pytest.mark.parametrize(("batches", "message"), BAD)
def test_batches_of_another_form_are_refused(batches, message):
    from kis_plugin.tokenized.tokenizer import HFTokenizer

    sought = sought_of_sentences(["a b c"], HFTokenizer(make_tokenizer()))
    with pytest.raises(KISError, match=message):
        audit_rows(sought, batches)


USAGE = [
    ((), "DATA, or --loader"),
    (("x", "--loader", "y.py:z"), "DATA, or --loader"),
    (("--loader", "absent.py:batches", "--tokenizer", "{tokenizer}", "--sentences", "{sentences}"), "no such file"),
    (("--loader", "absent.py:batches"), "--tokenizer"),
    (("absent",), "a manifest that kis write wrote"),
    (("{out}", "--sentences", "{sentences}", "--expect", "exact"), "for its own facts"),
    (("{out}", "--config", "{config}", "--expect", "exact"), "for its own facts"),
    (("{out}", "--expect", "many"), "neither exact nor a number"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_what_cannot_be_audited_is_refused_with_exit_code_2(request_for, tmp_path, arguments, message):
    request = request_for()
    (tmp_path / "sentences.txt").write_text("a b c")
    names = {
        "tokenizer": request.tokenizer, "sentences": tmp_path / "sentences.txt", "config": request.config,
        "out": tmp_path / "out",
    }  # fmt: skip
    if "{out}" in arguments:
        write_dataset(request, tmp_path / "out")
    code, _, errors = run("audit", *(argument.format(**names) for argument in arguments))
    assert code == 2
    assert message in errors


@pytest.mark.parametrize("option", ["--sentences", "--config"])
def test_other_things_than_the_manifests_facts_are_counted_without_a_plan(request_for, tmp_path, option):
    request = request_for()
    write_dataset(request, tmp_path / "out")
    (tmp_path / "sentences.txt").write_text("Nobody was born in Nowhere.")
    places = {"--sentences": tmp_path / "sentences.txt", "--config": request.config}
    code, out, _ = run("audit", tmp_path / "out", option, places[option], "--json")
    report = json.loads(out)
    assert (code, report["requested"]) == (0, None)
    assert report["summary"]["mean"] == {"--sentences": 0, "--config": 6}[option]
