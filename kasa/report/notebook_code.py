"""The notebook's code cells: plain Python over kasa's own functions, with two places to fill in.

What people wrote (titles, labels, column names) is never put into code. Only `code_for` fills a
cell, and both values go through `json.dumps`.
"""

from __future__ import annotations

import json

SETUP = """\
import os
import sys

STUDY = <study>
STUDIO = ""
WORKSPACE = ""

if STUDIO:
    sys.path.insert(0, STUDIO)
if WORKSPACE:
    os.environ["KASA_HOME"] = WORKSPACE"""

LOAD = """\
import pandas as pd
import plotly.express as px

from kasa.report.labels import arm_labels
from kasa.report.plots import arm_names, differences, metric_dots
from kasa.report.sections import report_sections
from kasa.report.tradeoff import tradeoff
from kasa.report.tree import Charts
from kasa.runs.store import Store
from kasa.text import translator
from kasa.verdict.costs import run_cost
from kasa.verdict.evidence import gather
from kasa.verdict.facts import verdict_facts

pd.set_option("display.html.use_mathjax", False)
text = translator(<lang>)
store = Store()
evidence = gather(store, STUDY)
labels = arm_labels(evidence.study, text)
sections = {section.key: section for section in report_sections(evidence, text)}


def show_charts(key):
    for block in sections[key].blocks:
        if isinstance(block, Charts):
            for chart in block.charts:
                chart.figure.show()"""

ARMS = """\
rows = []
for arm in evidence.summaries:
    low, high = evidence.intervals[evidence.metric][arm.arm]
    rows.append(
        {
            "arm": labels[arm.arm],
            "seeds": arm.num_seeds,
            **{name: values.mean for name, values in arm.metrics.items()},
            "low": low,
            "high": high,
            "train_seconds": arm.train_seconds,
            "total_seconds": arm.total_seconds,
            "peak_memory_bytes": arm.peak_memory_bytes,
            "num_trainable_params": arm.num_trainable_params,
            "money": run_cost(arm.total_seconds, evidence.study),
        }
    )
arms = pd.DataFrame(rows).set_index("arm")
arms"""

DOTS = "metric_dots(evidence, text, evidence.metric).figure"

VERDICTS = """\
verdicts = pd.DataFrame([verdict_facts(verdict) for verdict in evidence.verdicts])
verdicts[["low", "high"]] = verdicts["interval"].to_list()
verdicts[["a", "b", "metric", "difference", "low", "high", "verdict", "num_seeds", "num_rows"]]"""

DIFFERENCES = "differences(evidence, text, evidence.metric).figure"
TRADEOFF = 'tradeoff(evidence, text, evidence.metric, "train_seconds").figure'
CHARTS = "show_charts(<key>)"
CONDITIONS = 'pd.Series(evidence.conditions, dtype=object).to_frame("value")'

PREDICTIONS = """\
predictions = pd.concat(
    [run.predictions.assign(arm=run.arm, seed=run.seed) for run in evidence.finished],
    ignore_index=True,
)
predictions.head(10)"""

CLASSES = """\
classes = pd.DataFrame(
    {
        labels[arm]: {name: share.mean for name, share in shares.items()}
        for arm, shares in evidence.classes.items()
    }
)
classes"""

LENGTH = """\
test = store.rows(STUDY).query("part == 'test'").set_index("row")
measured = predictions.assign(
    right=predictions["predicted"] == predictions["label"],
    length=pd.cut(predictions["row"].map(test["text"].str.len()), 4),
)
measured.groupby(["length", "arm"], observed=True)["right"].agg(["mean", "size"]).unstack("arm")"""

DISAGREEMENTS = "evidence.disagreements.rename(columns=labels).head(20)"

RATES = """\
names = arm_names(evidence, text)
rates = pd.DataFrame(
    [
        {
            "arm": names[run.arm],
            "seed": run.seed,
            "rate": trial["learning_rate"],
            "value": trial["validation"][evidence.metric],
        }
        for run in evidence.finished
        for trial in run.trials
        if "learning_rate" in trial
    ]
)
px.line(
    rates.groupby(["arm", "rate"], as_index=False)["value"].mean(),
    x="rate",
    y="value",
    color="arm",
    markers=True,
    log_x=True,
    labels={
        "arm": text("report.column.arm"),
        "rate": text("report.rate_axis"),
        "value": text(f"metrics.{evidence.metric}"),
    },
)"""

# What is drawn or computed again below a section's words: (sentence, cells).
BY_SECTION = {
    "arms": ("arms", (ARMS, DOTS)),
    "differences": ("differences", (VERDICTS, DIFFERENCES)),
    "tradeoff": ("tradeoff", (TRADEOFF,)),
    "conditions": ("conditions", (CONDITIONS,)),
}


def code_for(template: str, **values: str) -> str:
    """Return a cell with `<name>` filled in by each value as a Python string."""
    for name, value in values.items():
        template = template.replace(f"<{name}>", json.dumps(value))
    return template
