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
    assert len(re.findall(r"^# \d+\.\d s\r$", text, re.M)) == 2


def test_a_command_that_fails_ends_the_recording(tmp_path):
    with pytest.raises(SystemExit, match=r"kis check no.yaml: exit code 2"):
        list(doc_session.output_of("kis check no.yaml", tmp_path))
