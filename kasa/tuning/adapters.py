"""Arms over PEFT: LoRA and KaSA on a base encoder, and the guard that KaSA really is KaSA.

KaSA (arXiv:2412.06071): the base weight W = UΣVᵀ loses its smallest singular triplets, then
ΔW = (α/r)·B·diag(d)·A is trained with loss L1 + (β·Σdⱼ² + γ·(‖BᵀB−I‖_F + ‖AAᵀ−I‖_F))/M over M
adapted matrices.
PEFT supplies the layers and the regulariser, summed over matrices; dividing by M makes β and γ mean
the same on every model. PEFT ties the number of removed triplets to r; here they are independent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import peft
import torch
from peft import KasaConfig, LoraConfig, get_peft_model
from peft.tuners.lora.variants import KasaLinearVariant
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as PEFT_TARGETS
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from kasa.errors import ModelError, TrainingError
from kasa.spectral.removal import smallest_part, subtract
from kasa.spectral.spectrum import singular_values
from kasa.study import Arm

ADAPTER = "default"
# The scoped replacement below was read against this release and no other.
PEFT_VERSION = "0.21.2"
# Relative slack of the guard: fp32 storage rounds W' by about 6e-8·‖W‖_F.
EXPECTED_CHANGE_RTOL = 1e-3


@dataclass(frozen=True)
class Expectation:
    """What KaSA's preparation must have done to one matrix: ‖W − W'‖_F, with W kept to compare."""

    original: Tensor
    change: float


def target_modules(encoder: nn.Module, arm: Arm) -> list[str]:
    """Return the full names of the adapted linear layers; none found raises `ModelError`."""
    model_type = str(encoder.config.model_type)  # type: ignore[union-attr]
    wanted = arm.target_modules or PEFT_TARGETS.get(model_type, ())
    suffixes = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    pattern = re.compile("|".join(rf"(^|.*\.){re.escape(name)}" for name in suffixes) or "(?!)")
    # A name may also fit a container or a norm ("attention", "LayerNorm"), which have no matrix.
    found = [
        name
        for name, layer in encoder.named_modules()
        if pattern.fullmatch(name) and isinstance(layer, (nn.Linear, Conv1D))
    ]
    if not found:
        raise ModelError("no_targets", model_type=model_type, wanted=", ".join(suffixes) or "-")
    for name in found:
        layer = encoder.get_submodule(name)
        if arm.method == "kasa" and not isinstance(layer, nn.Linear):
            raise ModelError("kasa_needs_linear", module=name, kind=type(layer).__name__)
        limit = min(_weight(encoder, name).shape) - 1
        if arm.method == "kasa" and arm.rank > limit:
            raise ModelError("kasa_rank_too_large", module=name, rank=arm.rank, limit=limit)
    return found


def adapt(encoder: nn.Module, arm: Arm) -> tuple[nn.Module, dict[str, Expectation]]:
    """Put the arm's adapters on the encoder; for KaSA also return what the guard must find.

    The encoder is changed in place: KaSA's truncation is destructive, never use it as base again.
    """
    names = target_modules(encoder, arm)
    kasa = KasaConfig(beta=arm.beta, gamma=arm.gamma) if arm.method == "kasa" else None
    config = LoraConfig(
        r=arm.rank,
        lora_alpha=arm.scale_alpha,
        lora_dropout=0.0,
        target_modules=names,
        fan_in_fan_out=isinstance(encoder.get_submodule(names[0]), Conv1D),
        kasa_config=kasa,
    )
    originals = {}
    if kasa is not None:
        originals = {name: _weight(encoder, name).detach().clone() for name in names}
    counts = {encoder.get_submodule(name): arm.removed_from(name) for name in names}
    with removing(lambda base, _rank: counts[base]):
        adapted = get_peft_model(encoder, config, adapter_name=ADAPTER)
    return adapted, {
        name: Expectation(weight, removed_norm(weight, arm.removed_from(name)))
        for name, weight in originals.items()
    }


def removed_norm(weight: Tensor, count: int) -> float:
    """Return sqrt(Σσᵢ²) over the `count` smallest σ: the ‖W − W'‖_F of removing them."""
    if count == 0:
        return 0.0
    smallest = singular_values(weight)[-count:]
    return float((smallest**2).sum() ** 0.5)


