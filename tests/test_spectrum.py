"""Spectra against known answers and numpy; the measures' laws; files that come back the same."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kasa.errors import ModelError
from kasa.model.source import ModelSource, resolve_model
from kasa.model.weights import read_weight
from kasa.spectral.gram import mirrored, smaller_gram
from kasa.spectral.spectrum import (
    GRAM_MIN_SIDE,
    SPECTRA_FILE,
    Spectrum,
    effective_rank,
    energy_fraction,
    energy_without_smallest,
    load_spectra,
    numerical_rank,
    save_spectra,
    singular_values,
    spectra_csv,
    spectra_npz,
    spectrum_key,
    stable_rank,
)
from kasa.spectral.stream import analyse
from tests.known_answers import bert_tensors, matrix_with_spectrum, write_model

SHAPES = [(6, 6), (9, 6), (6, 9), (1, 5), (5, 1), (1, 1)]
descending = hnp.arrays(
    np.float64, st.integers(1, 40), elements=st.floats(0, 1e150, allow_subnormal=False)
).map(lambda values: np.sort(values)[::-1])


@pytest.fixture
def bert(tmp_path: Path) -> ModelSource:
    return resolve_model(str(write_model(tmp_path / "m", bert_tensors())))


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_are_the_ones_built_in(shape: tuple[int, int]) -> None:
    known = np.linspace(5, 1, min(shape))
    found = singular_values(matrix_with_spectrum(list(known), shape))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, known, rtol=1e-12)


K = 160
GRAM_CASES = {
    "linear": np.linspace(5, 1, K),
    "repeated": np.repeat([3.0, 1.0], K // 2),
    "rank deficient": np.concatenate([np.linspace(2, 1, 40), np.zeros(K - 40)]),
    "zero": np.zeros(K),
    "eight orders": np.geomspace(1, 1e-8, K),
    "tiny": 1e-30 * np.linspace(2, 1, K),
    "huge": 1e30 * np.linspace(2, 1, K),
}


@pytest.mark.parametrize("name", GRAM_CASES)
@pytest.mark.parametrize("shape", [(K, K), (3 * K, K), (K, 2 * K)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gram_route_stays_within_a_millionth_of_the_largest(
    name: str, shape: tuple[int, int], dtype: torch.dtype
) -> None:
    known = GRAM_CASES[name]
    weight = matrix_with_spectrum(list(known), shape).to(dtype)
    assert min(shape) >= GRAM_MIN_SIDE
    found = singular_values(weight)
    np.testing.assert_allclose(found, known, atol=1e-6 * known[0], rtol=0)
    assert (np.diff(found) <= 0).all()
    # The whole is as exact as float32 storage of the weight allows.
    assert float((found**2).sum()) == pytest.approx(float((known**2).sum()), rel=1e-6)


@pytest.mark.parametrize("shape", [(700, 520), (520, 700), (4200, 130)])
def test_the_gram_matrix_has_the_lower_triangle_of_the_product(shape: tuple[int, int]) -> None:
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal(shape)).float()
    exact = weight.double() if shape[0] >= shape[1] else weight.double().T
    expected = exact.T @ exact
    gram = smaller_gram(weight)
    torch.testing.assert_close(torch.tril(gram), torch.tril(expected), rtol=1e-12, atol=1e-9)
    torch.testing.assert_close(mirrored(gram), expected, rtol=1e-12, atol=1e-9)


def test_degenerate_matrices() -> None:
    np.testing.assert_array_equal(singular_values(torch.zeros(4, 3)), np.zeros(3))
    low_rank = singular_values(matrix_with_spectrum([3, 2], (7, 5)))
    np.testing.assert_allclose(low_rank, [3, 2, 0, 0, 0], atol=1e-14)
    assert numerical_rank(low_rank, (7, 5)) == 2


@pytest.mark.parametrize(
    ("weight", "code"),
    [
        (torch.ones(3), "not_a_matrix"),
        (torch.ones(0, 3), "not_a_matrix"),
        (torch.tensor([[1.0, float("nan")]]), "model_not_finite"),
        (torch.tensor([[1.0, float("inf")]]), "model_not_finite"),
    ],
)
def test_what_has_no_spectrum_is_refused(weight: torch.Tensor, code: str) -> None:
    with pytest.raises(ModelError) as caught:
        singular_values(weight)
    assert caught.value.code == code


MEASURES = [
    # singular values, effective rank, stable rank, energies
    ([2, 2, 2, 2], 4.0, 4.0, [0.25, 0.5, 0.75, 1.0]),
    ([3, 0, 0], 1.0, 1.0, [1.0, 1.0, 1.0]),
    ([0, 0], 0.0, 0.0, [1.0, 1.0]),
    ([7], 1.0, 1.0, [1.0]),
    ([2, 1, 1], math.exp(1.5 * math.log(2)), 1.5, [4 / 6, 5 / 6, 1.0]),
]


@pytest.mark.parametrize(("values", "effective", "stable", "energies"), MEASURES)
def test_measures_by_hand(
    values: list[float], effective: float, stable: float, energies: list[float]
) -> None:
    assert effective_rank(values) == pytest.approx(effective, rel=1e-12)
    assert stable_rank(values) == pytest.approx(stable, rel=1e-12)
    np.testing.assert_allclose(energy_fraction(values), energies, rtol=1e-12)


@given(descending)
def test_the_measures_stay_within_their_bounds(values: np.ndarray) -> None:
    energies = energy_fraction(values)
    assert (np.diff(energies) >= 0).all()
    assert energies[-1] == 1.0
    ranks = (stable_rank(values), effective_rank(values))
    if values[0] == 0:
        assert ranks == (0.0, 0.0)
    else:
        assert all(1 - 1e-9 <= rank <= values.size * (1 + 1e-9) for rank in ranks)
        assert stable_rank(values) <= numerical_rank(values, (values.size, 1), eps=0.0) + 1e-9


@given(descending, st.floats(1e-100, 1e100))
def test_the_measures_do_not_depend_on_the_scale(values: np.ndarray, factor: float) -> None:
    ordinary = np.where(values > 1e-30 * values[0], values, 0.0) / (values[0] or 1.0)
    np.testing.assert_allclose(energy_fraction(ordinary * factor), energy_fraction(ordinary))
    assert effective_rank(ordinary * factor) == pytest.approx(effective_rank(ordinary))
    assert stable_rank(ordinary * factor) == pytest.approx(stable_rank(ordinary))


def test_energy_without_smallest() -> None:
    assert [energy_without_smallest([2, 1, 1], n) for n in range(4)] == pytest.approx(
        [1.0, 5 / 6, 4 / 6, 0.0]
    )
    assert energy_without_smallest([0, 0], 1) == 1.0
    for count in (-1, 4):
        with pytest.raises(ModelError):
            energy_without_smallest([2, 1, 1], count)


@pytest.mark.parametrize("values", [[], [1, 2], [1, -1], [float("nan")], [float("inf")], [[1.0]]])
def test_what_is_no_spectrum_is_refused(values: list[float]) -> None:
    for measure in (energy_fraction, effective_rank, stable_rank):
        with pytest.raises(ModelError) as caught:
            measure(values)
        assert caught.value.code == "spectrum_invalid"


@pytest.mark.parametrize(
    "name", ["encoder.layer.0.attention.self.query", "encoder.layer.5.output.dense"]
)
def test_the_embedded_model_agrees_with_numpy(name: str) -> None:
    weight = read_weight(resolve_model("embedded"), f"{name}.weight")
    expected = np.linalg.svd(weight.double().numpy(), compute_uv=False)
    np.testing.assert_allclose(singular_values(weight), expected, atol=1e-7 * expected[0])
    np.testing.assert_allclose(singular_values(weight, exactly=True), expected, rtol=1e-10)


def test_spectra_come_back_as_they_were_saved(bert: ModelSource, tmp_path: Path) -> None:
    spectra = analyse(bert)
    save_spectra(tmp_path / SPECTRA_FILE, spectra)
    loaded = load_spectra(tmp_path / SPECTRA_FILE)
    assert [(s.name, s.module, s.layer, s.kind, s.shape) for s in loaded] == [
        (s.name, s.module, s.layer, s.kind, s.shape) for s in spectra
    ]
    for before, after in zip(spectra, loaded, strict=True):
        np.testing.assert_array_equal(before.singular_values, after.singular_values)
    with np.load(io.BytesIO(spectra_npz(spectra)), allow_pickle=False) as arrays:
        assert set(arrays.files) == {s.module for s in spectra}
    assert not list(tmp_path.glob("*.part"))


def test_files_that_are_no_spectra_are_refused(tmp_path: Path) -> None:
    file = tmp_path / SPECTRA_FILE
    good = Spectrum("a.weight", "a", 0, "a", (2, 2), np.array([2.0, 1.0]))
    save_spectra(file, [good])
    np.savez(file, a=np.array([{"pickled": 1}], dtype=object))
    with pytest.raises(ModelError) as caught:
        load_spectra(file)
    assert caught.value.code == "spectra_unreadable"
    file.write_bytes(b"not a zip")
    with pytest.raises(ModelError):
        load_spectra(file)
    with pytest.raises(ModelError):
        load_spectra(tmp_path / "absent.npz")


def test_the_csv_holds_every_value_exactly_and_no_formula() -> None:
    values = np.array([1 / 3, 1e-17])
    spectra = [Spectrum("=cmd()", "=cmd()", None, "+x", (2, 5), values)]
    rows = list(csv.DictReader(io.StringIO(spectra_csv(spectra))))
    assert [float(row["singular_value"]) for row in rows] == values.tolist()
    assert [row["component"] for row in rows] == ["1", "2"]
    assert (rows[0]["out"], rows[0]["in"], rows[0]["layer"]) == ("2", "5", "")
    assert (rows[0]["module"], rows[0]["kind"]) == ("'=cmd()", "'+x")


def test_the_key_follows_the_content(bert: ModelSource, tmp_path: Path) -> None:
    copy = resolve_model(str(write_model(tmp_path / "copy", bert_tensors())))
    assert spectrum_key(copy) == spectrum_key(bert) == f"spectrum:{bert.sha256}"
