"""The whole-model table by hand: ranks, ends, energy, power law, and what a sketch leaves out."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from kasa.spectral.overview import rows_csv, weight_rows
from kasa.spectral.powerlaw import fit_power_law
from kasa.spectral.spectrum import Spectrum

EXACT = Spectrum("q.weight", "q", 0, "query", (4, 9), np.array([4.0, 2.0, 2.0, 0.0]))  # Σσ² = 24
FORMULA = Spectrum("=1+1.weight", "=1+1", None, "=1+1", (2, 2), np.array([1.0, 1.0]))


def test_a_row_by_hand() -> None:
    (row,) = weight_rows([EXACT], 2, {})
    assert (row.layer, row.kind, row.shape, row.method) == (0, "query", "4 × 9", "exact")
    assert (row.full_rank, row.numerical_rank, row.largest, row.smallest) == (4, 3, 4.0, 0.0)
    assert row.effective_rank == pytest.approx(2**1.5)  # entropy of (½, ¼, ¼) is 1.5 bits
    assert row.stable_rank == pytest.approx(24 / 16)
    assert row.energy_kept == pytest.approx(20 / 24)
    assert (row.alpha, row.alpha_error) == (None, None)


def test_one_component_always_stays() -> None:
    (row,) = weight_rows([EXACT], 99, {})
    assert row.removed_components == 3
    assert row.energy_kept == pytest.approx(16 / 24)


def test_the_power_law_is_the_fitted_one() -> None:
    values = np.sort(np.random.default_rng(0).pareto(2.0, 200) + 1)[::-1].copy()
    heavy = Spectrum("w.weight", "w", 1, "w", (200, 200), values)
    law = fit_power_law(values)
    assert law is not None
    (row,) = weight_rows([heavy], 0, {"w": law})
    assert (row.alpha, row.alpha_error, row.energy_kept) == (law.alpha, law.alpha_error, 1.0)


def test_a_sketch_claims_no_more_than_it_knows() -> None:
    band = (np.array([0.6, 0.8, 1, 1]), np.array([0.7, 0.9, 1, 1]))
    law = fit_power_law(np.linspace(20, 1, 20))
    (row,) = weight_rows([replace(EXACT, band=band)], 1, {"q": law})
    assert row.method == "sketch"
    assert (row.numerical_rank, row.smallest, row.alpha) == (None, None, None)


def test_the_csv_has_every_digit_and_no_formula() -> None:
    rows = weight_rows([EXACT, FORMULA], 1, {})
    read = list(csv.DictReader(io.StringIO(rows_csv(rows))))
    assert [float(line["effective_rank"]) for line in read] == [r.effective_rank for r in rows]
    assert (read[0]["alpha"], read[1]["layer"]) == ("", "")
    assert read[1]["module"] == "'=1+1"
