"""Exact and sketched spectra against a loop of torch.linalg.svdvals, and against WeightWatcher.

1. Four 4096×4096 and four 11008×4096 float32 matrices, kept in safetensors: `analyse()` against a loop
   of `torch.linalg.svdvals` with all threads, and both errors against float64.
2. The embedded model against WeightWatcher 0.7.7 `analyze()`, each in a process of its own; both give
   every layer's α with its KS distance, stable rank and norms. WeightWatcher is installed by this
   benchmark into its own environment.
3. A 7B-shaped layer (4 × 4096×4096, 3 × 11008×4096): sketch against exact, and how much of the true
   energy curve lies inside the stated band.

What was tried for part 1, and what bounds it (2 cores, one 4096×4096 matrix, one thread):

- `svdvals` takes 3.9 s in float32; a float64 Gram matrix 1.4 s and its `eigvalsh` 3.4 s.
- `eigvalsh` in float32 takes 3.1 s: the reduction to tridiagonal form is bound by memory, not by arithmetic,
  and a float32 Gram matrix loses the small values. A second thread does not speed it up, so two matrices run
  side by side.
- `scipy.linalg.eigh` (evd, ev) takes twice as long; reducing to a band first and then `eigvals_banded` costs as
  much in its second stage as is saved in the first.
- Gram matrix and reduction are 1.6e11 operations for a square matrix and 2.8e11 for a tall one; at the 100 GFLOP/s
  that both cores reach in float64, not even perfect code would be more than 1.8 times as fast as `svdvals` here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
import torch
from common import LAYER_SHAPES, ROOT, conditions, seconds
from safetensors.torch import save_file

from kasa.model.source import ModelSource, resolve_model
from kasa.model.weights import linear_weights, read_weight
from kasa.spectral.spectrum import energy_fraction
from kasa.spectral.stream import analyse

CONFIG = {"architectures": ["LlamaModel"], "model_type": "llama", "num_hidden_layers": 1}
WATCHER = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import logging; logging.disable(logging.CRITICAL)
import torch, weightwatcher as ww
from safetensors.torch import load_file
state = load_file(sys.argv[1])
model = torch.nn.ModuleDict()
for name, weight in state.items():
    if weight.ndim == 2 and name.endswith(".weight") and "embedding" not in name:
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight.data = weight
        model[name.replace(".", "_")] = layer
best, rows = 1e9, 0
for _ in range(3):
    start = time.perf_counter()
    details = ww.WeightWatcher(model=model).analyze()
    best, rows = min(best, time.perf_counter() - start), len(details)
alphas = dict(zip(details["longname"], details["alpha"].astype(float)))
print(json.dumps({"seconds": best, "rows": rows, "alphas": alphas}))
"""
OURS = """
import json, sys, time
from kasa.model.source import resolve_model
from kasa.spectral.powerlaw import fit_power_law
from kasa.spectral.spectrum import effective_rank, stable_rank
from kasa.spectral.stream import analyse
source = resolve_model("embedded")
best = 1e9
for _ in range(3):
    start = time.perf_counter()
    spectra = analyse(source)
    alphas = {}
    for s in spectra:
        fit = fit_power_law(s.singular_values)
        alphas[s.module.replace(".", "_") + "_weight"] = fit.alpha
        effective_rank(s.singular_values), stable_rank(s.singular_values)
    best = min(best, time.perf_counter() - start)
print(json.dumps({"seconds": best, "rows": len(spectra), "alphas": alphas}))
"""


def weight(shape: tuple[int, int], seed: int) -> torch.Tensor:
    """Return a weight as trained ones are: noise with a heavy head of 64 directions."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(*shape, generator=generator) / shape[1] ** 0.5
    left = torch.linalg.qr(torch.randn(shape[0], 64, generator=generator)).Q
    right = torch.linalg.qr(torch.randn(shape[1], 64, generator=generator)).Q
    head = 8.0 * torch.arange(1, 65) ** -0.7
    return noise + (left * head) @ right.T


def write_layer(folder: Path, shapes: dict[str, tuple[int, int]]) -> ModelSource:
    """Write the weights as a model folder and return it."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG), "utf-8")
    tensors = {
        f"layers.0.{name}.weight": weight(shape, seed)
        for seed, (name, shape) in enumerate(shapes.items())
    }
    save_file(tensors, folder / "model.safetensors")
    return resolve_model(str(folder))


