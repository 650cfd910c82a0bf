"""LoRA against LoRA with other seeds on 30 intents of BANKING77: nothing may look like a difference.

LoRA is trained with six seeds on 300 rows (standard profile, the studio's own queue). Each of the ten ways to divide
the six into two sets of three is judged as if the sets were two methods. The luck of the seeds is printed beside: the
standard deviation of test accuracy beyond what the rows alone explain, which `benchmarks/verdicts.py` assumes.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from banking77 import wait_for, write_data
from common import conditions, shared

NUM_SEEDS, MARGIN = 6, 0.01


def main() -> None:
    """Train, divide, judge, and print the words and the luck."""
    data = shared("data/banking77")
    with tempfile.TemporaryDirectory() as home:
        os.environ["KASA_HOME"] = home
        from kasa.arms import Arm
        from kasa.dataspec import DataSpec
        from kasa.runs.local import ensure_dispatcher
        from kasa.runs.store import Store
        from kasa.study import Protocol, Study
        from kasa.verdict.compare import compare
        from kasa.verdict.estimate import of_arm
        from kasa.verdict.resample import replicates

        store, file = Store(), Path(home) / "banking77.csv"
        write_data(data, file, 0)
        study = Study(
            title="LoRA against LoRA",
            model="embedded",
            data=DataSpec(str(file), "text", "intent", "part", fixes=("duplicate",)),
            arms=(Arm("lora"),),
            protocol=Protocol("standard", seeds=tuple(range(NUM_SEEDS))),
        )
        study_id = store.create_study(study)
        store.start_study(study_id)
        wait_for(store, study_id, ensure_dispatcher)
        runs = store.finished_runs(study_id)
    print("accuracy by seed:", " ".join(f"{run.metrics['accuracy']:.4f}" for run in runs))
    words: Counter[str] = Counter()
    for chosen in combinations(range(1, NUM_SEEDS), NUM_SEEDS // 2 - 1):
        own = {0, *chosen}
        first = [run for place, run in enumerate(runs) if place in own]
        second = [run for place, run in enumerate(runs) if place not in own]
        sets = [
            [replace(run, seed=seed) for seed, run in enumerate(part)] for part in (first, second)
        ]
        for metric in ("accuracy", "macro_f1"):
            found = compare(*sets, metric, MARGIN)
            low, high = (100 * end for end in found.interval)
            print(
                f"{metric:9} {100 * found.difference:+.2f} points ({low:+.2f} to {high:+.2f}): {found.verdict}"
            )
            words[found.verdict] += 1
    print("verdicts:", dict(words))
    found = of_arm(replicates({"lora": runs}, "accuracy")["lora"])
    luck = np.sqrt(found.seed_variance * NUM_SEEDS)
    print(f"luck of a seed: {100 * luck:.2f} points of accuracy")
    print(conditions("torch", "transformers", "peft"))


if __name__ == "__main__":
    main()
