"""A whole model's spectra: every weight, kept as they come, resumed, in exact and sketch mode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kasa.errors import ModelError
from kasa.jobs.spectrum import execute
from kasa.model.source import ModelSource, resolve_model
from kasa.runs.job import Job, JobCancelled
from kasa.runs.store import Store
from kasa.spectral import stream
from kasa.spectral.sketch import WORTHWHILE
from kasa.spectral.spectrum import SPECTRA_FILE, energy_fraction, load_spectra, save_spectra
from kasa.spectral.stream import Progress, analyse
from tests.known_answers import BERT_CONFIG, bert_tensors, matrix_with_spectrum, write_model


@pytest.fixture
def bert(tmp_path: Path) -> ModelSource:
    return resolve_model(str(write_model(tmp_path / "m", bert_tensors())))


@pytest.fixture
def wide_model(tmp_path: Path) -> ModelSource:
    """Return a model with one matrix that is worth a sketch and a small one that is not."""
    values = list(np.geomspace(3, 0.01, WORTHWHILE))
    tensors = {
        "encoder.layer.0.wide.weight": matrix_with_spectrum(values, (WORTHWHILE, WORTHWHILE)),
        "encoder.layer.0.small.weight": torch.eye(8),
    }
    floats = {name: tensor.float() for name, tensor in tensors.items()}
    return resolve_model(str(write_model(tmp_path / "wide", floats, BERT_CONFIG)))


def test_analyse_covers_every_linear_weight_and_reports_each(bert: ModelSource) -> None:
    seen: list[Progress] = []
    spectra = analyse(bert, progress=seen.append)
    assert [s.layer for s in spectra] == [0] * 4 + [1] * 4 + [None]
    assert [(step.done, step.total) for step in seen] == [(n, 9) for n in range(10)]
    shares = [step.share for step in seen]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    found = {s.module: s for s in spectra}
    query = found["encoder.layer.0.attention.self.query"]
    assert (query.kind, query.shape, query.name) == ("query", (8, 8), f"{query.module}.weight")
    np.testing.assert_allclose(query.singular_values, range(8, 0, -1), rtol=1e-6)
    np.testing.assert_allclose(found["pooler.dense"].singular_values, np.ones(8))


def test_analyse_stops_when_asked(bert: ModelSource) -> None:
    asked: list[int] = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) > 3

    assert len(analyse(bert, workers=1, should_stop=should_stop)) == 3


def test_analyse_names_the_tensor_that_is_not_finite(tmp_path: Path) -> None:
    tensors = bert_tensors()
    tensors["pooler.dense.weight"][0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"pooler\.dense\.weight"):
        analyse(resolve_model(str(write_model(tmp_path / "m", tensors))))


def test_a_model_without_linear_weights_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", {"embeddings.word_embeddings.weight": torch.ones(3, 2)})
    with pytest.raises(ModelError) as caught:
        analyse(resolve_model(str(folder)))
    assert caught.value.code == "model_no_linear"


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_storage_gives_the_same_spectra(
    tmp_path: Path, shards: int, dtype: torch.dtype
) -> None:
    folder = write_model(tmp_path / "m", bert_tensors(dtype), shards=shards)
    found = {s.module: s for s in analyse(resolve_model(str(folder)))}
    query = found["encoder.layer.1.attention.self.query"].singular_values
    np.testing.assert_allclose(query, range(8, 0, -1), atol=0.06)


def test_an_interrupted_analysis_goes_on(
    bert: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = stream.read_weight

    def counting(source: ModelSource, name: str) -> torch.Tensor:
        read.append(name)
        return original(source, name)

    monkeypatch.setattr(stream, "read_weight", counting)
    keep = tmp_path / "kept"
    first = analyse(bert, keep=keep, workers=1, should_stop=lambda: len(read) >= 4)
    assert len(first) == len(read) == 4
    spectra = analyse(bert, keep=keep)
    assert len(spectra) == len(set(read)) == len(read) == 9
    # A damaged file is computed again, and nothing else is.
    damaged = next(iter(keep.glob("*.npz")))
    damaged.write_bytes(damaged.read_bytes()[:50])
    again = analyse(bert, keep=keep)
    assert len(read) == 10
    for before, after in zip(spectra, again, strict=True):
        np.testing.assert_array_equal(before.singular_values, after.singular_values)


def test_a_sketch_holds_the_truth_in_its_band_and_exact_values_replace_it(
    wide_model: ModelSource, tmp_path: Path
) -> None:
    keep = tmp_path / "kept"
    rough = {s.kind: s for s in analyse(wide_model, method="sketch", keep=keep)}
    assert rough["small"].method == "exact"
    assert rough["wide"].method == "sketch"
    exact = {s.kind: s for s in analyse(wide_model, keep=keep)}["wide"]
    assert rough["wide"].band is not None
    low, high = rough["wide"].band
    truth = energy_fraction(exact.singular_values)
    assert ((low <= truth) & (truth <= high)).all()
    now = {s.kind: s for s in analyse(wide_model, method="sketch", keep=keep)}
    assert now["wide"].method == "exact"


def test_a_sketch_comes_back_with_its_band(wide_model: ModelSource, tmp_path: Path) -> None:
    spectra = analyse(wide_model, method="sketch")
    save_spectra(tmp_path / SPECTRA_FILE, spectra)
    loaded = load_spectra(tmp_path / SPECTRA_FILE)
    assert {s.kind: s.method for s in loaded} == {"wide": "sketch", "small": "exact"}
    for before, after in zip(spectra, loaded, strict=True):
        assert before.method == after.method
        np.testing.assert_array_equal(before.band or (), after.band or ())


def test_the_caller_keeps_its_threads(bert: ModelSource) -> None:
    before = torch.get_num_threads()
    analyse(bert, workers=2)
    assert torch.get_num_threads() == before


def test_an_unknown_method_is_refused(bert: ModelSource) -> None:
    with pytest.raises(ModelError) as caught:
        analyse(bert, method="guess")
    assert caught.value.code == "unknown_spectrum_method"


@pytest.mark.slow
def test_the_embedded_model_equals_numpy_on_every_matrix() -> None:
    source = resolve_model("embedded")
    for spectrum in analyse(source):
        weight = stream.read_weight(source, spectrum.name).double().numpy()
        expected = np.linalg.svd(weight, compute_uv=False)
        np.testing.assert_allclose(spectrum.singular_values, expected, atol=1e-6 * expected[0])


@pytest.mark.usefixtures("workspace")
def test_the_job_writes_its_file_and_its_progress(bert: ModelSource, tmp_path: Path) -> None:
    job = Job("1", "spectrum", {"model": str(bert.folder), "hub_access": False}, tmp_path)
    result = execute(job)
    assert (result["num_matrices"], result["file"]) == (9, SPECTRA_FILE)
    assert result["conditions"]["model_sha256"] == bert.sha256
    assert len(load_spectra(tmp_path / SPECTRA_FILE)) == 9
    assert len((tmp_path / "events.jsonl").read_text("utf-8").splitlines()) == 10
    assert len(list(Store().spectra_folder(bert.sha256).glob("exact-*.npz"))) == 9


@pytest.mark.usefixtures("workspace")
def test_a_stopped_job_leaves_no_spectra(bert: ModelSource, tmp_path: Path) -> None:
    job = Job("1", "spectrum", {"model": str(bert.folder)}, tmp_path, asked_to_stop=lambda: True)
    with pytest.raises(JobCancelled):
        execute(job)
    assert not (tmp_path / SPECTRA_FILE).exists()
