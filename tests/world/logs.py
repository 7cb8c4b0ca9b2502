"""Run logs that a test finds in its folder."""

from kis_plugin.testing.adapters import run_files, run_log

log_of = run_log

__all__ = ["log_of", "run_files"]
