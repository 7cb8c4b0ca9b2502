"""A recorded session is asciicast v2, with every command of the page, what it printed and how long it took."""

from __future__ import annotations

import json
import re
import sys

import doc_session
import pytest


def test_a_page_is_recorded_with_times(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ kis synth people --count 10 -o facts\n$ cd facts\n$ kis check kis.yaml\n```\n")
    monkeypatch.setattr(sys, "argv", ["doc_session.py", str(page), str(tmp_path / "out.cast")])
    doc_session.main()
    header, *events = map(json.loads, (tmp_path / "out.cast").read_text(encoding="utf-8").splitlines())
    assert (header["version"], header["width"]) == (2, 80)
    times = [at for at, kind, _ in events]
    assert times == sorted(times)
    assert {kind for _, kind, _ in events} == {"o"}
    text = "".join(piece for _, _, piece in events)
    for command in ("kis synth people --count 10 -o facts", "cd facts", "kis check kis.yaml"):
        assert f"$ {command}\r\n" in text
    assert "60 facts about 10 people in facts" in text
    assert "kis.yaml is right." in text
    assert len(re.findall(r"^# \d+\.\d s, \d+\.\d s of CPU\r$", text, re.M)) == 2


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("a 1%\ra 2%\ra 3%\r\nnext\r\nb\rc", "\ra 3%\r\nnext\r\n\rc"),
        ("whole\r\r\nbar 5%\r", "whole\r\nbar 5%\r"),
        (f"{doc_session.ROOT}/text.txt, {doc_session.Path.home()}/x", "kis/text.txt, ~/x"),
    ],
)
def test_what_is_overwritten_and_places_of_the_machine_are_left_out(printed, shown):
    assert doc_session._shown(printed) == shown


def test_a_character_that_is_cut_between_two_pieces_comes_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(doc_session, "_PIECE", 1)
    monkeypatch.setattr(doc_session, "_INTERVAL", 0.0)
    (tmp_path / "say.py").write_text("print('─·é')")
    assert "".join(doc_session.output_of("python say.py", tmp_path)).startswith("─·é\r\n# ")


@pytest.mark.parametrize("words", [[], ["page.md"], ["page.md", "other.cast"]])
def test_a_page_is_recorded_beside_itself_unless_a_file_is_named(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```console\n$ kis --version\n```\n")
    monkeypatch.setattr(doc_session, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["doc_session.py", *words])
    doc_session.main()
    assert {path.name for path in tmp_path.glob("*.cast")} == {words[1] if len(words) > 1 else "page.cast"}


def test_the_recording_of_the_tutorial_has_its_commands():
    """They are those that the page has now; how long each took is in the recording."""
    page = doc_session.PAGE
    _, *events = map(json.loads, page.with_suffix(".cast").read_text(encoding="utf-8").splitlines())
    text = "".join(piece for _, _, piece in events)
    shown = re.findall(r"^\$ (.*)\r$", text, re.M)
    assert shown == [command for command, _ in doc_session.commands(page)]
    assert len(re.findall(r"^# [\d.]+ s, [\d.]+ s of CPU\r$", text, re.M)) == len(shown) - 1  # cd takes no time
    assert "held-out ends at" in re.sub(r"\s+", " ", text)


def test_a_command_that_fails_ends_the_recording(tmp_path):
    with pytest.raises(SystemExit, match=r"kis check no.yaml: exit code 2"):
        list(doc_session.output_of("kis check no.yaml", tmp_path))
