"""What a safetensors file holds, from its header alone: the linear weights, and what is not one.

Nothing here reads a weight or imports torch, so a page can show the facts of a large model at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from safetensors import SafetensorError, safe_open

from kasa.errors import ModelError

BYTES_PER_VALUE = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
CONV1D_MODELS = ("gpt2", "openai-gpt", "imagegpt", "decision_transformer")
CONV1D_KINDS = ("c_attn", "c_fc", "c_proj", "q_attn")
FUSED = re.compile(
    r"(^|\.)(c_attn|query_key_value|qkv(_proj)?|Wqkv|W_pack|in_proj|gate_up_proj|kv_proj)$"
)
LAYER = re.compile(r"(?:^|\.)(?:layers?|blocks?|h)\.(\d+)\.")
EMBEDDING = re.compile(r"(^|[._])(embed\w*|wte|wpe|relative_attention_bias|shared)(\.|$)")
NORM = re.compile(r"norm|^ln", re.IGNORECASE)
OUTPUT = re.compile(r"(^|\.)(lm_head(\.decoder)?|embed_out|cls\.predictions\.decoder)$")


@dataclass(frozen=True)
class TensorHeader:
    """One tensor: name, shape, safetensors dtype (F32, F16, BF16, …) and the file that holds it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    file: Path

    @property
    def num_values(self) -> int:
        """The number of values: the product of the shape."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class WeightInfo:
    """One linear weight.

    `shape` is as stored: (out, in), or (in, out) where `transposed` (GPT-2's Conv1D). `module` is
    the state-dict name without `.weight`; `layer` is None outside the repeated layers; `kind` is
    the shortest ending of the module's path that names it within a layer (query, q_proj, …).
    `fused` says that several projections (query, key and value, or gate and up) lie in one matrix;
    it is measured and cut as one, which is how an adapter sees it.
    """

    name: str
    module: str
    shape: tuple[int, int]
    dtype: str
    layer: int | None
    kind: str
    num_params: int
    transposed: bool
    fused: bool


@dataclass(frozen=True)
class SkippedTensor:
    """A matrix that is no linear weight here; `reason` is a key under `model.skipped`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    reason: str


def read_headers(files: Iterable[Path]) -> tuple[TensorHeader, ...]:
    """Return every tensor of the files in their order; `ModelError` for a damaged file."""
    headers: list[TensorHeader] = []
    for file in files:
        try:
            state = file.stat()
            headers += _file_headers(file, state.st_size, state.st_mtime_ns)
        except (SafetensorError, OSError) as error:
            raise ModelError("model_damaged", path=str(file), detail=str(error)) from error
    return tuple(headers)


@lru_cache(maxsize=512)
def _file_headers(file: Path, _size: int, _mtime_ns: int) -> tuple[TensorHeader, ...]:
    """Return one file's headers, remembered while its size and time stay the same."""
    with safe_open(file, framework="np") as tensors:
        names = list(tensors.keys())
        parts = [tensors.get_slice(name) for name in names]
        shapes = [tuple(int(size) for size in part.get_shape()) for part in parts]
        kinds = [str(part.get_dtype()) for part in parts]
    return tuple(map(TensorHeader, names, shapes, kinds, [file] * len(names)))


def sort_tensors(
    headers: Sequence[TensorHeader], model_type: str, vocab_size: int | None
) -> tuple[tuple[WeightInfo, ...], tuple[SkippedTensor, ...]]:
    """Split tensors into the linear weights, by layer, and the matrices left out with a reason.

    Vectors (biases, norms) and integer buffers are neither.
    """
    linear: list[TensorHeader] = []
    skipped: list[SkippedTensor] = []
    for header in headers:
        if len(header.shape) < 2 or header.num_values == 0:
            continue
        reason = _reason_to_skip(header, vocab_size)
        if reason is None:
            linear.append(header)
        elif reason != "buffer":
            skipped.append(SkippedTensor(header.name, header.shape, header.dtype, reason))
    kinds = _short_kinds([_place(header.name)[1] for header in linear])
    weights = [_weight(header, kinds, model_type) for header in linear]
    weights.sort(key=lambda weight: (weight.layer is None, weight.layer or 0))
    return tuple(weights), tuple(skipped)


def _reason_to_skip(header: TensorHeader, vocab_size: int | None) -> str | None:
    module = header.name.removesuffix(".weight")
    if header.dtype in {"I64", "I32", "BOOL"}:
        return "buffer"
    if header.dtype not in BYTES_PER_VALUE:
        return "quantized"
    if OUTPUT.search(module) and (vocab_size is None or header.shape[0] == vocab_size):
        return "output"
    if EMBEDDING.search(module):
        return "embedding"
    if NORM.search(module.rsplit(".", 1)[-1]):
        return "norm"
    if len(header.shape) != 2:
        return "not_matrix"
    return None if header.name.endswith(".weight") else "not_weight"


def _weight(header: TensorHeader, kinds: dict[str, str], model_type: str) -> WeightInfo:
    module = header.name.removesuffix(".weight")
    layer, path = _place(header.name)
    conv1d = model_type in CONV1D_MODELS and module.rsplit(".", 1)[-1] in CONV1D_KINDS
    return WeightInfo(
        name=header.name,
        module=module,
        shape=(header.shape[0], header.shape[1]),
        dtype=header.dtype,
        layer=layer,
        kind=kinds[path],
        num_params=header.num_values,
        transposed=conv1d,
        fused=FUSED.search(module) is not None,
    )


def _place(name: str) -> tuple[int | None, str]:
    """Return a tensor's (layer, path within it); outside the layers the whole path."""
    module = name.removesuffix(".weight")
    found = LAYER.search(module)
    if found is None:
        return None, module
    # An encoder-decoder's two stacks stay apart: their prefix belongs to the path.
    stack = "decoder." if module[: found.start()].split(".")[-1] == "decoder" else ""
    return int(found.group(1)), stack + module[found.end() :]


def _short_kinds(paths: Sequence[str]) -> dict[str, str]:
    """Return, for each path, its shortest dotted ending that no other path shares."""
    different = sorted(set(paths))
    kinds: dict[str, str] = {}
    for path in different:
        parts = path.split(".")
        endings = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        kinds[path] = next(
            (e for e in endings if sum(f".{other}".endswith(f".{e}") for other in different) == 1),
            path,
        )
    return kinds