def exact_part(folder: Path) -> None:
    """Print part 1."""
    shapes = {f"a{i}.square": (4096, 4096) for i in range(4)}
    shapes |= {f"b{i}.tall": (11008, 4096) for i in range(4)}
    source = write_layer(folder / "set", shapes)
    names = [info.name for info in linear_weights(source)]
    loop: dict[str, torch.Tensor] = {}

    def by_loop() -> None:
        for name in names:
            loop[name] = torch.linalg.svdvals(read_weight(source, name))

    slow = seconds(by_loop)
    spectra = []
    fast = seconds(lambda: spectra.extend(analyse(source)))
    print(f"| svdvals loop, fp32 | {slow:.1f} s | | {errors(source, loop)} |")
    ours = {s.name: torch.from_numpy(s.singular_values) for s in spectra}
    print(f"| analyse, exact | {fast:.1f} s | {slow / fast:.2f}× | {errors(source, ours)} |")


def errors(source: ModelSource, found: dict[str, torch.Tensor]) -> str:
    """Return the largest |σ − σ_ref|/σ_max over one square and one tall matrix, in float64."""
    worst = []
    for name in (next(n for n in found if "square" in n), next(n for n in found if "tall" in n)):
        reference = torch.linalg.svdvals(read_weight(source, name).double())
        worst.append(float((found[name].double() - reference).abs().max() / reference[0]))
    return " / ".join(f"{error:.1e}" for error in worst)


def watcher_part(folder: Path) -> None:
    """Print part 2."""
    place = folder / "weightwatcher"
    venv.create(place, with_pip=True, system_site_packages=False)
    python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    install = [str(python), "-m", "pip", "install", "-q", "weightwatcher==0.7.7", "torch==2.13.0"]
    subprocess.run([*install, "safetensors"], check=True)
    file = resolve_model("embedded").weight_files()[0]
    theirs = answer([str(python), "-c", WATCHER, str(file)])
    ours = answer([sys.executable, "-c", OURS])
    common = [name for name in ours["alphas"] if name in theirs["alphas"]]
    apart = [abs(ours["alphas"][n] - theirs["alphas"][n]) for n in common]
    print(f"| WeightWatcher 0.7.7 analyze() | {theirs['seconds']:.2f} s | | {theirs['rows']} |")
    ratio = theirs["seconds"] / ours["seconds"]
    print(
        f"| analyse + power law + ranks | {ours['seconds']:.2f} s | {ratio:.2f}× | {ours['rows']} |"
    )
    if apart:
        print(
            f"\nα of {len(common)} common layers differs by {np.median(apart):.3f} in the median."
        )


def answer(command: list[str]) -> dict[str, object]:
    """Return the JSON document on a command's last line."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def sketch_part(folder: Path) -> None:
    """Print part 3."""
    source = write_layer(folder / "layer", LAYER_SHAPES)
    rough, exact = [], []
    fast = seconds(lambda: rough.extend(analyse(source, method="sketch")))
    slow = seconds(lambda: exact.extend(analyse(source)))
    inside, width, off = [], [], []
    for sketched, true in zip(rough, exact, strict=True):
        low, high = sketched.band
        truth = energy_fraction(true.singular_values)
        inside.append(float(((low <= truth) & (truth <= high)).mean()))
        width.append(float((high - low).max()))
        off.append(float(np.abs(energy_fraction(sketched.singular_values) - truth).max()))
    print(f"| exact | {slow:.1f} s | | | | |")
    print(
        f"| sketch | {fast:.1f} s | {slow / fast:.1f}× | {min(inside):.2%} | {max(width):.3f} |"
        f" {max(off):.4f} |"
    )


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["exact", "watcher", "sketch"])
    parts = parser.parse_args().parts
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "exact" in parts:
            print(
                "| 4 × 4096×4096 + 4 × 11008×4096 | time | ratio | largest error ÷ σ_max (square / tall) |"
            )
            print("|---|---|---|---|")
            exact_part(folder)
        if "watcher" in parts:
            print("\n| embedded model | time (best of 3) | ratio | layers |")
            print("|---|---|---|---|")
            watcher_part(folder)
        if "sketch" in parts:
            print(
                "\n| 7B-shaped layer | time | ratio | inside the band | widest band | middle off by |"
            )
            print("|---|---|---|---|---|---|")
            sketch_part(folder)
    print("\n" + conditions("torch", "numpy"))


if __name__ == "__main__":
    main()
