"""What KaSA is said to be good for, tested: few rows, wrong labels, too large a learning rate.

30 intents of BANKING77 with 300 training rows, the embedded model, KaSA and LoRA with r = 8, three seeds, through the
studio's own queue. First the learning curve (25, 50, 75, 100 % of the rows) and the noise curve (0, 10, 20, 30 % wrong
labels), two learning rates a run; then validation accuracy by learning rate up to thirty times the usual one.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from banking77 import wait_for, write_data
from common import conditions, shared

RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


def main() -> None:
    """Run both studies and print their tables and sentences."""
    data = shared("data/banking77")
    with tempfile.TemporaryDirectory() as home:
        os.environ["KASA_HOME"] = home
        from kasa.arms import Arm, curve_arms
        from kasa.dataspec import DataSpec
        from kasa.report.curves import curve_sentences, curves_table, sets_of
        from kasa.runs.local import ensure_dispatcher
        from kasa.runs.store import Store
        from kasa.study import Protocol, Study
        from kasa.text import translator
        from kasa.verdict.compare import runs_by_arm
        from kasa.verdict.evidence import Evidence, gather
        from kasa.verdict.robustness import rate_results

        store, file, words = Store(), Path(home) / "banking77.csv", translator("en")
        write_data(data, file, 0)

        def carried_out(title: str, arms: tuple[Arm, ...], rates: tuple[float, ...]) -> Evidence:
            study = Study(
                title=title,
                model="embedded",
                data=DataSpec(str(file), "text", "intent", "part", fixes=("duplicate",)),
                arms=arms,
                protocol=Protocol("standard", learning_rates=rates),
            )
            study_id = store.create_study(study)
            store.start_study(study_id)
            wait_for(store, study_id, ensure_dispatcher)
            return gather(store, study_id)

        pair = (Arm("kasa"), Arm("lora"))
        found = carried_out(
            "Curves", pair + curve_arms(pair, (0.25, 0.5, 0.75), (0.1, 0.2, 0.3)), (3e-3, 5e-3)
        )
        for curves in sets_of(found, "accuracy"):
            table = curves_table(found, words, curves)
            for row in (table.header, *table.rows):
                print("| " + " | ".join(row) + " |")
            print("\n".join(curve_sentences(found, words, curves)), flush=True)
        found = carried_out("Learning rates", pair, RATES)
        for arm, runs in runs_by_arm(found.finished).items():
            for result in rate_results(runs, "accuracy"):
                values = ", ".join(f"{value:.3f}" for value in result.values)
                print(
                    f"{arm:8} rate {result.learning_rate:g}: validation accuracy {result.mean:.3f} ({values})"
                )
    print(conditions("torch", "transformers", "peft", "scikit-learn"))


if __name__ == "__main__":
    main()
