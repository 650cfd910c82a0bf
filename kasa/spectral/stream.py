"""The spectra of a whole model, one matrix at a time from safetensors, several at once over cores.

No model is built. Memory follows the largest matrix, not the model: a worker holds one weight in
float32 and its Gram matrix. LAPACK gains little from threads within one matrix, so each worker
computes with one thread and the matrices go side by side. Each result is kept as soon as it is
there; an analysis that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kasa.errors import ModelError
from kasa.model.headers import WeightInfo
from kasa.model.source import ModelSource
from kasa.model.weights import linear_weights, read_weight
from kasa.spectral.spectrum import Spectrum, checked, singular_values, write_whole

METHODS = ("exact", "sketch")
# All workers together stay below this, besides what the libraries take.
MEMORY_BYTES = 1_600_000_000


@dataclass(frozen=True)
class Progress:
    """How far an analysis is: matrices done of all, the last one's module, and the share of work.

    Work is m·n·min(m, n) of a matrix (m·n for a sketch), so `share` follows time, not the count.
    """

    done: int
    total: int
    module: str
    share: float


def analyse(
    source: ModelSource,
    *,
    method: str = "exact",
    keep: Path | None = None,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Spectrum]:
    """Return the spectrum of every linear weight, in the model's order.

    `method` is exact, or sketch (each with its error band; small matrices are exact there too).
    `keep` is a folder for this model's results: what lies there is not computed again, and where
    exact values lie a sketch is not made. `progress` is called before the first matrix and after
    each. When `should_stop()` says so, the spectra found so far are returned. Raises `ModelError`
    for a model without linear weights, an unknown method, and NaN or infinity in a weight.
    """
    if method not in METHODS:
        raise ModelError("unknown_spectrum_method", got=method, wanted=", ".join(METHODS))
    weights = linear_weights(source)
    if not weights:
        raise ModelError("model_no_linear", name=source.name)
    report = progress or (lambda _progress: None)
    work = {info.name: _work(info, method) for info in weights}
    report(Progress(0, len(weights), weights[0].module, 0.0))
    found: dict[str, Spectrum] = {}

    def one(info: WeightInfo) -> Spectrum | None:
        return None if should_stop() else _measured(source, info, method, keep)

    count = workers or _num_workers(weights)
    with _one_thread_each(), ThreadPoolExecutor(count, initializer=_use_one_thread) as pool:
        waiting = {pool.submit(one, info): info for info in weights}
        try:
            for spectrum in _finished(waiting):
                found[spectrum.name] = spectrum
                share = sum(work[name] for name in found) / sum(work.values())
                report(Progress(len(found), len(weights), spectrum.module, share))
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
    return [found[info.name] for info in weights if info.name in found]


def _finished(waiting: dict[Future[Spectrum | None], WeightInfo]) -> Iterator[Spectrum]:
    for future in as_completed(waiting):
        spectrum = future.result()
        if spectrum is not None:
            yield spectrum


def _measured(source: ModelSource, info: WeightInfo, method: str, keep: Path | None) -> Spectrum:
    for known in ("exact", method):
        spectrum = _kept(keep, info, known)
        if spectrum is not None:
            return spectrum
    from kasa.spectral.sketch import WORTHWHILE, sketch

    weight = read_weight(source, info.name)
    band = None
    if method == "sketch" and min(info.shape) >= WORTHWHILE:
        rough = sketch(weight)
        values, band = rough.singular_values, (rough.energy_low, rough.energy_high)
    else:
        values = singular_values(weight)
    spectrum = Spectrum(info.name, info.module, info.layer, info.kind, info.shape, values, band)
    if keep is not None:
        _keep(keep, spectrum)
    return spectrum


def _work(info: WeightInfo, method: str) -> float:
    rows, columns = info.shape
    return float(rows * columns * (min(rows, columns) if method == "exact" else 1))


def _num_workers(weights: Sequence[WeightInfo]) -> int:
    """Return one worker a core, fewer where the largest matrices would fill the memory."""
    if _on_gpu():
        return 1
    # float32 weight, what it was stored as, and twice its Gram matrix in float64.
    need = max(6 * w.num_params + 16 * min(w.shape) ** 2 for w in weights)
    return max(1, min(_num_cores(), len(weights), int(MEMORY_BYTES // need)))


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _use_one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# -- what is kept: one npz a matrix ------------------------------------------------------------


def _place(keep: Path, name: str, method: str) -> Path:
    # A tensor's name may hold what a disk refuses.
    return keep / f"{method}-{hashlib.sha256(name.encode()).hexdigest()[:20]}.npz"


def _keep(keep: Path, spectrum: Spectrum) -> None:
    arrays = {"singular_values": spectrum.singular_values}
    if spectrum.band is not None:
        arrays |= {"energy_low": spectrum.band[0], "energy_high": spectrum.band[1]}
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    keep.mkdir(parents=True, exist_ok=True)
    write_whole(_place(keep, spectrum.name, spectrum.method), stream.getvalue())


def _kept(keep: Path | None, info: WeightInfo, method: str) -> Spectrum | None:
    """Return a kept result; one that is damaged or of another size counts as absent."""
    if keep is None:
        return None
    try:
        # Opened here, because np.load leaves a file open that turns out to be no archive.
        with (
            _place(keep, info.name, method).open("rb") as file,
            np.load(file, allow_pickle=False) as arrays,
        ):
            values = checked(arrays["singular_values"])
            band = None
            if "energy_low" in arrays:
                band = (arrays["energy_low"], arrays["energy_high"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, ModelError):
        return None
    if values.size != min(info.shape):
        return None
    return Spectrum(info.name, info.module, info.layer, info.kind, info.shape, values, band)
