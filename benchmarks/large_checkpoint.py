"""A 7B-shaped checkpoint of 13 GB in shards: bounded memory, and going on after a kill.

Makes the checkpoint (32 layers, bfloat16, a shard a layer; random weights with a heavy head), then in
processes of their own: sketches the whole model, is killed (-9) half way, goes on, and measures one
layer exactly. Prints times and peak memory. Needs 14 GB of disk, given back at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from common import LAYER_SHAPES, ROOT, conditions
from safetensors.torch import save_file

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 32000}
CHILD = """
import json, sys, time
from pathlib import Path
from kasa.model.source import resolve_model
from kasa.spectral.stream import analyse
from kasa.tuning.measure import peak_memory_bytes
folder, method, keep = sys.argv[1:4]
source = resolve_model(folder)
start = time.perf_counter()
def show(step):
    print(json.dumps({"done": step.done, "total": step.total}), flush=True)
spectra = analyse(source, method=method, keep=Path(keep), progress=show)
print(json.dumps({"seconds": time.perf_counter() - start, "peak": peak_memory_bytes(),
                  "matrices": len(spectra)}), flush=True)
"""


def write_checkpoint(folder: Path, layers: int) -> None:
    """Write the shards; every layer has weights of its own."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": layers}), "utf-8")
    places = {}
    for layer in range(layers):
        generator = torch.Generator().manual_seed(layer)
        file = f"model-{layer + 1:05d}-of-{layers:05d}.safetensors"
        tensors = {}
        for name, (rows, columns) in LAYER_SHAPES.items():
            weight = torch.randn(rows, columns, generator=generator) / columns**0.5
            left = torch.randn(rows, 8, generator=generator) / rows**0.5
            right = torch.randn(8, columns, generator=generator) / columns**0.5
            weight += left @ (5 * right)
            tensors[f"model.layers.{layer}.{name}.weight"] = weight.to(torch.bfloat16)
        save_file(tensors, folder / file)
        places |= dict.fromkeys(tensors, file)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")


def run(folder: Path, method: str, keep: Path, kill_after: int | None = None) -> dict[str, object]:
    """Analyse in a child process; with `kill_after` it is killed once that many matrices are done."""
    command = [sys.executable, "-c", CHILD, str(folder), method, str(keep)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    last: dict[str, object] = {}
    for line in child.stdout or ():
        last = json.loads(line)
        if kill_after is not None and last.get("done", 0) >= kill_after:
            os.kill(child.pid, signal.SIGKILL)
            break
    child.wait()
    return last


def main() -> None:
    """Make the checkpoint, measure, and clean up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        start = time.perf_counter()
        write_checkpoint(home / "model", options.layers)
        size = sum(file.stat().st_size for file in (home / "model").iterdir()) / 1e9
        print(
            f"Checkpoint of {size:.1f} GB made in {time.perf_counter() - start:.0f} s.", flush=True
        )
        half = options.layers * len(LAYER_SHAPES) // 2
        killed = run(home / "model", "sketch", home / "kept", kill_after=half)
        kept = len(list((home / "kept").glob("*.npz")))
        print(f"Killed after {killed['done']} of {killed['total']} matrices; {kept} results kept.")
        rest = run(home / "model", "sketch", home / "kept")
        print("| what | matrices | seconds | peak RSS |")
        print("|---|---|---|---|")
        peak = float(rest["peak"]) / 2**30
        print(
            f"| sketch, the rest after the kill | {rest['matrices']} | {rest['seconds']:.0f} | {peak:.2f} GiB |"
        )
        one = home / "one"
        one.mkdir()
        shard = sorted((home / "model").glob("*.safetensors"))[0]
        shard.rename(one / "model.safetensors")
        (one / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": 1}), "utf-8")
        exact = run(one, "exact", home / "kept-exact")
        peak = float(exact["peak"]) / 2**30
        print(
            f"| one layer, exact | {exact['matrices']} | {exact['seconds']:.0f} | {peak:.2f} GiB |"
        )
    print(conditions("torch", "numpy", "safetensors"))


if __name__ == "__main__":
    main()
