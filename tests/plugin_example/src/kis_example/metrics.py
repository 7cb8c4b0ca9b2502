"""Measurements to a small table beside the run log."""

from kis_plugin import hookimpl


class StepTable:
    """One run's table ``retention.tsv``. Built with the run, gone with it."""

    def __init__(self, run):
        self.path = run.folder / "retention.tsv"

    @hookimpl
    def kis_metrics(self, run, records):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as table:
            for record in records:
                if record.type == "retention":
                    table.write(f"{record.step}\t{record.probe}\t{record.accuracy}\n")
