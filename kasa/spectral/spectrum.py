"""The exact singular values of every linear weight, and what they say: ranks and energies.

The measures are pure numpy on a descending vector of singular values; torch is only imported where
a weight is decomposed, so a server can load and plot spectra without it.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kasa.errors import ModelError
from kasa.model.source import ModelSource

if TYPE_CHECKING:
    import torch

SPECTRA_FILE = "spectra.npz"
Values = NDArray[np.float64]
# Below this side the full SVD costs nothing that would be felt.
GRAM_MIN_SIDE = 128
FLOAT32_EPS = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """One linear weight's singular values: float64, descending, min(shape) of them.

    `name` is the tensor, `module` its state-dict module; `layer` and `kind` as in `WeightInfo`.
    `band` is None for exact values; for a sketch it holds the lowest and the highest energy
    fraction at every number of components.
    """

    name: str
    module: str
    layer: int | None
    kind: str
    shape: tuple[int, int]
    singular_values: Values
    band: tuple[Values, Values] | None = None

    @property
    def method(self) -> str:
        """How the values were found: exact or sketch."""
        return "exact" if self.band is None else "sketch"

    @cached_property
    def energies(self) -> Values:
        """`energy_fraction` of the values, computed once."""
        return energy_fraction(self.singular_values)

    @cached_property
    def effective_rank(self) -> float:
        """`effective_rank` of the values, computed once."""
        return effective_rank(self.singular_values)


def energy_fraction(singular_values: ArrayLike) -> Values:
    """Return the cumulative energy (Σ_{i≤j} σᵢ²)/Σσ² for j = 1…k; all ones for a zero matrix."""
    s = checked(singular_values)
    if s[0] == 0:
        return np.ones_like(s)
    # Scaled by the largest value, so that squares neither overflow nor vanish.
    cumulative = np.cumsum((s / s[0]) ** 2)
    return np.asarray(cumulative / cumulative[-1], dtype=np.float64)


def effective_rank(singular_values: ArrayLike) -> float:
    """Return exp(−Σ pᵢ ln pᵢ), pᵢ = σᵢ/Σσ (Roy and Vetterli 2007): 1 to k, 0 for a zero matrix."""
    s = checked(singular_values)
    s = s[s > 0]
    if s.size == 0:
        return 0.0
    share = s / s[0]
    share = share / share.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def stable_rank(singular_values: ArrayLike) -> float:
    """Return ‖W‖_F²/‖W‖₂² = Σσ²/σ₁²: from 1 to k, 0 for a zero matrix."""
    s = checked(singular_values)
    return 0.0 if s[0] == 0 else float(((s / s[0]) ** 2).sum())


def numerical_rank(
    singular_values: ArrayLike, shape: tuple[int, int], eps: float = FLOAT32_EPS
) -> int:
    """Return the count of σ > max(shape)·eps·σ₁, as `numpy.linalg.matrix_rank` does.

    Weights are stored with at most float32's precision, so its eps is the default.
    """
    s = checked(singular_values)
    return int((s > max(shape) * eps * s[0]).sum())


def energy_without_smallest(singular_values: ArrayLike, count: int) -> float:
    """Return the share of Σσ² left without the `count` smallest values; 1 for a zero matrix."""
    s = checked(singular_values)
    if not 0 <= count <= s.size:
        raise ModelError("removal_too_large", count=count, limit=s.size)
    if s[0] == 0:
        return 1.0
    return 0.0 if count == s.size else float(energy_fraction(s)[s.size - count - 1])


def checked(singular_values: ArrayLike) -> Values:
    """Return the values as a float64 vector; `ModelError` unless finite, ≥ 0 and descending."""
    s = np.asarray(singular_values, dtype=np.float64)
    good = s.ndim == 1 and s.size > 0 and bool(np.isfinite(s).all())
    if not good or s[-1] < 0 or bool((np.diff(s) > 0).any()):
        raise ModelError("spectrum_invalid", shape=str(s.shape))
    return s


def singular_values(weight: torch.Tensor, *, exactly: bool = False) -> Values:
    """Return a matrix's singular values in float64, descending.

    σ = √λ of the smaller side's Gram matrix in float64: |σ − σ_ref| ≤ 1e-6·σ_max, in practice about
    1e-8·σ_max. `exactly` and small matrices take LAPACK's gesdd in float64 instead, for a caller
    that needs the smallest values to their own precision. Runs on a GPU where there is one.
    Raises `ModelError` for anything but a matrix of finite values.
    """
    import torch

    from kasa.spectral.gram import smaller_gram

    if weight.ndim != 2 or weight.numel() == 0:
        raise ModelError("not_a_matrix", shape=str(tuple(weight.shape)))
    weight = weight.detach()
    # NaN and infinity pass through to the ends, which also give the scale: one look at the values.
    scale = max(abs(float(end)) for end in torch.aminmax(weight))
    if not math.isfinite(scale):
        raise ModelError("model_not_finite", name="weight", model=str(tuple(weight.shape)))
    if torch.cuda.is_available():
        weight = weight.cuda()
    if exactly or min(weight.shape) < GRAM_MIN_SIDE:
        values = torch.linalg.svdvals(weight.to(torch.float64))
    else:
        scale = scale or 1.0
        squares = torch.linalg.eigvalsh(smaller_gram(weight, scale)).flip(0)
        values = squares.clamp(min=0).sqrt() * scale
    return np.asarray(values.clamp(min=0).cpu().numpy(), dtype=np.float64)


def spectrum_key(source: ModelSource, method: str = "exact") -> str:
    """Return the job's key: the same content is analysed once a method, whatever its name."""
    return f"spectrum{'' if method == 'exact' else f'-{method}'}:{source.sha256}"


