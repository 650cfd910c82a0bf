"""The dataset card: counts that add up, a round trip, and what a study keeps of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kasa.arms import Arm
from kasa.data.card import card_from_dict, dataset_card, prepare_study
from kasa.data.read import read_table
from kasa.data.split import prepare_rows
from kasa.dataspec import DataSpec
from kasa.errors import StudyError
from kasa.runs.store import Store
from kasa.study import Gates, Protocol, Study

LABELS = ("leak", "noise", "heat")
WORDS = ("pump", "motor", "valve", "belt", "hose", "panel", "shaft", "brake", "fan", "gear")


def write(folder: Path) -> Path:
    rows = [
        f"{WORDS[k % 10]} {WORDS[k // 10]} shows {LABELS[k % 3]} again,{LABELS[k % 3]},{k % 7}.5"
        for k in range(60)
    ]
    rows[5] = f",{LABELS[0]},1.5"
    rows[6] = rows[7]
    rows[8] = f"call 03-1234-5678 about the {WORDS[3]},{LABELS[1]},2.5"
    path = folder / "notes.csv"
    path.write_text("\n".join(["note,kind,score", *rows]), "utf-8")
    return path


def test_the_card_says_what_the_rows_are(tmp_path: Path) -> None:
    spec = DataSpec(str(write(tmp_path)), "note", "kind", sha256="ab")
    prepared, card = prepare_study(spec, Protocol())
    assert (card.file, card.format, card.encoding, card.task) == (
        "notes.csv", "csv", "utf-8", "classification",
    )  # fmt: skip
    assert (card.num_rows, card.num_used, card.num_left_out) == (60, 58, 2)
    assert sum(card.sizes.values()) == sum(card.labels.values()) == len(prepared.rows) == 58
    assert card.columns == {"text": ["note"], "label": ["kind"]}
    assert {(p.kind, p.count, p.treatment) for p in card.problems} >= {
        ("empty_text", 1, "left_out"),
        ("duplicate", 1, "left_out"),
        ("personal_data", 1, "kept"),
    }
    assert card.personal == {"phone": 1}
    assert card.masked
    assert card_from_dict(json.loads(json.dumps(card.to_dict()))) == card


@pytest.mark.parametrize("path", ["/home/me/notes.csv", r"C:\Users\me\notes.csv", "notes.csv"])
def test_a_card_does_not_tell_where_the_file_lay(tmp_path: Path, path: str) -> None:
    spec = DataSpec(str(write(tmp_path)), "note", "kind")
    table = read_table(Path(spec.path))
    prepared = prepare_rows(table, spec, Protocol())
    assert dataset_card(table, replace(spec, path=path), prepared).file == "notes.csv"


def test_a_score_has_its_range_and_no_labels(tmp_path: Path) -> None:
    spec = DataSpec(str(write(tmp_path)), "note", score="score")
    _, card = prepare_study(spec, Protocol())
    assert (card.labels, card.score_range) == ({}, (0.5, 6.5))


def test_a_started_study_keeps_its_card_and_its_changed_rows(
    tmp_path: Path, workspace: Path
) -> None:
    store = Store()
    fixes = ("duplicate", "personal_data")
    data = DataSpec(str(write(tmp_path)), "note", "kind", fixes=fixes, mask=False)
    study_id = store.create_study(Study("A", "embedded", data))
    store.start_study(study_id)
    card = store.card(study_id)
    assert (card.fixes, card.masked, card.personal) == (("personal_data", "duplicate"), False, {})
    texts = "\n".join(store.rows(study_id)["text"])
    assert "03-1234-5678" not in texts
    assert "[phone]" in texts


@pytest.mark.parametrize(
    ("arms", "gates", "code"),
    [
        ((Arm("tfidf"), Arm("zero_shot")), Gates(), "method_not_for_task"),
        ((), Gates("accuracy"), "bad_setting"),
    ],
)
def test_what_the_task_does_not_have_is_refused_before_a_run_is_made(
    tmp_path: Path, workspace: Path, arms: tuple[Arm, ...], gates: Gates, code: str
) -> None:
    store = Store()
    data = DataSpec(str(write(tmp_path)), "note", score="score")
    study_id = store.create_study(Study("A", "embedded", data, arms, gates=gates))
    with pytest.raises(StudyError) as caught:
        store.start_study(study_id)
    assert caught.value.code == code
    assert store.runs(study_id) == []
    store.update_study(study_id, Study("A", "embedded", data))
    assert len(store.start_study(study_id)) == 4 * 3  # the task's usual methods, three seeds
