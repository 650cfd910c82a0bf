"""The card that goes with an exported model: what it is, what it learned from, how to load it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kasa.report.labels import arm_labels, metric_words
from kasa.study import Study
from kasa.text import Translator


def model_card(
    study: Study, result: Mapping[str, Any], exported: Mapping[str, Any], text: Translator
) -> str:
    """Return the card as Markdown, from the run's result.json and the facts of its export."""
    measured, name = result["measured"], study.arm_names()[result["asked"]["arm_index"]]
    metrics = ", ".join(
        f"{text(f'metrics.{metric}')} {metric_words(metric, measured['metrics'][metric], text)}"
        for metric in study.metrics
    )
    facts = {
        "study": study.title,
        "rows": measured.get("num_train_rows") or "?",
        "test": exported["num_test_rows"],
        "metrics": metrics,
    }
    kind = text(f"export.kind_{exported['kind']}", rank=exported["rank"])
    seed, label = result["asked"]["seed"], arm_labels(study, text)[name]
    pooling, sha256 = exported["pooling"], result["conditions"]["model_sha256"]
    deviation = f"{exported['deviation']:.1e}"
    lines = [
        f"# {text('export.title', arm=label, seed=seed, kind=kind)}",
        text("export.what", **facts),
        text("export.base", model=exported["base"], sha256=sha256),
        text("export.data"),
        f"## {text('export.load')}",
        "\n".join(["```python", *_code(exported), "```"]),
        *([text("export.head", pooling=pooling)] if pooling else []),
        text("export.checked", count=exported["num_texts"], deviation=deviation),
    ]
    return "\n\n".join(lines) + "\n"


def _code(exported: Mapping[str, Any]) -> list[str]:
    """Return the lines that load an export."""
    auto = exported["auto"]
    if exported["kind"] == "merged":
        return [f"from transformers import {auto}", f"model = {auto}.from_pretrained('.')"]
    return [
        "from peft import PeftModel",
        f"from transformers import {auto}",
        f"base = {auto}.from_pretrained('{exported['base']}')",
        "model = PeftModel.from_pretrained(base, '.')",
    ]