def save_spectra(path: Path, spectra: Sequence[Spectrum]) -> None:
    """Write an npz whose keys are the module names, and what they are in a JSON file beside it.

    Sketches have their bands in a third file. Each file appears complete or not at all; the npz
    comes last, so where it is, all are.
    """
    facts = [
        {"name": s.name, "module": s.module, "layer": s.layer, "kind": s.kind, "shape": s.shape}
        for s in spectra
    ]
    write_whole(path.with_suffix(".json"), json.dumps(facts, ensure_ascii=False).encode())
    bands = {s.module: np.stack(s.band) for s in spectra if s.band is not None}
    write_whole(_band_file(path), _npz(bands))
    write_whole(path, spectra_npz(spectra))


def _band_file(path: Path) -> Path:
    return path.with_name(path.stem + ".bands.npz")


def load_spectra(path: Path) -> list[Spectrum]:
    """Return what `save_spectra` wrote, in its order; pickled content is refused."""
    try:
        facts = json.loads(path.with_suffix(".json").read_text("utf-8"))
        with (
            path.open("rb") as file,
            _band_file(path).open("rb") as band_file,
            np.load(file, allow_pickle=False) as arrays,
            np.load(band_file, allow_pickle=False) as bands,
        ):
            return [
                Spectrum(
                    name=str(fact["name"]),
                    module=str(fact["module"]),
                    layer=fact["layer"],
                    kind=str(fact["kind"]),
                    shape=(int(fact["shape"][0]), int(fact["shape"][1])),
                    singular_values=checked(arrays[fact["module"]]),
                    band=tuple(bands[fact["module"]]) if fact["module"] in bands else None,
                )
                for fact in facts
            ]
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise ModelError("spectra_unreadable", path=str(path), detail=str(error)) from error


def spectra_npz(spectra: Sequence[Spectrum]) -> bytes:
    """Return the npz file's bytes: one float64 vector per module name."""
    return _npz({spectrum.module: spectrum.singular_values for spectrum in spectra})


def _npz(arrays: dict[str, Values]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def spectra_csv(spectra: Sequence[Spectrum]) -> str:
    """Return one line per singular value: its weight, its number, σ and the cumulative energy."""
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    head = ("module", "layer", "kind", "out", "in")
    table.writerow((*head, "component", "singular_value", "energy_fraction"))
    table.writerows(row for spectrum in spectra for row in _rows(spectrum))
    return stream.getvalue()


def _rows(spectrum: Spectrum) -> Iterator[tuple[object, ...]]:
    layer = "" if spectrum.layer is None else spectrum.layer
    head = (plain_cell(spectrum.module), layer, plain_cell(spectrum.kind), *spectrum.shape)
    pairs = zip(spectrum.singular_values, spectrum.energies, strict=True)
    for number, (value, energy) in enumerate(pairs, start=1):
        yield (*head, number, repr(float(value)), repr(float(energy)))


def plain_cell(name: str) -> str:
    """Return a name as a spreadsheet reads it: a tensor may be named like a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears complete or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)  # noqa: PTH105 (the atomic call itself)
