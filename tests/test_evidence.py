from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.errors import TrainingError
from kasa.report.headline import headline
from kasa.report.labels import arm_labels
from kasa.study import Protocol
from kasa.text import Translator, translator
from kasa.verdict.evidence import Evidence, pairs, split_conditions
from kasa.verdict.facts import evidence_to_dict
from kasa.verdict.settle import settlement
from tests.study_runs import (
    CONDITIONS,
    example_evidence,
    example_rows,
    example_runs,
    example_study,
    finished_run,
    run_record,
)

EN, JA = translator("en"), translator("ja")


def test_pairs_in_order_of_interest() -> None:
    assert pairs(example_study(), example_study().arm_names()) == [
        ("kasa-r8", "lora-r8"),
        ("kasa-r8", "frozen_head"),
        ("lora-r8", "frozen_head"),
        ("kasa-r8", "tfidf"),
        ("lora-r8", "tfidf"),
        ("frozen_head", "tfidf"),
    ]


def test_equal_ranks_lead() -> None:
    arms = (Arm("lora", 4), Arm("kasa", 16), Arm("lora", 16))
    study = example_study(arms=arms)
    assert pairs(study, study.arm_names())[0] == ("kasa-r16", "lora-r16")


def test_evidence_holds_both_metrics_with_the_deciding_one_first() -> None:
    evidence = example_evidence()
    assert [v.metric for v in evidence.verdicts] == ["accuracy"] * 6 + ["macro_f1"] * 6
    assert [s.arm for s in evidence.summaries] == list(evidence.study.arm_names())
    assert evidence.verdict("kasa-r8", "tfidf").verdict == "better"
    assert evidence.verdict("tfidf", "kasa-r8") is None


def test_conditions_that_differ_are_named_with_their_runs() -> None:
    runs = example_runs(["lora-r8"], [0, 1])
    other = CONDITIONS | {"threads": 4, "machine": CONDITIONS["machine"] | {"gpu": None}}
    common, differing = split_conditions([runs[0], replace(runs[1], conditions=other)])
    assert differing == {"threads": {"2": ("lora-r8-s0",), "4": ("lora-r8-s1",)}}
    assert common["machine.cores"] == 2
    assert common["versions.torch"] == "2.13.0"
    assert "machine.gpu" not in common


def test_what_one_run_did_not_record_does_not_differ() -> None:
    runs = example_runs(["lora-r8"], [0, 1])
    without = {name: value for name, value in CONDITIONS.items() if name != "precision"}
    common, differing = split_conditions([runs[0], replace(runs[1], conditions=without)])
    assert common["precision"] == "float32"
    assert differing == {}


def test_times_of_day_are_no_condition() -> None:
    runs = example_runs(["lora-r8"], [0, 1])
    later = CONDITIONS | {"started_at": "2026-11-20T10:00:00+00:00"}
    assert split_conditions([runs[0], replace(runs[1], conditions=later)])[1] == {}


def test_the_document_is_json_with_the_contracts_names() -> None:
    document = json.loads(json.dumps(evidence_to_dict(example_evidence()), allow_nan=False))
    assert document["study"] == "abc123"
    run = document["runs"][0]
    assert {"id", "arm", "method", "seed", "status", "metrics", "prepare_seconds"} <= run.keys()
    assert {"train_seconds", "peak_memory_bytes", "num_trainable_params"} <= run.keys()
    verdict = document["verdicts"][0]
    assert (verdict["a"], verdict["b"], verdict["metric"]) == ("kasa-r8", "lora-r8", "accuracy")
    assert verdict["verdict"] == "cannot_tell"
    assert verdict["interval"][0] < verdict["difference"] < verdict["interval"][1]
    assert len(document["gates"]) == 16
    assert document["arms"][0]["metrics"]["accuracy"]["mean"] == pytest.approx(320 / 360)


def test_a_failed_run_is_in_the_document_with_its_reason() -> None:
    done, lost = example_runs(["lora-r8"], [0, 1])
    error = TrainingError("file_not_found", path="model.safetensors")
    records = [run_record(done), run_record(lost, "failed", error)]
    evidence = example_evidence([done], records=records)
    failed = evidence_to_dict(evidence)["runs"][1]
    assert failed["status"] == "failed"
    assert "model.safetensors" in failed["error"]["message"]
    assert "metrics" not in failed
    assert [run.id for run in evidence.failed] == ["lora-r8-s1"]
    assert evidence.missing_arms == ("kasa-r8", "frozen_head", "tfidf")


def test_nothing_finished_is_evidence_too() -> None:
    waiting = [run_record(run, "queued") for run in example_runs(["lora-r8"], [0])]
    evidence = example_evidence([], records=waiting)
    assert evidence.summaries == evidence.verdicts == ()
    assert evidence.disagreements.empty
    assert headline(evidence, EN).verdict == "none"
    assert json.dumps(evidence_to_dict(evidence))


# -- the headline -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [EN, JA], ids=["en", "ja"])
def test_headline_of_three_seeds(text: Translator) -> None:
    found = headline(example_evidence(), text)
    assert found.verdict == "cannot_tell"
    assert len(found.sentences) == 4  # the verdict, what would settle it, and two baselines
    assert found.cautions == ()
    assert "-1.1" in found.sentences[0]


def test_headline_says_who_is_worse() -> None:
    labels = ["a", "b"] * 60
    wrong = ["b"] * 60 + labels[60:]
    runs = [finished_run("kasa-r8", seed, labels, wrong) for seed in (0, 1, 2)]
    runs += [finished_run("lora-r8", seed, labels, labels) for seed in (0, 1, 2)]
    study = example_study(arms=(Arm("kasa"), Arm("lora")))
    found = headline(example_evidence(runs, study), EN)
    assert found.verdict == "worse"
    assert found.sentences[0].startswith("KaSA (r=8) is worse than LoRA (r=8) on this data")
    assert len(found.sentences) == 1


