"""Arms over PEFT: KaSA and the others on a base model, and the guard that KaSA really is KaSA.

KaSA (arXiv:2412.06071): the base weight W = UΣVᵀ loses its smallest singular triplets, then
ΔW = (α/r)·B·diag(d)·A is trained with loss L1 + (β·Σdⱼ² + γ·(‖BᵀB−I‖_F + ‖AAᵀ−I‖_F))/M over M
adapted matrices.
PEFT supplies the layers and the regulariser, summed over matrices; dividing by M makes β and γ mean
the same on every model. PEFT ties the number of removed triplets to r; here they are independent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peft
import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from peft.tuners.lora.variants import KasaLinearVariant
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from kasa.arms import Arm
from kasa.errors import ModelError, StoreError, TrainingError
from kasa.spectral.removal import components_part, smallest_part, subtract
from kasa.spectral.spectrum import singular_values
from kasa.tuning.configs import peft_config, usual_targets

ADAPTER = "default"
# The scoped replacement below was read against this release and no other.
PEFT_VERSION = "0.21.2"
# Relative slack of the guard: fp32 storage rounds W' by about 6e-8·‖W‖_F.
EXPECTED_CHANGE_RTOL = 1e-3


@dataclass(frozen=True)
class Expectation:
    """What KaSA's preparation must have done to one matrix: ‖W − W'‖_F, with W kept to compare.

    `rank` is the adapter's rank there, where it is not the arm's.
    """

    original: Tensor
    change: float
    rank: int | None = None


@dataclass(frozen=True, eq=False)
class Start:
    """What an informed arm's adapter begins with, by module: its rank, and the rows of A (r, in).

    A module that is not named has the arm's rank, or a random A. The diagonal of a KaSA whose A is
    given begins with ones: every direction counts alike at first.
    """

    ranks: Mapping[str, int] = field(default_factory=dict)
    directions: Mapping[str, Tensor] = field(default_factory=dict)


RANDOM_START = Start()


def target_modules(base: nn.Module, arm: Arm) -> list[str]:
    """Return the full names of the adapted linear layers; none found raises `ModelError`.

    For KaSA a layer that is none, or too small for the rank, raises it too.
    """
    model_type = str(base.config.model_type)  # type: ignore[union-attr]
    suffixes = arm.target_modules or usual_targets(model_type, arm.method)
    pattern = re.compile("|".join(rf"(^|.*\.){re.escape(name)}" for name in suffixes) or "(?!)")
    # A name may also fit a container or a norm ("attention", "LayerNorm"), which have no matrix.
    found = [
        name
        for name, layer in base.named_modules()
        if pattern.fullmatch(name) and isinstance(layer, (nn.Linear, Conv1D))
    ]
    if not found:
        raise ModelError("no_targets", model_type=model_type, wanted=", ".join(suffixes) or "-")
    if arm.method == "kasa":
        for name in found:
            layer = base.get_submodule(name)
            if not isinstance(layer, nn.Linear):
                raise ModelError("kasa_needs_linear", module=name, kind=type(layer).__name__)
            limit = min(_weight(base, name).shape) - 1
            if arm.rank > limit:
                raise ModelError("kasa_rank_too_large", module=name, rank=arm.rank, limit=limit)
    return found


def adapt(
    base: nn.Module, arm: Arm, num_steps: int = 1, start: Start = RANDOM_START
) -> tuple[nn.Module, dict[str, Expectation]]:
    """Make the arm's weights trainable; for KaSA also return what the guard must find.

    The base is changed in place: KaSA's truncation and PiSSA's split are destructive, never use it
    as base again. `num_steps` is how long training will be, which AdaLoRA plans by; `start` is
    what an informed arm begins with.
    """
    if arm.method == "full":
        return base.requires_grad_(requires_grad=True), {}
    names = target_modules(base, arm) if arm.method != "peft" else []
    config = peft_config(base, arm, names, num_steps, start.ranks)
    if arm.method == "peft":
        return _adapted_as_told(base, config), {}
    if arm.method != "kasa":
        return _begun(get_peft_model(base, config, adapter_name=ADAPTER), start), {}
    originals = {name: _weight(base, name).detach().clone() for name in names}
    removals = {base.get_submodule(name): arm.removed_from(name) for name in names}
    if not arm.diagonal:
        for name in names:
            weight = _weight(base, name)
            part = removed_part(weight.data, removals[base.get_submodule(name)])
            weight.data = subtract(weight.data, *part)
    with removing(lambda layer, _rank: removals[layer]):
        adapted = get_peft_model(base, config, adapter_name=ADAPTER)
    return _begun(adapted, start), {
        name: Expectation(
            weight, removed_norm(weight, arm.removed_from(name)), start.ranks.get(name)
        )
        for name, weight in originals.items()
    }


def _begun(adapted: nn.Module, start: Start) -> nn.Module:
    """Give the adapters the directions that they begin with."""
    for name, directions in start.directions.items():
        layer: Any = _tuner(adapted).model.get_submodule(name)
        layer.lora_A[ADAPTER].weight.data[: len(directions)] = directions
        if ADAPTER in getattr(layer, "lora_diag", {}):
            nn.init.ones_(layer.lora_diag[ADAPTER])
    return adapted


def _adapted_as_told(base: nn.Module, config: Any) -> nn.Module:
    """Adapt by a person's own configuration; what PEFT refuses raises `TrainingError`."""
    try:
        return get_peft_model(base, config, adapter_name=ADAPTER)
    except (TypeError, ValueError, AttributeError) as error:
        kind, detail = str(config.peft_type.value), str(error)[:300]
        raise TrainingError("peft_config_bad", kind=kind, detail=detail) from error


