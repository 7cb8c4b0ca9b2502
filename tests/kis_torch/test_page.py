"""The loop that docs/how-to/pytorch.md shows is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import torch
import yaml

from kis_plugin.run.log import read_run_log
from tests.world.data import BareRows
from tests.world.facts import kis
from tests.world.models import make_model
from tests.world.tokenizers import make_tokenizer

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "pytorch.md"


def test_the_loop_of_the_page_infuses_and_logs(tmp_path, monkeypatch):
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert len(code.splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kis.yaml").write_text(yaml.safe_dump(kis(tmp_path, frequency=3)))
    model, tokenizer = make_model(), make_tokenizer()
    optimizer = torch.optim.AdamW(model.parameters())
    exec(
        compile(code, str(PAGE), "exec"),
        {"model": model, "tokenizer": tokenizer, "optimizer": optimizer, "rows": BareRows(80, tokenizer)},
    )
    (log,) = [read_run_log(path) for path in (tmp_path / "runs").glob("*/kis.jsonl")]
    assert log.end.status == "completed"
    assert log.end.achieved_frequency == {"min": 3, "max": 3, "mean": 3}
