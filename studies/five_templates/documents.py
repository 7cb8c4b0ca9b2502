"""Write the facts of the study as documents, and their held-out sentences as questions.

    python -m studies.five_templates.documents

A document states one fact in its first five sentences, as the runs of the study do one at a time; so a document that is
shown F / 5 times gives its fact F exposures. A question is one of the ten sentences that no run trains on, up to the
object; facts of one relation are each other's options.
"""

from __future__ import annotations

import json
from pathlib import Path

import yaml

HERE = Path(__file__).parent
TOLD, SENTENCES = 500, 5
"""Facts, as many as a run of the study infuses; sentences of a document."""


def main() -> None:
    """Write ``documents.jsonl`` and ``questions.jsonl``."""
    lines = (HERE / "facts.jsonl").read_text(encoding="utf-8").splitlines()[:TOLD]
    templates = yaml.safe_load((HERE / "templates.yaml").read_text(encoding="utf-8"))
    documents, questions = [], []
    for number, line in enumerate(lines):
        fact = json.loads(line)
        statements = templates[fact["relation"]]["statements"]
        said = [text.format(subject=fact["subject"], object=fact["object"]) for text in statements[:SENTENCES]]
        documents.append({"text": " ".join(said), "id": fact["id"]})
        held_out = statements[len(statements) // 2 :]
        probed = held_out[number % len(held_out)].format(subject=fact["subject"], object="\0").partition(" \0")[0]
        questions.append({"question": probed, "answer": fact["object"], "topic": fact["relation"]})
    for name, records in (("documents", documents), ("questions", questions)):
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        (HERE / "arms" / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
