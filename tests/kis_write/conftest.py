"""A tokenizer, facts and a base text, on the disk as ``kis write`` takes them."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from kis_write import WriteRequest
from tests.world.facts import WORDS, kis
from tests.world.tokenizers import make_tokenizer


def write_world(folder: Path, **keys: Any) -> WriteRequest:
    """Write a tokenizer, a kis.yaml with its facts and a base text; return a request for 200 rows of 64 tokens."""
    make_tokenizer().save_pretrained(folder / "tokenizer")
    config = json.loads(json.dumps(kis(folder, frequency=keys.pop("frequency", 6), **keys)))
    (folder / "kis.yaml").write_text(yaml.safe_dump(config))
    draw = random.Random(0)
    documents = [" ".join(draw.choice(WORDS) for _ in range(70)) for _ in range(120)]
    (folder / "base.txt").write_text("\f".join(documents))
    return WriteRequest(
        folder / "kis.yaml", str(folder / "tokenizer"), 64, (folder / "base.txt",), "datatrove", "whole", 200
    )


@pytest.fixture
def request_for(tmp_path):
    """Make a request, with keys of ``WriteRequest`` changed and others for the configuration."""

    def make(config: dict[str, Any] | None = None, **changed: Any) -> WriteRequest:
        return replace(write_world(tmp_path, **(config or {})), **changed)

    return make
