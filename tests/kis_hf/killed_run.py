"""One run that may be killed at any moment: every batch the model is given is on disk before it is trained on."""

import json
import sys
import time
from pathlib import Path

import torch

from tests.world.facts import kis
from tests.world.runs import WatchedTrainer, trainer_for
from tests.world.tokenizers import make_tokenizer


class WritingTrainer(WatchedTrainer):
    def compute_loss(self, model, inputs, *args, **kwargs):
        if model.training:
            self.wait()
            line = json.dumps({"step": self.state.global_step, "rows": inputs["input_ids"].tolist()})
            with (Path(self.args.output_dir).parent / "batches.jsonl").open("a") as file:
                file.write(line + "\n")
        return super().compute_loss(model, inputs, *args, **kwargs)

    def wait(self):
        """At the step that the file names, until it is gone: a quick run must not be over before it is killed."""
        hold = Path(self.args.output_dir).parent / "hold"
        while hold.exists() and self.state.global_step >= int(hold.read_text()):
            time.sleep(0.01)


def last_whole_checkpoint(folder: Path, out: Path) -> "str | None":
    """The kill may come in the middle of a save: the Trainer writes its state last, then KIS its counts."""
    steps = sorted(int(path.parent.name.split("-")[1]) for path in out.glob("checkpoint-*/trainer_state.json"))
    counted = [step for step in steps if list(folder.glob(f"runs/*/exposures-{step}.npz"))]
    return str(out / f"checkpoint-{counted[-1]}") if counted else None


def main() -> None:
    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    tokenizer = make_tokenizer()
    trainer = trainer_for(
        folder,
        kis(folder, **options.pop("kis", {})),
        tokenizer=tokenizer,
        save_strategy="steps",
        save_steps=3,
        **options,
    )
    trainer.__class__ = WritingTrainer
    out = Path(trainer.args.output_dir)
    last = last_whole_checkpoint(folder, out)
    with (folder / "batches.jsonl").open("a") as file:
        begun = json.loads((Path(last) / "trainer_state.json").read_text())["global_step"] if last else 0
        file.write(json.dumps({"begun": begun}) + "\n")
    trainer.train(resume_from_checkpoint=last)


if __name__ == "__main__":
    main()
