"""The sections that let a reader check the study: method, conditions and limits."""

from __future__ import annotations

import json
from collections.abc import Iterator

from kasa.arms import METHODS, Arm
from kasa.model.source import EMBEDDED, kind_of
from kasa.report.labels import arm_labels
from kasa.report.tree import Block, Bullets, Paragraph, Section, Table
from kasa.runs.files import file_name
from kasa.study import Study
from kasa.text import Translator
from kasa.verdict.evidence import Evidence

MOST_LABELS = 40


def method_section(evidence: Evidence, text: Translator) -> Section:
    """Return what each method is and why the comparison is fair, in plain words."""
    protocol = evidence.study.protocol
    used = {arm.method for arm in evidence.study.arms}
    arms = tuple(text(f"arms.about.{method}") for method in METHODS if method in used)
    rates = ", ".join(f"{rate:g}" for rate in protocol.learning_rates)
    seeds = ", ".join(str(seed) for seed in protocol.seeds)
    budget = {
        "rates": rates,
        "epochs": protocol.epochs,
        "seconds": text.number(protocol.trial_seconds),
        "batch": protocol.batch_size,
    }
    rows = {part: text.number(count) for part, count in evidence.card.sizes.items()}
    fair = (
        text(f"report.method.{_split_kind(evidence)}", **rows),
        text(f"report.method.{'grid_seconds' if protocol.trial_seconds else 'grid'}", **budget),
        *_own_rates(evidence, text),
        text("report.method.test_once"),
        text("report.method.seeds", seeds=seeds),
        text("report.method.interval"),
        *joint_note(evidence, text),
        text("report.method.margin", margin=text.number(100 * protocol.equivalence_margin, 1)),
        *_shared(evidence, text),
        text("report.method.measures"),
    )
    metrics = tuple(
        f"{text(f'metrics.{name}')}: {text(f'metrics.about.{name}')}"
        for name in sorted(evidence.study.metrics)
    )
    blocks = (Bullets(arms), Paragraph(text("report.method.fair")), Bullets(fair), Bullets(metrics))
    return Section("method", text("report.section.method"), blocks)


def joint_note(evidence: Evidence, text: Translator) -> Iterator[str]:
    """Say how many pairs share their 95 %, where there are several."""
    others = max((verdict.num_joint for verdict in evidence.verdicts), default=1)
    if others > 1:
        yield text("report.method.joint", count=text.number(others))


def _split_kind(evidence: Evidence) -> str:
    if evidence.study.data.split:
        return "split_given"
    return "split" if evidence.card.labels else "split_plain"


def _own_rates(evidence: Evidence, text: Translator) -> Iterator[str]:
    """Say which rates an arm tried instead: its own, or the study's at its method's scale."""
    study, labels = evidence.study, arm_labels(evidence.study, text)
    for name, arm in study.named_arms(judged=True).items():
        rates = study.learning_rates(arm)
        if arm.tuned and rates != study.protocol.learning_rates:
            shown = ", ".join(f"{rate:g}" for rate in rates)
            yield text("report.method.own_rates", arm=labels[name], rates=shown)


def _shared(evidence: Evidence, text: Translator) -> Iterator[str]:
    """Say how many runs shared the machine, where it was more than one."""
    places = evidence.study.protocol.places
    if places > 1:
        yield text("report.method.parallel", places=text.number(places))


def conditions_section(evidence: Evidence, text: Translator) -> Section:
    """Return study, data, settings, hashes, versions, machine, and what differed between runs."""
    header = (text("report.column.condition"), text("report.column.value"))
    rows = (
        *_study_rows(evidence, text),
        *_arm_rows(evidence, text),
        *_condition_rows(evidence, text),
    )
    blocks: list[Block] = [Table(header, rows)]
    if evidence.differing:
        blocks.append(Paragraph(text("report.differing_note")))
        blocks.append(Bullets(tuple(_differing(evidence, text))))
    return Section("conditions", text("report.section.conditions"), tuple(blocks))


