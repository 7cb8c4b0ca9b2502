"""URLs that read what their content names, from anywhere, or unpack without bounds are refused by every command."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from kis_plugin.cli.main import main
from kis_predict.cli import main as predict

pytest.importorskip("fsspec")

FORMS = [
    "reference://",
    "reference::file:///etc/passwd",
    "zip://kis.jsonl::http://127.0.0.1:9/a.zip",
    "zip:///etc/passwd",
    "tar://kis.jsonl::memory://a.tar",
    "simplecache::http://127.0.0.1:9/kis.jsonl",
    "filecache::memory://runs",
    "blockcache::memory://runs",
    "cached://memory/runs",
    "dir::memory://runs",
    "dir://runs",
    "libarchive://a.7z",
    "generic://runs",
    "data:text/plain;base64,e30=::memory://runs",
    "async_wrapper::memory://runs",
    "asyncwrapper://runs",
    "dask://runs",
    "ZIP://a.zip",
    "Reference://x",
    "SimpleCache::memory://runs",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_chained_or_wrapping_url_is_refused_before_anything_is_fetched(tmp_path, monkeypatch, capsys, form):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda *args, **keys: pytest.fail("something was opened"))
    (tmp_path / "facts.jsonl").write_text(json.dumps({"subject": "Ada", "relation": "P19", "object": "Rome"}) + "\n")
    done = CliRunner().invoke(main, ["count", "facts.jsonl", form, "-o", "out"])
    assert done.exit_code == 2
    assert "a chained or wrapping URL" in done.stderr
    assert predict(["--logs", form, "--target", "7B", "--tokens", "1B"]) == 2
    assert "a chained or wrapping URL" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["facts.jsonl"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/runs/kis.jsonl", "file:///absent/kis.jsonl"])
def test_a_url_that_cannot_be_read_ends_with_its_name(tmp_path, monkeypatch, capsys, url):
    monkeypatch.chdir(tmp_path)
    assert predict(["--logs", url, "--target", "7B", "--tokens", "1B"]) == 2
    said = capsys.readouterr().err
    assert url in said
    assert "Traceback" not in said
