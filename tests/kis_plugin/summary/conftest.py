from __future__ import annotations

from pathlib import Path

import pytest

from tests.world.run_logs import RISES, write_log


@pytest.fixture
def rising(tmp_path) -> Path:
    """A run that retained, with general loss."""
    return write_log(tmp_path / "runs" / "rising", RISES, losses=[4.0, 3.2, 3.1])
