"""Every weight of a model in one line: its ranks, its ends, the energy kept and its tail."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from kasa.spectral.powerlaw import PowerLaw
from kasa.spectral.spectrum import Spectrum, numerical_rank, plain_cell, stable_rank


@dataclass(frozen=True)
class WeightRow:
    """One weight's measures; None where there is none.

    A sketch does not know the smallest values, so it has no numerical rank, smallest σ or α;
    `alpha` ± `alpha_error` is the fitted power law of σ².
    """

    module: str
    layer: int | None
    kind: str
    shape: str
    method: str
    full_rank: int
    effective_rank: float
    stable_rank: float
    numerical_rank: int | None
    largest: float
    smallest: float | None
    removed_components: int
    energy_kept: float
    alpha: float | None
    alpha_error: float | None


def weight_rows(
    spectra: Sequence[Spectrum], removed_components: int, laws: Mapping[str, PowerLaw | None]
) -> list[WeightRow]:
    """Return one row per weight with `removed_components` taken out; `laws` holds fits by module.

    At least one component stays.
    """
    return [_row(s, removed_components, laws.get(s.module)) for s in spectra]


def _row(spectrum: Spectrum, removed_components: int, law: PowerLaw | None) -> WeightRow:
    s = spectrum.singular_values
    exact = spectrum.method == "exact"
    removed = min(removed_components, s.size - 1)
    return WeightRow(
        module=spectrum.module,
        layer=spectrum.layer,
        kind=spectrum.kind,
        shape=f"{spectrum.shape[0]} × {spectrum.shape[1]}",
        method=spectrum.method,
        full_rank=s.size,
        effective_rank=spectrum.effective_rank,
        stable_rank=stable_rank(s),
        numerical_rank=numerical_rank(s, spectrum.shape) if exact else None,
        largest=float(s[0]),
        smallest=float(s[-1]) if exact else None,
        removed_components=removed,
        energy_kept=float(spectrum.energies[s.size - removed - 1]),
        alpha=law.alpha if law and exact else None,
        alpha_error=law.alpha_error if law and exact else None,
    )


def rows_csv(rows: Sequence[WeightRow]) -> str:
    """Return the rows as CSV with every digit; what a weight does not have stays empty."""
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    names = [field.name for field in fields(WeightRow)]
    table.writerow(names)
    table.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return stream.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else plain_cell(str(value))
