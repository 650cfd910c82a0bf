"""What PEFT is told for each method: its configuration, from an arm's settings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from peft import (
    AdaLoraConfig,
    IA3Config,
    KasaConfig,
    LoraConfig,
    PeftConfig,
    VeraConfig,
)
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils import (
    TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as IA3_FEEDFORWARD,
)
from peft.utils import TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING as IA3_TARGETS
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as LORA_TARGETS
from torch import nn
from transformers.pytorch_utils import Conv1D

from kasa.arms import Arm
from kasa.errors import TrainingError

# Query and value under the names that architectures give them, for those that PEFT does not list.
QUERY_AND_VALUE = (
    *("q_proj", "v_proj", "query", "value", "q_lin", "v_lin", "q", "v", "query_proj", "value_proj"),
    *("qkv_proj", "Wqkv", "query_key_value", "c_attn"),
)
# AdaLoRA begins with half as much rank again and spends the first tenth and the last quarter of its
# steps without moving any (its authors' settings for GLUE, rounded).
ADALORA_EXTRA, ADALORA_START, ADALORA_END = 1.5, 0.1, 0.25
# These name places and code of where a configuration came from; they are no settings.
ORIGINS = (
    *("auto_mapping", "base_model_name_or_path", "revision", "runtime_config", "task_type"),
    "inference_mode",  # a saved adapter's; it would freeze every weight
)


def usual_targets(model_type: str, method: str) -> tuple[str, ...]:
    """Return the names of the layers that a method adapts on an architecture: query and value.

    (IA)³ scales keys, values and the second feed-forward layer.
    """
    if method == "ia3" and model_type in IA3_TARGETS:
        return tuple(IA3_TARGETS[model_type])
    names = LORA_TARGETS.get(model_type, QUERY_AND_VALUE)
    return (names,) if isinstance(names, str) else tuple(names)


def peft_config(
    base: nn.Module,
    arm: Arm,
    names: list[str],
    num_steps: int,
    ranks: Mapping[str, int] = MappingProxyType({}),
) -> PeftConfig:
    """Return PEFT's configuration of an arm on the layers `names`; `ranks` differ from the arm's.

    Raises `TrainingError` for a configuration of the person's own that PEFT or the studio refuses.
    """
    if arm.method == "peft":
        return _own_config(base, arm)
    common: dict[str, Any] = {"target_modules": names}
    common["fan_in_fan_out"] = isinstance(base.get_submodule(names[0]), Conv1D)
    if arm.method == "ia3":
        model_type = str(base.config.model_type)  # type: ignore[union-attr]
        last = tuple(IA3_FEEDFORWARD.get(model_type, ()))
        feedforward = [name for name in names if name.endswith(last) and last]
        return IA3Config(**common, feedforward_modules=feedforward)
    if arm.method == "vera":
        return VeraConfig(r=arm.rank, **common)
    common |= {"lora_alpha": arm.scale_alpha, "lora_dropout": 0.0}
    if arm.method == "adalora":
        return AdaLoraConfig(
            target_r=arm.rank,
            init_r=round(ADALORA_EXTRA * arm.rank),
            tinit=round(ADALORA_START * num_steps),
            tfinal=round(ADALORA_END * num_steps),
            total_step=num_steps,
            **common,
        )
    kinds: dict[str, dict[str, Any]] = {
        "rslora": {"use_rslora": True},
        "dora": {"use_dora": True},
        "pissa": {"init_lora_weights": "pissa"},
    }
    if arm.method == "kasa" and arm.diagonal:
        kinds["kasa"] = {"kasa_config": KasaConfig(beta=arm.beta, gamma=arm.gamma)}
    if ranks:
        # The scale alpha/r stays the same on all matrices.
        per_rank = arm.scale_alpha / arm.rank
        common["rank_pattern"] = dict(ranks)
        common["alpha_pattern"] = {name: per_rank * rank for name, rank in ranks.items()}
    return LoraConfig(r=arm.rank, **common, **kinds.get(arm.method, {}))


def _own_config(base: nn.Module, arm: Arm) -> PeftConfig:
    """Return a configuration as adapter_config.json has it, for a base without a task of PEFT's."""
    settings = {k: v for k, v in (arm.config or {}).items() if k not in ORIGINS}
    kind = str(settings["peft_type"]).upper()
    if kind not in PEFT_TYPE_TO_CONFIG_MAPPING:
        known = ", ".join(sorted(str(name) for name in PEFT_TYPE_TO_CONFIG_MAPPING))
        raise TrainingError("peft_config_bad", kind=kind, detail=known)
    if settings.get("kasa_config"):
        raise TrainingError("peft_config_bad", kind=kind, detail='kasa_config: use method = "kasa"')
    try:
        # PEFT drops settings that it does not know with a warning; here they are a mistake.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            config = PeftConfig.from_peft_type(**(settings | {"peft_type": kind}))
    except (TypeError, ValueError, Warning) as error:
        raise TrainingError("peft_config_bad", kind=kind, detail=str(error)[:300]) from error
    if config.is_prompt_learning or config.is_adaption_prompt:
        detail = "prompt learning changes the input, not the weights"
        raise TrainingError("peft_config_bad", kind=kind, detail=detail)
    if getattr(config, "target_modules", "none") is None:
        model_type = str(base.config.model_type)  # type: ignore[union-attr]
        config.target_modules = list(usual_targets(model_type, "peft"))
    return config
