"""``python -m benchmarks large_logs`` reads what it wrote, whatever its size and compression."""

from __future__ import annotations

from benchmarks import large_logs


def test_every_form_of_a_log_is_read_to_its_last_record(capsys):
    assert large_logs.main(["--gigabytes", "0.002"]) == 0
    out = capsys.readouterr().out
    for name in ("kis.jsonl ", "kis.jsonl.gz", "kis.jsonl.xz"):
        assert name in out
