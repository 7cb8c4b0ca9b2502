"""The run log: what a training run writes, line by line, and what ``kis-predict`` reads.

``runs/<run id>/kis.jsonl`` is UTF-8, one JSON object a line, append-only, flushed line by line. Anyone's training
loop can write it. Records a reader does not know are skipped, keys it does not know are kept in ``extra``.
"""

from kis_plugin.run.log_files.lines import LogLines, is_plain, parse_line
from kis_plugin.run.log_files.parse import parse_record
from kis_plugin.run.log_files.reader import (
    DamagedLogError,
    EmptyLogError,
    RunLog,
    newer_schema,
    read_course,
    read_run_log,
)
from kis_plugin.run.log_files.records import (
    GENERAL,
    RECORDS,
    SCHEMA,
    End,
    Guard,
    Loss,
    Record,
    Retention,
    Run,
    Status,
    TrainingRecipe,
    is_split,
)
from kis_plugin.run.log_files.writer import LOG_NAME, RunLogWriter, has_begun

__all__ = [
    "GENERAL", "LOG_NAME", "RECORDS", "SCHEMA", "DamagedLogError", "EmptyLogError", "End", "Guard", "LogLines", "Loss",
    "Record", "Retention", "Run", "RunLog", "RunLogWriter", "Status", "TrainingRecipe", "has_begun", "is_plain",
    "is_split", "newer_schema", "parse_line", "parse_record", "read_course", "read_run_log",
]  # fmt: skip