def test_one_seed_is_indicative_only() -> None:
    study = example_study(protocol=Protocol("quick"))
    found = headline(example_evidence(example_runs(seeds=[0]), study), EN)
    assert any(caution.startswith("One seed: indicative only") for caution in found.cautions)
    assert "one seed" in found.sentences[0]
    assert found.sentences[-1].startswith("From one seed, tuning seems better than")


def mixed(only_a: int, only_b: int, seeds: int, rows: int = 120) -> Evidence:
    """Return a study of two arms of which either is right alone on so many rows."""
    labels = ["a", "b"] * (rows // 2)
    other = ["b", "a"] * (rows // 2)
    worse = [*other[:only_a], *labels[only_a:]]
    better = [*labels[: rows - only_b], *other[rows - only_b :]]
    runs = [finished_run("kasa-r8", seed, labels, better) for seed in range(seeds)]
    runs += [finished_run("lora-r8", seed, labels, worse) for seed in range(seeds)]
    study = example_study(arms=(Arm("kasa"), Arm("lora")))
    return example_evidence(runs, study, rows=example_rows(rows))


@pytest.mark.parametrize(
    ("only_a", "only_b", "seeds", "words"),
    [
        (6, 1, 3, "test rows instead of 120; more seeds alone"),
        (5, 4, 3, "Neither 20 seeds nor 6,000 test rows"),
        (5, 1, 1, "at least"),
    ],
)
def test_headline_says_what_would_settle_it(
    only_a: int, only_b: int, seeds: int, words: str
) -> None:
    evidence = mixed(only_a, only_b, seeds)
    assert words in headline(evidence, EN).sentences[1]
    told = evidence_to_dict(evidence)["settlement"]
    assert told["at_least"] == (seeds == 1)
    assert (told["num_rows"] is None) == ("Neither" in words)


def test_seeds_that_would_settle_it_are_priced() -> None:
    """Seeds that differ: more of them settle it, at 64 s a run of either arm."""
    labels = ["a", "b"] * 200
    runs = []
    for arm, wrong in (("kasa-r8", (10, 20, 30)), ("lora-r8", (20, 45, 30))):
        for seed, count in enumerate(wrong):
            said = [*(["b", "a"] * 200)[:count], *labels[count:]]
            runs.append(finished_run(arm, seed, labels, said))
    study = example_study(arms=(Arm("kasa"), Arm("lora")))
    evidence = example_evidence(runs, study, rows=example_rows(400))
    needed = settlement(evidence.main_verdict) if evidence.main_verdict else None
    assert needed is not None
    assert needed.num_seeds is not None
    sentence = headline(evidence, EN).sentences[1]
    assert f"{needed.num_seeds} seeds instead of 3" in sentence
    extra = 128 * (needed.num_seeds - 3)
    assert EN.seconds(extra) in sentence
    assert EN.money(extra / 3600 * 350, "JPY") in sentence


def test_cautions_name_what_is_missing() -> None:
    runs = [run for run in example_runs(num_rows=30) if run.arm != "tfidf"][:-1]
    records = [*map(run_record, runs), run_record(example_runs(["tfidf"], [0])[0], "running")]
    found = headline(example_evidence(runs, records=records, rows=example_rows(30)), EN)
    text = " ".join(found.cautions)
    assert "8 of 9 runs" in text
    assert "Without a result: TF-IDF" in text
    assert "Frozen base + linear head 2 of 3" in text
    assert "only 30 rows" in text


def test_one_arm_alone_gets_no_verdict() -> None:
    found = headline(example_evidence(example_runs(["lora-r8"])), EN)
    assert found.verdict == "none"
    assert found.sentences[0].startswith("Only LoRA (r=8) has finished")


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_labels_tell_arms_apart(lang: str) -> None:
    arms = (
        Arm("kasa"),
        Arm("kasa", removed_components=0),
        Arm("kasa", removed_components=0, beta=0.0),
        Arm("kasa", 16),
        Arm("lora", target_modules=("query",)),
        Arm("lora"),
    )
    labels = arm_labels(example_study(arms=arms), translator(lang))
    assert len(set(labels.values())) == len(arms)
    assert labels["kasa-r16"] == "KaSA (r=16)"
    assert "0" in labels["kasa-r8-cut0"].partition("[")[2]


@pytest.mark.parametrize("mask", [True, False])
def test_personal_data_is_masked_in_texts_and_labels_unless_the_study_says_so(mask: bool) -> None:
    study = example_study(data=DataSpec("a.csv", "note", "defect", mask=mask))
    names = {"oil leak": "taro@example.com"}
    rows = example_rows().replace({"label": names})
    rows["text"] = "call 03-1234-5678 about " + rows["text"]
    runs = [
        replace(
            run,
            labels=tuple(names.get(label, label) for label in run.labels),
            predictions=run.predictions.replace({"label": names, "predicted": names}),
        )
        for run in example_runs()
    ]
    evidence = example_evidence(runs, study, rows=rows)
    shown = "\n".join(
        [
            evidence.disagreements.to_csv(),
            *(run.predictions.to_csv() for run in evidence.finished),
            repr([summary.labels for summary in evidence.summaries]),
            repr(evidence.card.labels),
        ]
    )
    assert ("taro@example.com" in shown, "03-1234-5678" in shown) == (not mask, not mask)
    assert ("[e-mail]" in shown, "[phone]" in shown) == (mask, mask)
    plain = example_evidence(study=study)
    assert [s.metrics for s in evidence.summaries] == [s.metrics for s in plain.summaries]
