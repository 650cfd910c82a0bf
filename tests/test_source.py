"""Base models: what is found, what is refused and why, and what the headers say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from kasa.errors import ModelError
from kasa.model.headers import TensorHeader, sort_tensors
from kasa.model.source import EMBEDDED_PACKAGE, file_sha256, model_facts, resolve_model
from tests.known_answers import BERT_CONFIG, bert_tensors, write_model

ROOT = Path(__file__).resolve().parent.parent


def code_of(name: str, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        resolve_model(name, **options)
    assert caught.value.message("ja") != caught.value.message("en")  # both sentences exist
    return caught.value.code


def test_the_embedded_model_is_the_published_one() -> None:
    source = resolve_model("embedded")
    facts = model_facts(source)
    assert (source.name, source.kind) == ("embedded", "embedded")
    assert (facts.architecture, facts.model_type) == ("BertModel", "bert")
    assert (facts.num_layers, facts.hidden_size, facts.max_positions) == (6, 384, 512)
    assert facts.num_total_params == 22_713_216
    assert facts.memory_bytes == 4 * facts.num_total_params
    assert facts.disk_bytes == 90_868_376
    assert facts.pooling == "mean"
    assert len(facts.weights) == 37  # 6 in each of 6 layers, and the pooler
    assert [w.kind for w in facts.weights if w.layer is None] == ["pooler.dense"]
    assert {skip.reason for skip in facts.skipped} == {"embedding"}


def test_the_embedded_package_is_found_without_running_it() -> None:
    code = (
        "import sys\n"
        "from kasa.model.source import resolve_model\n"
        "resolve_model('embedded')\n"
        f"assert {EMBEDDED_PACKAGE!r} not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_tampered_embedded_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / EMBEDDED_PACKAGE
    write_model(package / "model", bert_tensors())
    (package / "__init__.py").write_text("raise SystemExit('package code was run')", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert code_of("embedded") == "embedded_changed"


def test_a_folder_is_read_from_its_headers(tmp_path: Path) -> None:
    source = resolve_model(str(write_model(tmp_path / "m", bert_tensors())))
    facts = model_facts(source)
    assert source.kind == "folder"
    assert facts.num_total_params == sum(
        t.numel() for t in bert_tensors().values() if t.is_floating_point()
    )
    assert [(w.layer, w.kind) for w in facts.weights] == [
        (0, "attention.output.dense"),
        (0, "query"),
        (0, "value"),
        (0, "output.dense"),
        (1, "attention.output.dense"),
        (1, "query"),
        (1, "value"),
        (1, "output.dense"),
        (None, "pooler.dense"),
    ]
    assert facts.weights[3].shape == (8, 12)
    assert facts.pooling is None


def test_the_hash_names_the_content_and_not_the_place(tmp_path: Path) -> None:
    first = resolve_model(str(write_model(tmp_path / "a", bert_tensors())))
    second = resolve_model(str(write_model(tmp_path / "b", bert_tensors())))
    changed = bert_tensors()
    changed["pooler.dense.weight"][0, 0] += 1
    other = resolve_model(str(write_model(tmp_path / "c", changed)))
    settings = BERT_CONFIG | {"hidden_act": "relu"}
    third = resolve_model(str(write_model(tmp_path / "d", bert_tensors(), settings)))
    assert first.sha256 == second.sha256
    assert len({first.sha256, other.sha256, third.sha256}) == 3


def test_a_file_changed_in_place_is_hashed_again(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"one")
    first = file_sha256(file)
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert file_sha256(file) != first


def test_shards_hold_the_same_weights_as_one_file(tmp_path: Path) -> None:
    whole = model_facts(resolve_model(str(write_model(tmp_path / "one", bert_tensors()))))
    parts = resolve_model(str(write_model(tmp_path / "three", bert_tensors(), shards=3)))
    assert len(parts.weight_files()) == 3
    facts = model_facts(parts)
    assert {w.name for w in facts.weights} == {w.name for w in whole.weights}
    assert facts.num_total_params == whole.num_total_params


@pytest.mark.parametrize("shard", ["missing.safetensors", "../a.safetensors", "a/b.safetensors"])
def test_an_index_that_names_a_missing_or_outside_file_is_refused(
    tmp_path: Path, shard: str
) -> None:
    folder = write_model(tmp_path / "m", bert_tensors(), shards=2)
    (tmp_path / "a.safetensors").write_bytes(b"")
    index = {"weight_map": {"pooler.dense.weight": shard}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    assert code_of(str(folder)) == "model_shard_missing"


def test_folders_that_are_no_safe_model_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    assert code_of(str(folder)) == "model_no_config"
    (folder / "adapter_config.json").write_text("{}", "utf-8")
    assert code_of(str(folder)) == "model_is_adapter"
    (folder / "config.json").write_text(json.dumps(BERT_CONFIG), "utf-8")
    assert code_of(str(folder)) == "model_no_weights"
    torch.save({"x": torch.ones(2)}, folder / "pytorch_model.bin")
    assert code_of(str(folder)) == "model_pickle_only"


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({"auto_map": {"AutoModel": "modeling.Evil"}}, "model_custom_code"),
        ({"_attn_implementation_internal": "someone/kernel"}, "model_custom_code"),
        ({"text_config": {"auto_map": {"AutoModel": "x.Y"}}}, "model_custom_code"),
        ({"quantization_config": {"load_in_4bit": True}}, "model_quantized"),
    ],
)
def test_config_that_brings_code_or_quantisation_is_refused(
    tmp_path: Path, extra: dict[str, Any], code: str
) -> None:
    folder = write_model(tmp_path / "m", bert_tensors(), BERT_CONFIG | extra)
    assert code_of(str(folder)) == code


def test_a_tokenizer_that_brings_code_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", bert_tensors())
    text = json.dumps({"auto_map": {"AutoTokenizer": ["x.Y", None]}})
    (folder / "tokenizer_config.json").write_text(text, "utf-8")
    assert code_of(str(folder)) == "model_custom_code"


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", "[" * 100_000])
def test_a_broken_config_is_named(tmp_path: Path, text: str) -> None:
    folder = write_model(tmp_path / "m", bert_tensors())
    (folder / "config.json").write_text(text, "utf-8")
    assert code_of(str(folder)) == "model_damaged"


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 9])
def test_a_broken_weight_file_is_named(tmp_path: Path, content: bytes) -> None:
    folder = write_model(tmp_path / "m", bert_tensors())
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        model_facts(resolve_model(str(folder)))
    assert caught.value.code == "model_damaged"


def test_the_hub_is_asked_only_when_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of("someone/some-model") == "hub_off"
    assert "KASA_HUB=1" in str(ModelError("hub_off", name="x"))
    # Nothing listens on the discard port of this machine: the attempt fails without leaving it.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert code_of("someone/some-model-nobody-has", hub_access=True) == "hub_failed"


FROM_CACHE = """
from kasa.model.source import resolve_model
source = resolve_model("someone/some-model", hub_access=True)
print(source.kind, source.name, source.folder.name)
"""


def test_a_model_fetched_before_needs_no_network(tmp_path: Path) -> None:
    cache = tmp_path / "hub/models--someone--some-model"
    write_model(cache / "snapshots/0123abc", bert_tensors())
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text("0123abc", "utf-8")
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", FROM_CACHE]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["hub", "someone/some-model", "0123abc"]


@pytest.mark.parametrize("name", ["", "  ", "a/b/c", "C:\\models\\x", "~nobody-here/x", "x" * 5000])
def test_names_that_name_nothing_are_refused(name: str) -> None:
    assert code_of(name, hub_access=len(name) < 100) in {"model_not_found", "hub_off"}


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, None),
        ({}, None),
    ],
)
def test_declared_pooling(tmp_path: Path, config: dict[str, Any], pooling: str | None) -> None:
    folder = write_model(tmp_path / "m", bert_tensors())
    modules = [{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps(config), "utf-8")
    assert model_facts(resolve_model(str(folder))).pooling == pooling


def test_pooling_is_never_read_outside_the_folder(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", bert_tensors())
    (tmp_path / "config.json").write_text('{"pooling_mode_cls_token": true}', "utf-8")
    modules = [{"path": "..", "type": "sentence_transformers.models.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    assert model_facts(resolve_model(str(folder))).pooling is None


def header(name: str, *shape: int, dtype: str = "F32") -> TensorHeader:
    return TensorHeader(name, shape, dtype, Path("x"))


SORTED = [
    ("model.layers.3.self_attn.q_proj.weight", (8, 8), (3, "q_proj")),
    ("h.11.attn.c_attn.weight", (8, 24), (11, "c_attn")),
    ("transformer.h.0.mlp.c_fc.weight", (8, 32), (0, "c_fc")),
    ("encoder.block.2.layer.0.SelfAttention.q.weight", (8, 8), (2, "q")),
    ("model.layers.1.mlp.experts.4.w1.weight", (8, 8), (1, "w1")),
    ("score.weight", (3, 8), (None, "score")),
]
SKIPPED = [
    ("model.embed_tokens.weight", (50, 8), "F32", "embedding"),
    ("transformer.wte.weight", (50, 8), "F32", "embedding"),
    ("shared.weight", (50, 8), "F32", "embedding"),
    (
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        (32, 8),
        "F32",
        "embedding",
    ),
    ("lm_head.weight", (50, 8), "BF16", "output"),
    ("encoder.conv.weight", (8, 8, 3), "F32", "not_matrix"),
    ("model.layers.0.self_attn.q_proj.weight", (8, 8), "U8", "quantized"),
    ("model.layers.0.self_attn.q_proj.weight", (8, 8), "F8_E4M3", "quantized"),
    ("model.layers.0.cls_token", (1, 8), "F32", "not_weight"),
]


@pytest.mark.parametrize(("name", "shape", "place"), SORTED)
def test_linear_weights_find_their_layer_and_kind(
    name: str, shape: tuple[int, ...], place: tuple[int | None, str]
) -> None:
    weights, skipped = sort_tensors([header(name, *shape)], "llama", 50)
    assert [(w.layer, w.kind) for w in weights] == [place]
    assert skipped == ()


@pytest.mark.parametrize(("name", "shape", "dtype", "reason"), SKIPPED)
def test_other_tensors_are_left_out_with_their_reason(
    name: str, shape: tuple[int, ...], dtype: str, reason: str
) -> None:
    weights, skipped = sort_tensors([header(name, *shape, dtype=dtype)], "llama", 50)
    assert weights == ()
    assert [s.reason for s in skipped] == [reason]


def test_kinds_differ_within_a_layer() -> None:
    names = ["a.output.dense", "output.dense", "inter.dense", "key"]
    weights, _ = sort_tensors([header(f"layer.0.{n}.weight", 4, 4) for n in names], "bert", None)
    assert [w.kind for w in weights] == ["a.output.dense", "output.dense", "inter.dense", "key"]


@pytest.mark.parametrize(("model_type", "transposed"), [("gpt2", True), ("gpt_bigcode", False)])
def test_only_gpt2_stores_its_weights_transposed(model_type: str, transposed: bool) -> None:
    weights, _ = sort_tensors([header("h.0.attn.c_attn.weight", 8, 24)], model_type, None)
    assert weights[0].transposed is transposed


def test_a_matrix_that_holds_several_projections_says_so() -> None:
    names = ("attn.c_attn", "self_attn.qkv_proj", "mlp.gate_up_proj", "self_attn.q_proj", "mlp.fc1")
    weights, _ = sort_tensors([header(f"h.0.{n}.weight", 4, 4) for n in names], "phi3", None)
    assert [w.kind for w in weights if w.fused] == ["c_attn", "qkv_proj", "gate_up_proj"]


def test_a_fused_parameter_outside_a_linear_layer_is_named_as_skipped() -> None:
    _, skipped = sort_tensors([header("layers.0.self_attn.in_proj_weight", 12, 4)], "x", None)
    assert [s.reason for s in skipped] == ["not_weight"]


def test_a_real_causal_model(shared_models: Path) -> None:
    facts = model_facts(resolve_model(str(shared_models / "stories260K")))
    assert (facts.architecture, facts.num_layers, len(facts.weights)) == ("LlamaForCausalLM", 5, 35)
    assert facts.num_total_params == 260_032
    assert [w.kind for w in facts.weights if w.layer == 0 and w.shape == (32, 64)] == [
        "k_proj",
        "v_proj",
    ]


def test_roberta_counts_its_positions_after_the_padding(tmp_path: Path) -> None:
    config = {"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    folder = write_model(tmp_path / "m", bert_tensors(), config)
    assert model_facts(resolve_model(str(folder))).max_positions == 512


def test_a_weight_without_values_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    write_model(folder, {"layer.0.key.weight": torch.ones(2, 2)})
    save_file({"layer.0.key.weight": torch.ones(0, 4)}, folder / "model.safetensors")
    assert model_facts(resolve_model(str(folder))).weights == ()


LIGHT = """
import sys
from pathlib import Path
from kasa.model.fit import tokenizer_fit
from kasa.model.source import model_facts, resolve_model
from kasa.spectral import truncation
from kasa.spectral.spectrum import Spectrum, load_spectra, save_spectra
import numpy as np
source = resolve_model("embedded")
model_facts(source)
tokenizer_fit(source, ["a text"])
file = Path(sys.argv[1]) / "spectra.npz"
save_spectra(file, [Spectrum("a.weight", "a", 0, "a", (2, 2), np.array([2.0, 1.0]))])
truncation.propose(load_spectra(file), "gavish_donoho")
heavy = [name for name in ("torch", "transformers") if name in sys.modules]
sys.exit(f"loaded {heavy}" if heavy else 0)
"""


def test_the_server_needs_neither_torch_nor_transformers(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", LIGHT, str(tmp_path)], cwd=ROOT, check=True)
