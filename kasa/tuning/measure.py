"""Time, memory and the machine: what a number needs beside it to mean anything."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "transformers", "peft", "datasets", "scikit-learn", "numpy", "safetensors")
ROOT = Path(__file__).resolve().parents[2]
# Below this ratio bf16 is not worth its rounding.
WORTHWHILE_SPEEDUP = 1.3
REPETITIONS, MEASURING_SECONDS = 20, 0.5
POWERCAP = Path("/sys/class/powercap")


@dataclass
class Stopwatch:
    """Seconds of one stretch of work; read `seconds` after the with-block."""

    seconds: float = 0.0


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Measure wall-clock seconds of the with-block, waiting for a GPU's queue at both ends."""
    _wait_for_device()
    watch = Stopwatch()
    start = time.perf_counter()
    try:
        yield watch
    finally:
        _wait_for_device()
        watch.seconds = time.perf_counter() - start


def _wait_for_device() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def memory_bytes() -> int:
    """Return this process's resident memory (RSS) now, in bytes."""
    return int(psutil.Process().memory_info().rss)


def peak_memory_bytes() -> int:
    """Return this process's largest resident memory since it started, in bytes.

    Source: VmHWM on Linux, getrusage(2) on macOS (bytes) and where there is no VmHWM (kibibytes),
    the peak working set on Windows.
    """
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage: its peak survives exec, so it begins with the size of the parent process.
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text("utf-8"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def peak_cuda_bytes() -> int | None:
    """Return the largest memory allocated on the GPU so far, or None without one."""
    import torch

    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else None


class EnergyMeter:
    """Joules of the processor's packages since it was made, where the system reports them.

    Source: Linux's powercap counters (RAPL), which only some machines let everybody read; they
    count everything that the processor does, other programs' work too.
    """

    def __init__(self) -> None:
        """Read every package's counter; none readable leaves nothing to measure."""
        self.begun = {folder: _energy(folder) for folder in POWERCAP.glob("intel-rapl:?")}

    def joules(self, shared_by: int = 1) -> float | None:
        """Return one of so many runs' share of the joules so far; None where none can be read."""
        total, known = 0, False
        for folder, before in self.begun.items():
            after = _energy(folder)
            if before is None or after is None:
                continue
            known = True
            turn = _read_number(folder / "max_energy_range_uj") or 0
            total += after - before if after >= before else after - before + turn
        return total / 1e6 / shared_by if known else None


def _energy(folder: Path) -> int | None:
    return _read_number(folder / "energy_uj")


def _read_number(file: Path) -> int | None:
    try:
        return int(file.read_text("ascii"))
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class Precision:
    """The number format of training's matrix products, how it was chosen, and their speed in it.

    `matmul_flops` are operations per second of the measured product; 0 where none was measured.
    """

    name: str
    bf16_speedup: float
    matmul_flops: float = 0.0


def precision_file(run_folder: Path) -> Path:
    """Return where a workspace keeps the number format that was chosen on this machine."""
    return run_folder.parent.parent / "precision.json"


def choose_precision(kept: Path) -> Precision:
    """Return bf16 where a measured matrix product of this processor is clearly faster in it.

    speed-up = seconds(fp32) / seconds(bf16) of a 512×1024 by 1024×1024 product, the best of up to
    20 each.
    Weights, adapters and the optimiser stay fp32; bf16 is autocast only. The answer is kept in the
    file `kept` with the processor's name and the number of threads, so that every arm of a study
    trains in the same format.
    """
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    measured_on = {"device": device, "threads": torch.get_num_threads()}
    known = _known_precision(kept, measured_on)
    if known is not None:
        return known
    place = "cuda" if torch.cuda.is_available() else "cpu"
    left, right = torch.randn(512, 1024, device=place), torch.randn(1024, 1024, device=place)
    slow = _best_seconds(left, right)
    fast = _best_seconds(left.bfloat16(), right.bfloat16())
    ratio = float(f"{slow / fast:.3g}")
    name = "bf16" if ratio >= WORTHWHILE_SPEEDUP else "fp32"
    operations = 2 * 512 * 1024 * 1024
    chosen = Precision(name, ratio, operations / (fast if name == "bf16" else slow))
    # Jobs may choose at the same time: none may read another's half a file, and the first decides.
    known = _known_precision(kept, measured_on)
    if known is not None:
        return known
    half = kept.with_name(f"{kept.name}.{os.getpid()}")
    half.write_text(json.dumps(measured_on | asdict(chosen)), "utf-8")
    half.replace(kept)
    return chosen


def _known_precision(kept: Path, measured_on: dict[str, Any]) -> Precision | None:
    try:
        known = json.loads(kept.read_text("utf-8"))
        if measured_on.items() <= known.items():
            flops = float(known.get("matmul_flops", 0.0))
            return Precision(str(known["name"]), float(known["bf16_speedup"]), flops)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return None


def _best_seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    """Return the shortest of 20 products' times; of fewer where these take more than half a second.

    A processor without bf16 may take two seconds for one product instead of 20 milliseconds.
    """
    _ = left[:8] @ right  # the library makes itself ready
    seconds: list[float] = []
    while len(seconds) < REPETITIONS and sum(seconds) < MEASURING_SECONDS:
        with stopwatch() as watch:
            _ = left @ right
        seconds.append(watch.seconds)
    return min(seconds)


def conditions(started: datetime) -> dict[str, Any]:
    """Return the versions, machine, commit and times that belong beside every measurement."""
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": machine(),
        "git_commit": _git_commit(),
        "started_at": started.isoformat(),
        "finished_at": datetime.now(UTC).isoformat(),
    }


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def machine() -> dict[str, Any]:
    """Return the processor, its cores, memory, system and GPU."""
    torch = sys.modules.get("torch")
    gpu = None
    if torch is not None and torch.cuda.is_available():
        gpu = torch.cuda.get_device_name()
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": int(psutil.virtual_memory().total),
        "gpu": gpu,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _git_commit() -> str | None:
    try:
        command = ["git", "rev-parse", "HEAD"]
        answer = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
