"""`importance` and `sensitivity` on the command line: JSON, files, and refusals in words."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from kasa.__main__ import main
from kasa.spectral.importance import SCORES
from kasa.study import study_from_dict
from tests.tiny_models import small_parts, task_texts, write_tiny_bert


@pytest.fixture
def asked(workspace: Path, tmp_path: Path) -> list[str]:
    """Return model and data as arguments."""
    texts = task_texts(small_parts("classification"))
    model = write_tiny_bert(tmp_path / "model", texts)
    lines = [f"{texts[row % len(texts)]} {row},{'ab'[row % 2]}" for row in range(80)]
    data = tmp_path / "rows.csv"
    data.write_text("\n".join(["note,kind", *lines]), "utf-8")
    return [str(model.folder), str(data), "--text", "note", "--label", "kind"]


def test_importance_writes_every_component(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores.npz"
    wanted = ["--targets", "query", "value", "--rows", "20", "--out", str(out), "--json"]
    assert main(["importance", *asked, *wanted]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["rows"] == 20
    names = [module["module"] for module in told["modules"]]
    assert len(names) == 4
    assert all(set(module["stability"]) == set(SCORES) for module in told["modules"])
    with np.load(out, allow_pickle=False) as arrays:
        wanted_keys = {f"{name}/{score}" for name in names for score in (*SCORES, "expected")}
        assert set(arrays.files) == wanted_keys
        magnitude = arrays[f"{names[0]}/magnitude"]
    assert (np.diff(magnitude) <= 0).all()


def test_sensitivity_writes_an_arm_for_a_study(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "plan.toml"
    wanted = ["--scope", "layer", "--tolerance", "5", "--budget", "6", "--out", str(out), "--json"]
    assert main(["sensitivity", *asked, *wanted]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {curve["name"] for curve in told["curves"]} == {"0", "1"}
    assert len(told["curves"]) == 2 * len(SCORES)
    assert 0 < len(told["plan"]["tried"]) <= 6
    arms = tomllib.loads(out.read_text("utf-8"))["arms"]
    record = {"title": "A", "data": {"path": "x.csv"}, "arms": arms}
    (arm,) = study_from_dict(record).arms
    assert arm.plan == {module: list(own) for module, own in told["plan"]["removed"].items()}


def test_a_file_that_is_not_there_is_said(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["importance", "embedded", "nowhere.csv"]) == 1
    assert "nowhere.csv" in capsys.readouterr().err


def test_layers_that_the_model_does_not_have_are_said(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["importance", *asked, "--targets", "wings"]) == 1
    assert "wings" in capsys.readouterr().err
