"""What every benchmark prints beside its table: the machine and the versions."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kasa.tuning.measure import machine  # noqa: E402

# One layer of a model of the 7B class: (out, in) of its linear weights.
LAYER_SHAPES = {
    "self_attn.q_proj": (4096, 4096),
    "self_attn.k_proj": (4096, 4096),
    "self_attn.v_proj": (4096, 4096),
    "self_attn.o_proj": (4096, 4096),
    "mlp.gate_proj": (11008, 4096),
    "mlp.up_proj": (11008, 4096),
    "mlp.down_proj": (4096, 11008),
}


def conditions(*packages: str) -> str:
    """Return one line: machine and versions."""
    versions = {name: importlib.metadata.version(name) for name in packages}
    return json.dumps({"machine": machine(), "versions": versions}, ensure_ascii=False)


def shared(name: str) -> Path:
    """Return a folder beside the project; stops with one sentence where it is absent."""
    folder = ROOT.parent / "shared" / name
    if not folder.is_dir():
        raise SystemExit(f"This benchmark reads ../shared/{name}, which is not beside the project.")
    return folder


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    """Return the least wall-clock seconds of `repeats` calls."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def geometric_mean(values: list[float]) -> float:
    """Return (Π values)^(1/n)."""
    product = 1.0
    for value in values:
        product *= value
    return product ** (1 / len(values))
