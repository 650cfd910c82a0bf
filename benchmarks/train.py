"""One tuning run of the studio against the script that people write first, on the same rows.

The plain script: `AutoModelForSequenceClassification` + PEFT LoRA (r = 8, query and value, classifier trained) +
`Trainer` in fp32, batches of 16 padded to their longest row, learning rate 5e-3, 8 epochs. The studio: the model's own
pooling, the head from the linear probe, rows of similar length in a batch, bf16 where this processor is faster in it.
BANKING77, first 30 intents, 300 training and 90 validation rows, the embedded model. Every part runs in a process of
its own, one after another, `--repeats` times; ratios are of medians. Importing the libraries is not counted.

Where a step's time goes (profile of 38 LoRA steps in bf16): linear layers 37 %, drawing dropout's masks 20 % (the
CPU generator is serial: 1.5 ms for 92,000 values), copies between precisions 11 %. Masks of 16 bits an element take a
quarter of that: 17 % less training time, in turn with torch's own (12.7/10.5, 11.3/9.2, 10.3/8.9 s for 4 epochs).
With sleeping idle threads one thread is as fast as two (12.9 and 10.1 s against 12.8 and 11.4); two processes of one
thread each, side by side, take 14.0 and 12.4, 14.7 and 11.0.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from banking77 import write_data
from common import conditions, shared

PLAIN_RATE, PLAIN_EPOCHS = 5e-3, 8
STUDIO_RATE, STUDIO_EPOCHS = 3e-3, 6
BATCH = 16


def read(file: Path):  # noqa: ANN201
    """Return the rows of one draw as the studio divides them."""
    from kasa.data.read import read_table
    from kasa.data.split import prepare_rows
    from kasa.dataspec import DataSpec
    from kasa.study import Protocol
    from kasa.tuning.outcome import split_parts

    spec = DataSpec(str(file), "text", "intent", "part", fixes=("conflicting_labels", "duplicate"))
    return split_parts(prepare_rows(read_table(file), spec, Protocol()).rows)


def plain(parts) -> dict:  # noqa: ANN001
    """Train as the plain script does and validate after every epoch."""
    import numpy as np
    import peft
    import torch
    import transformers as hf
    from datasets import Dataset

    from kasa.model.source import resolve_model

    folder = resolve_model("embedded").folder
    began = time.perf_counter()
    hf.set_seed(0)
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    model = hf.AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(parts.labels)
    )
    config = peft.LoraConfig(
        task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=["query", "value"]
    )
    model = peft.get_peft_model(model, config)
    rows = {
        name: Dataset.from_dict({"text": part.texts, "labels": part.labels}).map(
            lambda batch: tokenizer(batch["text"], truncation=True, max_length=128), batched=True
        )
        for name, part in (("train", parts.train), ("validation", parts.validation))
    }
    epochs: list[tuple[float, float]] = []  # seconds of training so far, validation accuracy

    class Clock(hf.TrainerCallback):
        aside = 0.0

        def on_epoch_end(self, args, state, control, **kwargs):  # noqa: ANN001, ANN003, ANN202, ARG002
            start = time.perf_counter()
            found = trainer.predict(rows["validation"]).predictions.argmax(1)
            model.train()
            right = float((found == np.array(parts.validation.labels)).mean())
            Clock.aside += time.perf_counter() - start
            epochs.append((time.perf_counter() - began - Clock.aside, right))

    with tempfile.TemporaryDirectory() as out:
        trainer = hf.Trainer(
            model=model,
            args=hf.TrainingArguments(
                out,
                learning_rate=PLAIN_RATE,
                num_train_epochs=PLAIN_EPOCHS,
                per_device_train_batch_size=BATCH,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
                seed=0,
                use_cpu=not torch.cuda.is_available(),
            ),
            train_dataset=rows["train"].remove_columns("text"),
            data_collator=hf.DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
            callbacks=[Clock()],
        )
        rows["validation"] = rows["validation"].remove_columns("text")
        trainer.train()
    return {"epochs": epochs, "seconds_per_epoch": _per_epoch(epochs)}


def studio(parts, method: str) -> dict:  # noqa: ANN001
    """Train one arm as a run of the studio does, with its validation after every epoch."""
    from kasa.arms import Arm
    from kasa.model.source import resolve_model
    from kasa.study import Protocol
    from kasa.tuning.measure import choose_precision, peak_memory_bytes, precision_file
    from kasa.tuning.tasks import task_for
    from kasa.tuning.train import quiet_transformers
    from kasa.tuning.trial import Tuning

    source = resolve_model("embedded")
    quiet_transformers()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "runs" / "one"
        folder.mkdir(parents=True)
        precision = choose_precision(precision_file(folder))
        protocol = Protocol("standard", epochs=STUDIO_EPOCHS, batch_size=BATCH)
        began = time.perf_counter()
        task = task_for(source, parts, protocol)
        task.prepare()
        probed = (time.perf_counter() - began, task.probe.validation["accuracy"])
        tuning = Tuning(task, Arm(method), 0, folder, precision)
        steps: list[float] = []
        last = None

        def report(_done: float, _total: float, **info) -> None:  # noqa: ANN003
            nonlocal last
            now = time.perf_counter()
            if "loss" in info and last is not None:
                steps.append(now - last)
            last = None if "validation" in info else now

        _, trial = tuning.trial(STUDIO_RATE, report)
    start = probed[0] + trial.record["prepare_seconds"]
    per_epoch = trial.record["train_seconds"] / STUDIO_EPOCHS
    curve = trial.record["validation_curve"]
    epochs = [probed] + [(start + (i + 1) * per_epoch, p["accuracy"]) for i, p in enumerate(curve)]
    return {
        "epochs": epochs,
        "seconds_per_epoch": per_epoch,
        "step_seconds": statistics.median(steps),
        "peak_memory_bytes": peak_memory_bytes(),
        "precision": precision.name,
    }


def _per_epoch(epochs: list[tuple[float, float]]) -> float:
    return (epochs[-1][0] - epochs[0][0]) / (len(epochs) - 1)


def reached(epochs: list[tuple[float, float]], accuracy: float) -> float:
    """Return the seconds after which the validation accuracy was first reached; inf if never."""
    return next((seconds for seconds, value in epochs if value >= accuracy), float("inf"))


def main() -> None:
    """Run every part in a process of its own and print times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("plain", "lora", "kasa"))
    parser.add_argument("--file", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.part:
        parts = read(options.file)
        found = plain(parts) if options.part == "plain" else studio(parts, options.part)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.csv"
        write_data(shared("data/banking77"), file, 0)
        results: dict[str, list[dict]] = {"plain": [], "lora": [], "kasa": []}
        for _ in range(options.repeats):
            for part, found in results.items():
                command = [sys.executable, __file__, "--part", part, "--file", str(file)]
                answer = subprocess.run(command, capture_output=True, text=True, check=True)
                found.append(json.loads(answer.stdout.splitlines()[-1]))
    show(results)
    print(conditions("torch", "transformers", "peft"))


def show(results: dict[str, list[dict]]) -> None:
    """Print the medians and what the bars ask for."""
    goal = statistics.median(run["epochs"][-1][1] for run in results["plain"])
    print(
        "| part | validation accuracy at the end | s to the plain script's | s an epoch | s a step | peak memory |"
    )
    print("|---|---|---|---|---|---|")
    medians: dict[str, dict[str, float]] = {}
    for part, runs in results.items():
        own = {
            "end": statistics.median(run["epochs"][-1][1] for run in runs),
            "reached": statistics.median(reached(run["epochs"], goal) for run in runs),
            "epoch": statistics.median(run["seconds_per_epoch"] for run in runs),
            "step": statistics.median(run.get("step_seconds", 0.0) for run in runs),
            "memory": statistics.median(run.get("peak_memory_bytes", 0) for run in runs),
        }
        medians[part] = own
        print(
            f"| {part} | {own['end']:.3f} | {own['reached']:.1f} | {own['epoch']:.2f} |"
            f" {own['step']:.3f} | {own['memory'] / 1e6:.0f} MB |"
        )
    script, lora, kasa = (medians[part] for part in ("plain", "lora", "kasa"))
    print(f"precision of the studio: {results['lora'][0]['precision']}")
    print(
        f"to the plain script's accuracy: {script['reached'] / lora['reached']:.1f} times fewer seconds (bar 3)"
    )
    print(f"an epoch: {script['epoch'] / lora['epoch']:.2f} times fewer seconds (bar 1.5)")
    print(f"KaSA's step ÷ LoRA's: {kasa['step'] / lora['step']:.3f} (bar 1.08)")
    print(f"KaSA's peak memory ÷ LoRA's: {kasa['memory'] / lora['memory']:.3f} (bar 1.03)")


if __name__ == "__main__":
    main()