@contextmanager
def removing(count: Callable[[nn.Module, int], int]) -> Iterator[None]:
    """Let PEFT's KaSA layers remove `count(base layer, r)` triplets, inside the block."""
    if peft.__version__ != PEFT_VERSION:
        raise TrainingError("peft_version", got=peft.__version__, wanted=PEFT_VERSION)
    original = KasaLinearVariant.__dict__["_truncate_base_weight"]

    def truncate(module: Any, rank: int) -> tuple[Tensor, Tensor]:
        base = module.get_base_layer()
        weight = base.weight
        if rank >= min(weight.shape):
            return original(module, rank)  # PEFT says why not
        left, right = smallest_part(weight.data, count(base, rank))
        weight.data = subtract(weight.data, left, right)
        return left.float(), right.float()  # as PEFT's own does

    KasaLinearVariant._truncate_base_weight = staticmethod(truncate)  # noqa: SLF001
    try:
        yield
    finally:
        KasaLinearVariant._truncate_base_weight = original  # noqa: SLF001


def regulariser(adapted: nn.Module, num_matrices: int) -> Tensor:
    """Return KaSA's β·L2 + γ·L3 averaged over the adapted matrices (PEFT sums it)."""
    total: Tensor = _lora_model(adapted)._get_kasa_loss()  # noqa: SLF001
    return total / num_matrices


def guard(adapted: nn.Module, arm: Arm, expected: dict[str, Expectation]) -> dict[str, Any]:
    """Prove that a KaSA run is one, or raise `TrainingError` with the reason.

    Checked on every target: `lora_diag` of length r; ‖W − W'‖_F equal to the removed energy, and
    ‖W'‖_F² = ‖W‖_F² − ‖W − W'‖_F², which only taking components *out* fulfils; and a regulariser
    above zero. Returns the figures for result.json.
    """
    base: nn.Module = _lora_model(adapted).model
    worst = 0.0
    for name, expectation in expected.items():
        layer: Any = base.get_submodule(name)
        diagonal = getattr(layer, "lora_diag", {})
        if ADAPTER not in diagonal or len(diagonal[ADAPTER]) != arm.rank:
            raise TrainingError("guard_no_diagonal", module=name)
        now = layer.get_base_layer().weight.detach()
        change = float(torch.linalg.vector_norm(expectation.original.double() - now.double()))
        scale = float(torch.linalg.vector_norm(expectation.original.double()))
        slack = EXPECTED_CHANGE_RTOL * expectation.change + 1e-6 * scale
        off = abs(change - expectation.change)
        left = float(torch.linalg.vector_norm(now.double()))
        leak = abs(left**2 + expectation.change**2 - scale**2) / scale if scale else 0.0
        if not (off <= slack and leak <= slack):
            raise TrainingError(
                "guard_wrong_change", module=name, got=change, wanted=expectation.change
            )
        worst = max(worst, off / scale)
    with torch.no_grad():
        penalty = float(regulariser(adapted, len(expected)))
    if (arm.beta > 0 or arm.gamma > 0) and not penalty > 0:
        raise TrainingError("guard_no_regulariser", got=penalty)
    return {
        "num_matrices": len(expected),
        "regulariser": penalty,
        "largest_relative_deviation": worst,
    }


def _lora_model(adapted: nn.Module) -> Any:
    # peft's LoraModel, which nn.Module's annotations cannot name.
    return adapted.base_model


def _weight(encoder: nn.Module, name: str) -> Tensor:
    weight = encoder.get_submodule(name).weight
    if not isinstance(weight, Tensor):
        raise ModelError("no_targets", model_type=type(encoder).__name__, wanted=name)
    return weight
