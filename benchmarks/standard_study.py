"""The standard study on 30 intents of BANKING77 with 300 training rows: from Start to its verdict.

KaSA, LoRA, the frozen base and TF-IDF; three learning rates, three seeds, six epochs; through the studio's own queue
and worker processes, as a person would start it.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from banking77 import ARMS, wait_for, write_data
from common import conditions, shared


def main() -> None:
    """Run the study and print its verdict and its seconds."""
    data = shared("data/banking77")
    with tempfile.TemporaryDirectory() as home:
        os.environ["KASA_HOME"] = home
        from kasa.arms import Arm
        from kasa.dataspec import DataSpec
        from kasa.report.headline import headline
        from kasa.runs.local import ensure_dispatcher
        from kasa.runs.store import Store
        from kasa.study import Protocol, Study
        from kasa.text import translator
        from kasa.verdict.evidence import gather

        store, file = Store(), Path(home) / "banking77.csv"
        write_data(data, file, 0)
        study = Study(
            title="BANKING77, standard",
            model="embedded",
            data=DataSpec(str(file), "text", "intent", "part", fixes=("duplicate",)),
            arms=tuple(Arm(method) for method in ARMS),
            protocol=Protocol("standard"),
        )
        began = time.perf_counter()
        study_id = store.create_study(study)
        store.start_study(study_id)
        wait_for(store, study_id, ensure_dispatcher)
        evidence = gather(store, study_id)
        spent = time.perf_counter() - began
    for arm in evidence.summaries:
        value, seconds = arm.metrics["accuracy"].mean, arm.total_seconds
        print(f"{arm.arm:12} accuracy {value:.4f}, {seconds:.0f} s a run, {arm.num_seeds} seeds")
    print(headline(evidence, translator("en")).sentences[0])
    print(f"{spent / 60:.1f} minutes from Start to the verdict (bar 8)")
    print(conditions("torch", "transformers", "peft", "scikit-learn"))


if __name__ == "__main__":
    main()