def _study_rows(evidence: Evidence, text: Translator) -> list[tuple[str, str]]:
    study, card = evidence.study, evidence.card
    shown = list(card.labels.items())[:MOST_LABELS]
    labels = ", ".join(f"{label} ({text.number(count)})" for label, count in shown)
    if len(card.labels) > MOST_LABELS:
        labels += " …"
    values = {
        "study": f"{study.title} ({evidence.record.id})",
        "created": text.date(evidence.record.created_at.astimezone()),
        "model": _model_name(study.model, text),
        "data_file": card.file,
        "columns": _columns(study, text),
        **({"labels": f"{text.number(len(card.labels))}: {labels}"} if card.labels else {}),
        "profile": text(f"report.profile.{study.protocol.profile}"),
        "split_seed": str(study.protocol.split_seed),
        "max_length": text.number(study.protocol.max_length),
    }
    if study.protocol.places > 1:
        values["parallel_runs"] = text.number(study.protocol.places)
    ended = [run.finished_at for run in evidence.runs if run.finished_at]
    if ended:
        values["last_run"] = text.date(max(ended).astimezone())
    return [(text(f"report.condition.{name}"), value) for name, value in values.items()]


def _model_name(name: str, text: Translator) -> str:
    """Return what a report calls a model; a folder's place would tell whose computer it was on."""
    if name == EMBEDDED:
        return text("report.embedded")
    return file_name(name) if kind_of(name) == "folder" else name


def _columns(study: Study, text: Translator) -> str:
    if study.task == "classification":
        return text("report.columns_used", text=study.data.text, label=study.data.label)
    return ", ".join(f"{text(f'data.roles.{role}')}: {name}" for role, name in study.data.roles())


def _arm_rows(evidence: Evidence, text: Translator) -> list[tuple[str, str]]:
    labels, rows = arm_labels(evidence.study, text), []
    for name, arm in evidence.study.named_arms(judged=True).items():
        if not arm.tuned:
            continue
        if arm.method == "peft":
            rows.append((labels[name], json.dumps(arm.config, ensure_ascii=False)))
            continue
        facts = [f"r = {arm.rank}"] if arm.facts.ranked else []
        if arm.facts.ranked and arm.method != "vera":
            facts.append(f"alpha = {arm.scale_alpha:g}")
        if arm.method == "kasa":
            facts.append(_removed(arm, text))
            facts += [f"beta = {arm.beta:g}", f"gamma = {arm.gamma:g}"]
            if not arm.diagonal:
                facts.append(text("arms.setting.diagonal"))
        if arm.start:
            facts.append(text("arms.setting.start", value=text(f"arms.start.{arm.start}")))
        if arm.spread:
            facts.append(text("arms.setting.spread"))
        if arm.facts.kind == "adapter":
            modules = ", ".join(arm.target_modules) or text("arms.usual_modules")
            facts.append(text("arms.setting.modules", value=modules))
        if facts:
            rows.append((labels[name], ", ".join(facts)))
    return rows


def _removed(arm: Arm, text: Translator) -> str:
    if arm.plan is None:
        return text("report.removed", count=arm.components_to_remove)
    facts = {"count": text.number(arm.planned_removals), "weights": text.number(len(arm.plan))}
    return text("report.planned", name=arm.plan_name or "–", **facts)


def _condition_rows(evidence: Evidence, text: Translator) -> list[tuple[str, str]]:
    rows = []
    for name, value in evidence.conditions.items():
        if name == "max_length":  # it stands among the study's own settings already
            continue
        size = name.endswith("_bytes") and isinstance(value, int | float)
        rows.append((_condition_name(name, text), text.bytes(value) if size else str(value)))
    return rows


def _condition_name(name: str, text: Translator) -> str:
    key = f"report.condition.{name}"
    return text(key) if text.has(key) else name.removeprefix("versions.")


def _differing(evidence: Evidence, text: Translator) -> list[str]:
    lines = []
    for name, values in evidence.differing.items():
        parts = [
            text("report.differing_value", value=value, runs=", ".join(runs))
            for value, runs in values.items()
        ]
        lines.append(f"{_condition_name(name, text)}: {'; '.join(parts)}")
    return lines


def limits_section(evidence: Evidence, text: Translator) -> Section:
    """Return what this study cannot show."""
    rows = text.number(evidence.card.sizes["test"])
    items = [text("report.limit.interval"), text("report.limit.test_part", rows=rows)]
    if evidence.indicative:
        items.insert(0, text("report.limit.one_seed"))
    items += [text(f"report.limit.{name}") for name in ("machine", "model", "data")]
    return Section("limits", text("report.section.limits"), (Bullets(tuple(items)),))
