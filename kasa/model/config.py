"""What a model's JSON files declare: sizes, pooling, and code of their own (which is refused)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kasa.errors import ModelError

CODE_KEYS = ("auto_map", "_attn_implementation_internal", "custom_pipelines", "trust_remote_code")
JSON_BYTES_MAX = 64_000_000
POOLINGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}


def read_json(file: Path) -> dict[str, Any]:
    """Return a JSON object from a file of bounded size; raises `ModelError` when it is not one."""
    record = _load(file)
    if not isinstance(record, dict):
        raise ModelError("model_damaged", path=str(file), detail=type(record).__name__)
    return record


def _load(file: Path) -> Any:
    try:
        if file.stat().st_size > JSON_BYTES_MAX:
            raise ModelError("model_damaged", path=str(file), detail=f"> {JSON_BYTES_MAX} bytes")
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError("model_damaged", path=str(file), detail=str(error)) from error


def declared_pooling(folder: Path) -> str | None:
    """Return the pooling that modules.json and its Pooling/config.json declare, or None."""
    modules = _load(folder / "modules.json") if (folder / "modules.json").is_file() else []
    for module in modules if isinstance(modules, list) else []:
        if not isinstance(module, dict) or not str(module.get("type", "")).endswith(".Pooling"):
            continue
        path = Path(str(module.get("path", "")))
        config_file = folder / path / "config.json"
        if path.is_absolute() or ".." in path.parts or not config_file.is_file():
            return None
        config = read_json(config_file)
        modes = [mode for key, mode in POOLINGS.items() if config.get(key) is True]
        modes = modes or [str(config.get("pooling_mode", ""))]
        return modes[0] if len(modes) == 1 and modes[0] in POOLINGS.values() else None
    return None


def refuse_code(value: Any, file: str, name: str) -> None:
    """Raise `ModelError` where a configuration, at any depth, names code of its own."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in CODE_KEYS and item:
                raise ModelError("model_custom_code", name=name, file=file, key=key)
            refuse_code(item, file, name)
    elif isinstance(value, list):
        for item in value:
            refuse_code(item, file, name)


def whole(config: dict[str, Any], *keys: str) -> int | None:
    """Return the first of the keys that holds a whole number, also inside `text_config`."""
    inner = config.get("text_config")
    for table in (config, inner if isinstance(inner, dict) else {}):
        for key in keys:
            if isinstance(table.get(key), int):
                return int(table[key])
    return None


def max_positions(config: dict[str, Any]) -> int | None:
    """Return the longest input in tokens, or None where no limit is declared."""
    declared = whole(config, "max_position_embeddings", "n_positions", "max_seq_len")
    if declared is not None and "roberta" in str(config.get("model_type", "")):
        # RoBERTa's positions start after the padding index.
        return declared - (whole(config, "pad_token_id") or 0) - 1
    return declared if declared and declared > 0 else None
