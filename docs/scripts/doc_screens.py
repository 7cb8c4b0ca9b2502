"""Draw the screens that pages show, from the logs of a study that ship: what a terminal of 80 columns has, as SVG.

python docs/scripts/doc_screens.py             # write them to docs/images
python docs/scripts/doc_screens.py --check     # say which are out of date; exit code 1 if any
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters"), str(ROOT / "predictor")]
IMAGES = ROOT / "docs" / "images"
LOGS = ROOT / "studies" / "law" / "logs.tar.xz"
ONE = "N992K-L5-d112-D2.25M-F97-seed0"

SEVERAL = tuple(f"N992K-L5-d112-D2.25M-F{frequency}-seed0" for frequency in (30, 60, 97, 250, 402))


@contextmanager
def unpacked(names: tuple[str, ...]) -> Iterator[None]:
    """Work in a folder with ``runs/NAME`` of some runs of the study."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name, tarfile.open(LOGS) as archive:
        for member in archive:
            parts = Path(member.name).parts
            if member.isfile() and parts[:1] == ("held_out",) and parts[1] in names:
                target = Path(name, "runs", parts[1], parts[-1])
                target.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(member)
                assert content is not None
                target.write_bytes(content.read())
        os.chdir(name)
        try:
            yield
        finally:
            os.chdir(before)


def screen(name: str, title: str, fill: Callable[..., None]) -> str:
    """Return what ``fill`` prints on a console of 80 columns, as SVG."""
    from kis_plugin.storage.terminal import safe_console

    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        out = safe_console(
            file=nowhere, record=True, width=80, force_terminal=True, markup=False, highlight=False, emoji=False
        )
        fill(out)
    return out.export_svg(title=title, unique_id=name)


def run_summary() -> str:
    """Return what a run prints while it trains and at its end."""
    from kis_plugin.run.log import LOG_NAME, read_run_log
    from kis_plugin.summary.history import history_of
    from kis_plugin.summary.texts import EvaluationTable, summary_lines

    history = history_of(read_run_log(Path("runs", ONE, LOG_NAME)))
    rows = EvaluationTable()

    def fill(out: object) -> None:
        lines = [f"kis: {line}" for one in history.evaluations for line in rows.lines(history, one)]
        first, *rest = summary_lines(history, f"kis show runs/{ONE}")
        for line in [*lines, "", f"kis: {first}", *rest]:
            out.print(line)  # type: ignore[attr-defined]

    return screen("run-summary", "python train.py", fill)


def shown(name: str, *places: str) -> str:
    """Return what ``kis show`` prints."""
    from kis_plugin.summary.places import histories_at
    from kis_plugin.summary.terminal import show_runs

    histories = histories_at([Path(place) for place in places], lambda line: None)
    following = f"kis show {places[0]} --html run{'s' if len(histories) > 1 else ''}.html"
    return screen(name, f"kis show {' '.join(places)}", lambda out: show_runs(histories, out, following))


def sweep_table() -> str:
    """Return the table of a sweep in the middle of its runs."""
    from dataclasses import replace

    from kis_plugin.run.log import LOG_NAME, read_run_log
    from kis_sweep.folder import State
    from kis_sweep.progress.course import Course
    from kis_sweep.progress.table import live_table
    from kis_sweep.run_spec import Recipe, Shape, SweepRun

    shape = Shape(layers=5, width=112, heads=7, key_heads=7, feed_forward=304, vocabulary=2048, tied=True)
    recipe = Recipe(
        steps=2200, batch=4, sequence_length=256, learning_rate=0.004, least_rate=0.1, warmup=0.05, weight_decay=0.1,
        clip=1.0, precision="32", compile=False, saves=4, keep_model=False, seed=0,
    )  # fmt: skip
    courses = []
    for name, state, step, elapsed in zip(
        SEVERAL,
        ("finished", "failed", "running", "interrupted", "waiting"),
        (2200, 440, 1760, 880, 0),
        (372.0, 81.0, 301.0, 150.0, None),
        strict=True,
    ):
        log = read_run_log(Path("runs", name, LOG_NAME))
        log = replace(log, retention=tuple(record for record in log.retention if record.step <= step))
        run = SweepRun(Path("sweep"), name, "hf", log.run.frequency, shape, recipe)
        courses.append(Course(State(run, state, None if state == "waiting" else log), step, elapsed))
    return screen(
        "sweep-table", "kis sweep run sweep/", lambda out: out.print(live_table(courses, {}, [], 24, at_once=2))
    )


MIXED, TIMES, BLOCK = 12, 8, 64
"""Sentences that are mixed in by hand, how often each, and tokens of a row."""


def hand_mixed() -> str:
    """Return what ``kis audit`` prints of rows mixed as people do: documents shuffled, joined and cut into rows."""
    import numpy as np

    from kis_plugin.starter.facts import sample_facts
    from kis_plugin.storage.shipped_data import sample_text
    from kis_plugin.tokenized.load_tokenizer import load_tokenizer
    from kis_sweep.base_data import END, byte_level
    from kis_write.audit import audit_rows, sought_of_sentences
    from kis_write.audit_command import show_report
    from kis_write.readers import batches_of_loader

    text, facts = sample_text(100_000), sample_facts().knowledge.facts[:MIXED]
    sentences = [f"{fact.subject} was born in {fact.object}." for fact in facts]
    folder = Path("tokenizer")
    folder.mkdir()
    byte_level([text], 1024, END).save(str(folder / "tokenizer.json"))
    about = {"eos_token": END, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    tokenizer = load_tokenizer(str(folder))
    documents = [*text.split("\n\n"), *sentences * TIMES]
    documents = [documents[place] for place in np.random.default_rng(0).permutation(len(documents))]
    tokens = np.concatenate([[*encoded.ids, tokenizer.eos] for encoded in tokenizer.encode(documents)])
    tokens[: len(tokens) // BLOCK * BLOCK].astype(np.uint16).tofile("train.bin")
    Path("mine.py").write_text(
        "import numpy as np\n\n\ndef batches():\n"
        f"    yield np.fromfile('train.bin', dtype=np.uint16).reshape(-1, {BLOCK})\n",
        encoding="utf-8",
    )
    report = audit_rows(sought_of_sentences(sentences, tokenizer), batches_of_loader("mine.py:batches"), float(TIMES))
    title = f"kis audit --loader mine.py:batches --tokenizer tokenizer --sentences mixed-in.txt --expect {TIMES}"
    return screen("audit-by-hand", title, lambda out: show_report(report, out))


def screens() -> dict[str, str]:
    """Return each picture by its file's name."""
    with unpacked(()):
        by_hand = {"audit-by-hand.svg": hand_mixed()}
    with unpacked((ONE,)):
        found = {"run-summary.svg": run_summary(), "show-run.svg": shown("show-run", f"runs/{ONE}")}
    with unpacked(SEVERAL):
        found |= {"show-compare.svg": shown("show-compare", "runs/"), "sweep-table.svg": sweep_table()}
    return found | by_hand


def main() -> None:
    """Write the pictures, or compare them."""
    os.environ["FORCE_COLOR"] = "1"  # plotille draws without colours where there is no terminal
    different = [
        name
        for name, text in screens().items()
        if not (IMAGES / name).is_file() or (IMAGES / name).read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        for name in different:
            print(f"docs/images/{name} is out of date: run python docs/scripts/doc_screens.py")
        sys.exit(1 if different else 0)
    for name, text in screens().items():
        if name in different:
            (IMAGES / name).write_text(text, encoding="utf-8")
            print(f"wrote docs/images/{name}")


if __name__ == "__main__":
    main()
