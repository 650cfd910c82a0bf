"""Removal by subtraction against known spectra and the float64 SVD, and the certificate's proof."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kasa.errors import ModelError
from kasa.spectral import krylov, mixed
from kasa.spectral.gram import smaller_gram
from kasa.spectral.krylov import smallest_eigenvectors
from kasa.spectral.removal import remove_components, remove_smallest
from kasa.spectral.spectrum import singular_values
from tests.known_answers import matrix_with_spectrum

SIDE = krylov.KRYLOV_MIN_SIDE


@pytest.mark.parametrize("shape", [(12, 12), (20, 9), (9, 20), (2, 30)])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_removal_takes_away_the_smallest_and_nothing_else(
    shape: tuple[int, int], share: float
) -> None:
    size = min(shape)
    count = round(share * (size - 1))
    values = np.linspace(4, 0.5, size)
    weight = matrix_with_spectrum(list(values), shape, seed=size)
    rest = remove_smallest(weight, count)
    expected = np.concatenate([values[: size - count], np.zeros(count)])
    np.testing.assert_allclose(singular_values(rest), expected, atol=1e-12)
    change = torch.linalg.norm(weight - rest) ** 2
    assert float(change) == pytest.approx((values[size - count :] ** 2).sum(), rel=1e-10, abs=1e-20)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 11), st.integers(0, 10**6))
def test_the_removal_law_holds_for_any_matrix(
    rows: int, columns: int, count: int, seed: int
) -> None:
    count = min(count, min(rows, columns) - 1)
    weight = torch.from_numpy(np.random.default_rng(seed).standard_normal((rows, columns)))
    removed = singular_values(weight)[min(rows, columns) - count :]
    change = float(torch.linalg.norm(weight - remove_smallest(weight, count)) ** 2)
    assert change == pytest.approx(float((removed**2).sum()), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_removal_keeps_dtype_and_shape(dtype: torch.dtype) -> None:
    weight = matrix_with_spectrum(range(6, 0, -1), (6, 8)).to(dtype)
    rest = remove_smallest(weight, 2)
    assert (rest.dtype, rest.shape) == (dtype, weight.shape)
    assert float((weight - rest).double().norm()) == pytest.approx(math.sqrt(5), rel=0.02)


def test_removal_rounds_only_what_changes() -> None:
    weight = matrix_with_spectrum(list(np.geomspace(1, 1e-6, 64)), (64, 64)).float()
    rest = remove_smallest(weight, 8)
    exact = remove_smallest(weight.double(), 8)
    assert float((rest.double() - exact).norm() / exact.norm()) < 1e-7


def test_removing_nothing_returns_the_weight_itself() -> None:
    weight = torch.ones(3, 3)
    assert remove_smallest(weight, 0) is weight


def test_rank_deficient_and_zero_matrices() -> None:
    weight = matrix_with_spectrum([3.0, 2.0], (8, 6))
    torch.testing.assert_close(remove_smallest(weight, 4), weight, rtol=0, atol=1e-13)
    assert torch.equal(remove_smallest(torch.zeros(4, 4), 2), torch.zeros(4, 4))


@pytest.mark.parametrize(
    ("weight", "count", "code"),
    [
        (torch.eye(3), 3, "removal_too_large"),
        (torch.eye(3), -1, "removal_too_large"),
        (torch.ones(1, 4), 1, "removal_too_large"),
        (torch.ones(4), 1, "not_a_matrix"),
        (torch.full((3, 3), float("nan")), 1, "model_not_finite"),
    ],
)
def test_removals_that_make_no_sense_are_refused(
    weight: torch.Tensor, count: int, code: str
) -> None:
    with pytest.raises(ModelError) as caught:
        remove_smallest(weight, count)
    assert caught.value.code == code


def reference(weight: torch.Tensor, count: int) -> torch.Tensor:
    U, S, Vh = torch.linalg.svd(weight.double(), full_matrices=False)
    return (U[:, :-count] * S[:-count]) @ Vh[:-count]


def gaussian(shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


LARGE = {
    "square": gaussian((SIDE, SIDE)),
    "tall, clustered edge": gaussian((2 * SIDE, SIDE)),
    "wide, clustered edge": gaussian((SIDE, 3 * SIDE)),
    "power law": matrix_with_spectrum(list(np.arange(1, SIDE + 1) ** -0.7), (SIDE, SIDE)).float(),
    "eight orders": matrix_with_spectrum(
        list(np.geomspace(1, 1e-8, SIDE)), (SIDE, SIDE + 64)
    ).float(),
}


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("count", [1, 8, 32])
def test_the_krylov_route_equals_the_full_svd(name: str, count: int) -> None:
    weight = LARGE[name]
    expected = reference(weight, count)
    rest = remove_smallest(weight, count).double()
    assert float((rest - expected).norm() / expected.norm()) < 1e-7


@pytest.mark.parametrize("name", ["square", "tall, clustered edge", "wide, clustered edge"])
def test_the_krylov_route_is_the_one_taken(name: str) -> None:
    assert smallest_eigenvectors(smaller_gram(LARGE[name]), 16) is not None


@pytest.mark.parametrize("name", ["square", "tall, clustered edge", "wide, clustered edge"])
def test_float32_weights_take_the_route_of_two_precisions(name: str) -> None:
    weight = LARGE[name]
    tall = weight if weight.shape[0] >= weight.shape[1] else weight.T
    found = mixed.smallest_vectors(tall, 16)
    assert found is not None
    vectors = found.vectors
    assert vectors.dtype == torch.float64
    assert float((found.images - tall.double() @ vectors).abs().max()) < 1e-12
    truth = torch.linalg.svd(tall.double(), full_matrices=False).Vh[-16:].T
    # The spaces agree to far more digits than a float32 Gram matrix could give.
    lost = torch.linalg.norm(truth - vectors @ (vectors.T @ truth))
    assert float(lost) < 1e-4
    assert mixed.smallest_vectors(tall.double(), 16) is None


AWKWARD = {
    "rank deficient": [*np.linspace(3, 1, SIDE - 40), *np.zeros(40)],
    "all equal": np.ones(SIDE),
    "two levels": [*np.full(SIDE // 2, 2.0), *np.full(SIDE // 2, 1.0)],
    "zero": np.zeros(SIDE),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", AWKWARD)
def test_ties_and_zeros_keep_the_removal_law(name: str, dtype: torch.dtype) -> None:
    known = np.asarray(AWKWARD[name], dtype=np.float64)
    weight = matrix_with_spectrum(list(known), (SIDE, SIDE)).to(dtype)
    rest = remove_smallest(weight, 16)
    change = float((weight.double() - rest.double()).norm() ** 2)
    assert change == pytest.approx(float((known[-16:] ** 2).sum()), rel=1e-6, abs=1e-9)
    values = singular_values(rest, exactly=True)
    np.testing.assert_allclose(values[: SIDE - 16], known[: SIDE - 16], atol=2e-6)
    np.testing.assert_allclose(values[SIDE - 16 :], 0, atol=2e-6)


def test_a_missed_component_is_found_out() -> None:
    weight = LARGE["square"]
    gram = smaller_gram(weight)
    values, vectors = torch.linalg.eigh(gram)
    assert krylov.is_complete(gram, vectors[:, :8], values[:8])
    others = [0, 1, 2, 3, 4, 5, 6, 8]  # the eighth is left out
    assert not krylov.is_complete(gram, vectors[:, others], values[others])


def test_a_krylov_run_that_misses_falls_back_to_the_full_decomposition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weight = LARGE["square"]
    monkeypatch.setattr(krylov, "is_complete", lambda *_arguments: False)
    monkeypatch.setattr(mixed, "is_complete", lambda *_arguments: False)
    assert mixed.smallest_vectors(weight, 8) is None
    assert smallest_eigenvectors(smaller_gram(weight), 8) is None
    expected = reference(weight, 8)
    assert float((remove_smallest(weight, 8).double() - expected).norm()) < 1e-7 * expected.norm()


@pytest.mark.parametrize("shape", [(30, 30), (40, 25), (25, 40)])
@pytest.mark.parametrize("components", [[0], [24], [3, 7, 7, 20], list(range(10))])
def test_any_set_of_components_can_go(shape: tuple[int, int], components: list[int]) -> None:
    weight = gaussian(shape, seed=3).double()
    U, S, Vh = torch.linalg.svd(weight, full_matrices=False)
    kept = [i for i in range(len(S)) if i not in components]
    expected = (U[:, kept] * S[kept]) @ Vh[kept]
    torch.testing.assert_close(remove_components(weight, components), expected)


def test_a_component_that_is_not_there_is_refused() -> None:
    for components in ([5], [-1]):
        with pytest.raises(ModelError) as caught:
            remove_components(torch.eye(5) + torch.ones(5, 5), components)
        assert caught.value.code == "removal_too_large"
    weight = torch.eye(4)
    assert remove_components(weight, []) is weight