def removed_part(weight: Tensor, removal: int | Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return factors of what a removal takes: so many of the smallest, or numbered components."""
    if isinstance(removal, int):
        return smallest_part(weight, removal)
    return components_part(weight, removal)


def removed_norm(weight: Tensor, removal: int | Sequence[int]) -> float:
    """Return sqrt(Σσᵢ²) over what a removal takes: the ‖W − W'‖_F of removing it."""
    if not removal:
        return 0.0
    values = singular_values(weight)
    taken = values[-removal:] if isinstance(removal, int) else values[sorted(set(removal))]
    return float((taken**2).sum() ** 0.5)


@contextmanager
def removing(removal: Callable[[nn.Module, int], int | Sequence[int]]) -> Iterator[None]:
    """Let PEFT's KaSA layers lose what `removal(base layer, r)` says, inside the block."""
    if peft.__version__ != PEFT_VERSION:
        raise TrainingError("peft_version", got=peft.__version__, wanted=PEFT_VERSION)
    original = KasaLinearVariant.__dict__["_truncate_base_weight"]

    def truncate(module: Any, rank: int) -> tuple[Tensor, Tensor]:
        base = module.get_base_layer()
        weight = base.weight
        if rank >= min(weight.shape):
            return original(module, rank)  # PEFT says why not
        left, right = removed_part(weight.data, removal(base, rank))
        weight.data = subtract(weight.data, left, right)
        return left.float(), right.float()  # as PEFT's own does

    KasaLinearVariant._truncate_base_weight = staticmethod(truncate)  # noqa: SLF001
    try:
        yield
    finally:
        KasaLinearVariant._truncate_base_weight = original  # noqa: SLF001


def regulariser(adapted: nn.Module, num_matrices: int) -> Tensor:
    """Return KaSA's β·L2 + γ·L3 averaged over the adapted matrices (PEFT sums it)."""
    total: Tensor = _tuner(adapted)._get_kasa_loss()  # noqa: SLF001
    return total / num_matrices


def penalty_of(adapted: nn.Module, arm: Arm, num_matrices: int) -> Callable[[], Tensor] | None:
    """Return what an arm adds to the task loss; None for an arm that adds nothing.

    AdaLoRA's (arXiv:2303.10512, eq. 4) is λ·mean(‖PᵀP−I‖_F, ‖QQᵀ−I‖_F); PEFT adds it to a loss that
    the base itself computes, and here the head computes it.
    """
    if arm.method == "kasa" and arm.diagonal:
        return lambda: regulariser(adapted, num_matrices)
    if arm.method != "adalora":
        return None
    weight = float(adapted.peft_config[ADAPTER].orth_reg_weight)  # type: ignore[union-attr, index]
    factors = [
        factor
        for name, factor in adapted.named_parameters()
        if f"lora_A.{ADAPTER}" in name or f"lora_B.{ADAPTER}" in name
    ]

    def orthogonality() -> Tensor:
        found = []
        for factor in factors:
            square = factor @ factor.T if len(factor) <= factor.shape[1] else factor.T @ factor
            one = torch.eye(len(square), device=square.device)
            found.append(torch.linalg.norm(square - one))
        return weight * torch.stack(found).mean()

    return orthogonality


def after_step(adapted: nn.Module, arm: Arm, step: int) -> None:
    """Let AdaLoRA move its rank between matrices; `step` counts from 0, gradients still there."""
    if arm.method == "adalora":
        _tuner(adapted).update_and_allocate(step)


def guard(adapted: nn.Module, arm: Arm, expected: dict[str, Expectation]) -> dict[str, Any]:
    """Prove that a KaSA run is one, or raise `TrainingError` with the reason.

    Checked on every target: `lora_diag` as long as the rank (none for an arm without it);
    ‖W − W'‖_F equal to the removed energy, and ‖W'‖_F² = ‖W‖_F² − ‖W − W'‖_F², which only taking
    components *out* fulfils; and a regulariser above zero. Returns the figures for result.json.
    """
    tuner: nn.Module = _tuner(adapted).model
    worst = 0.0
    for name, expectation in expected.items():
        layer: Any = tuner.get_submodule(name)
        diagonal = getattr(layer, "lora_diag", {})
        length = len(diagonal[ADAPTER]) if ADAPTER in diagonal else 0
        rank = arm.rank if expectation.rank is None else expectation.rank
        if length != (rank if arm.diagonal else 0):
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
    penalty = 0.0
    if arm.diagonal:
        with torch.no_grad():
            penalty = float(regulariser(adapted, len(expected)))
    if arm.regularised and not penalty > 0:
        raise TrainingError("guard_no_regulariser", got=penalty)
    return {
        "num_matrices": len(expected),
        "regulariser": penalty,
        "largest_relative_deviation": worst,
    }


def save(adapted: Any, folder: Path) -> None:
    """Save the adapter as PEFT does, in safetensors."""
    config = adapted.peft_config[ADAPTER]
    if config.peft_type == "ADALORA":
        # Its pattern is the last trial's; the chosen weights are zero already where pruned.
        config.rank_pattern = None
    adapted.save_pretrained(str(folder))


def saved_start(folder: Path) -> Start:
    """Return the ranks by module that a saved adapter has; what it began with is overwritten."""
    config = LoraConfig.from_pretrained(str(folder))
    return Start(ranks=dict(getattr(config, "rank_pattern", None) or {}))


def restore(adapted: nn.Module, folder: Path) -> None:
    """Load a saved adapter into a freshly adapted base; raises `StoreError` where keys differ."""
    state = load_file(folder / "adapter_model.safetensors")
    found = set_peft_model_state_dict(adapted, state, adapter_name=ADAPTER)
    trained = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    missing = sorted(trained & set(found.missing_keys))
    if missing or found.unexpected_keys:
        detail = ", ".join([*missing, *found.unexpected_keys][:3])
        raise StoreError("adapter_differs", folder=folder.parent.name, detail=detail)


def _tuner(adapted: nn.Module) -> Any:
    # peft's tuner (LoraModel, AdaLoraModel), which nn.Module's annotations cannot name.
    return adapted.base_model


def _weight(base: nn.Module, name: str) -> Tensor:
    weight = base.get_submodule(name).weight
    if not isinstance(weight, Tensor):
        raise ModelError("no_targets", model_type=type(base).__name__, wanted=name)
    return weight
