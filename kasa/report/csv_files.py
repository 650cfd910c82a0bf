"""The study's numbers as CSV files that Excel reads rightly and that cannot run formulas."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kasa.report.fit import UNFIT
from kasa.verdict.costs import run_cost
from kasa.verdict.evidence import Evidence
from kasa.verdict.facts import RUN_COSTS, verdict_facts

# Excel in Japanese reads the full-width ones as the others.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_files(evidence: Evidence) -> dict[str, bytes]:
    """Return file name -> content; the byte order mark tells Excel that it is UTF-8."""
    tables = {
        "runs.csv": _runs(evidence),
        "arms.csv": _arms(evidence),
        "verdicts.csv": _verdicts(evidence),
        "predictions.csv": _predictions(evidence),
    }
    return {name: _content(table) for name, table in tables.items()}


def _content(table: pd.DataFrame) -> bytes:
    safe = table.rename(columns=neutral).map(neutral)
    return safe.to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig")


def neutral(cell: Any) -> Any:
    """Return a cell that a spreadsheet takes as text, never as a formula.

    What could hide the formula's first letter, or turn the cells after it around, is left out.
    """
    if not isinstance(cell, str):
        return cell
    words = UNFIT.sub("", cell)
    return f"'{words}" if words.startswith(FORMULA_STARTS) else words


def _runs(evidence: Evidence) -> pd.DataFrame:
    measured, rows = {run.id: run for run in evidence.all_finished}, []
    for run in evidence.runs:
        row: dict[str, Any] = {
            "run": run.id,
            "arm": run.arm,
            "method": run.method,
            "seed": run.seed,
            "status": run.status,
        }
        done = measured.get(run.id)
        if done:
            row |= {f"test_{name}": value for name, value in done.metrics.items()}
            row |= {f"validation_{name}": value for name, value in done.validation.items()}
            row |= {f"selected_{name}": value for name, value in done.selected.items()}
            row |= {name: getattr(done, name) for name in RUN_COSTS}
            row["model_sha256"] = done.conditions.get("model_sha256")
            row["data_sha256"] = done.conditions.get("data_sha256")
        row["error"] = run.error.message("en") if run.error else None
        rows.append(row)
    return pd.DataFrame(rows, dtype=object)


def _arms(evidence: Evidence) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for arm in evidence.summaries:
        row: dict[str, Any] = {
            "arm": arm.arm,
            "method": arm.method,
            "num_seeds": arm.num_seeds,
            "runs": " ".join(arm.run_ids),
        }
        for name, metric in arm.metrics.items():
            row |= {f"{name}_{what}": getattr(metric, what) for what in ("mean", "min", "max")}
        row |= {
            name: getattr(arm, name)
            for name in (
                "prepare_seconds",
                "train_seconds",
                "total_seconds",
                "baseline_memory_bytes",
                "peak_memory_bytes",
                "num_trainable_params",
                "num_total_params",
            )
        }
        row["money"] = run_cost(arm.total_seconds, evidence.study)
        row["currency"] = evidence.study.prices.currency
        rows.append(row)
    return pd.DataFrame(rows, dtype=object)


def _verdicts(evidence: Evidence) -> pd.DataFrame:
    rows = []
    for verdict in evidence.verdicts:
        row = verdict_facts(verdict)
        row["interval_low"], row["interval_high"] = row.pop("interval")
        row["mcnemar"] = " ".join(f"{chance:.4g}" for chance in verdict.mcnemar)
        rows.append(row | {"runs": " ".join(row.pop("run_ids"))})
    return pd.DataFrame(rows, dtype=object)


def _predictions(evidence: Evidence) -> pd.DataFrame:
    names = ["run", "arm", "seed", "row", "label", "predicted"]
    frames = [
        run.predictions.assign(run=run.id, arm=run.arm, seed=run.seed)
        for run in evidence.all_finished
    ]
    if not frames:
        return pd.DataFrame(columns=[*names, "confidence"])
    found = pd.concat(frames, ignore_index=True)
    return found[[*names, *(name for name in found.columns if name not in names)]]
