"""What the estimate foretold against what the runs took, over several configurations.

For every configuration the studio's own estimate (a probe in a worker process), then the study itself; one line an
arm. Time is the runs' total seconds beside the estimate's, memory the peak. The bars are 25 % and 15 %.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from banking77 import wait_for, write_data
from common import ROOT, conditions, shared


def configurations(folder: Path):  # noqa: ANN201
    """Return named studies: methods, batch sizes, lengths, epochs, tasks and bases differ."""
    from kasa.arms import Arm
    from kasa.dataspec import DataSpec
    from kasa.study import Protocol, Study

    file = folder / "banking77.csv"
    write_data(shared("data/banking77"), file, 0)
    banking = DataSpec(str(file), "text", "intent", "part", fixes=("duplicate",))
    orders = DataSpec(str(ROOT / "sample_data" / "work_orders_en.csv"), "text", "crew")
    short = Protocol("quick", epochs=2, learning_rates=(3e-3,))

    def study(data, protocol, *arms):  # noqa: ANN001, ANN002, ANN202
        return Study("estimate", "embedded", data, arms, protocol)

    return {
        "banking, LoRA": study(banking, short, Arm("lora")),
        "banking, KaSA": study(banking, short, Arm("kasa")),
        "banking, batch 4": study(banking, replace(short, batch_size=4), Arm("lora")),
        "banking, batch 64": study(banking, replace(short, batch_size=64), Arm("lora")),
        "banking, baselines": study(banking, short, Arm("frozen_head"), Arm("tfidf")),
        "banking, two rates": study(
            banking, replace(short, learning_rates=(1e-3, 3e-3)), Arm("lora")
        ),
        "orders, LoRA": study(orders, short, Arm("lora")),
        "orders, six epochs": study(orders, replace(short, epochs=6), Arm("kasa")),
        "orders, full": study(orders, short, Arm("full")),
        "orders, every layer": study(
            orders, short, Arm("lora", 32, target_modules=("query", "key", "value", "dense"))
        ),
    }


def main() -> None:
    """Print a table of estimates and outcomes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["KASA_HOME"] = home
        from kasa.runs.local import ensure_dispatcher
        from kasa.runs.store import Store
        from kasa.tuning.estimate import extrapolate, probe_key
        from kasa.tuning.room import settled

        store = Store()
        print("| configuration | arm | estimated s | took s | off | estimated MB | took MB | off |")
        print("|---|---|---|---|---|---|---|---|")
        for name, open_study in configurations(Path(home)).items():
            study = settled(open_study)  # as every estimate and every start do
            probe = store.enqueue("estimate", {"study": study.to_dict()}, probe_key(study))
            while store.run(probe.id).active:
                ensure_dispatcher(store)
                time.sleep(1)  # waiting must not take a core from what is measured
            error = store.run(probe.id).error
            if error is not None:
                raise SystemExit(error.message("en"))
            foretold = {e.arm: e for e in extrapolate(study, store.result(probe.id)["measured"])}
            study_id = store.create_study(study)
            store.start_study(study_id)
            wait_for(store, study_id, ensure_dispatcher)
            for run in store.runs(study_id):
                done = next(each for each in store.finished_runs(study_id) if each.id == run.id)
                wall = (run.finished_at - run.started_at).total_seconds()
                wanted = foretold[run.arm]
                late = wanted.run_seconds / wall - 1
                heavy = wanted.peak_memory_bytes / done.peak_memory_bytes - 1
                print(
                    f"| {name} | {run.arm} | {wanted.run_seconds:.1f} | {wall:.1f} | {late:+.0%} |"
                    f" {wanted.peak_memory_bytes / 1e6:.0f} | {done.peak_memory_bytes / 1e6:.0f} | {heavy:+.0%} |",
                    flush=True,
                )
    print(conditions("torch", "transformers", "peft"))


if __name__ == "__main__":
    main()
