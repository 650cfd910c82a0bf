"""Tiny transformers with random weights, and some rows of the sample work orders as parts."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from kasa.data.read import read_table
from kasa.data.split import prepare_rows
from kasa.dataspec import DataSpec
from kasa.model.source import ModelSource, resolve_model
from kasa.study import Protocol
from kasa.tuning.measure import _processor
from kasa.tuning.outcome import Part, Parts, split_parts

ROOT = Path(__file__).resolve().parent.parent
WORK_ORDERS = ROOT / "sample_data" / "work_orders_en.csv"
CREWS = ("controls", "electrical", "hydraulics")


@contextmanager
def small_runs() -> Iterator[None]:
    """Train with one thread, and let the collector search only what the block makes.

    More threads cost tiny products more than they give, most of all beside other processes, and
    the Trainer collects garbage at every start, with all of torch in memory.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    try:
        with threadpool_limits(1):
            yield
    finally:
        gc.unfreeze()
        torch.set_num_threads(threads)


def tiny_bert(**changes: Any) -> BertModel:
    """Return a two-layer BERT without dropout, the same at every call; 48 makes it rectangular."""
    settings: dict[str, Any] = {
        "vocab_size": 60,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        # Ten times BERT's own: random weights this small would leave every text the same vector.
        "initializer_range": 0.2,
    }
    torch.manual_seed(0)
    return BertModel(BertConfig(**(settings | changes))).eval()


def tiny_gpt2(**changes: Any) -> GPT2Model:
    """Return a two-layer GPT-2, whose matrices are Conv1D and not Linear."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "vocab_size": 50,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": 32,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    return GPT2Model(GPT2Config(**(settings | changes))).eval()


def word_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer that knows every word of the texts and frames them as [CLS] … [SEP]."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    ids = {word: index for index, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def write_tiny_bert(folder: Path, texts: Sequence[str], **changes: Any) -> ModelSource:
    """Write the tiny BERT with a tokenizer for the texts as a model folder."""
    tokenizer = word_tokenizer(texts)
    tiny_bert(vocab_size=len(tokenizer), **changes).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return resolve_model(str(folder))


def write_tiny_gpt2(folder: Path, texts: Sequence[str], **changes: Any) -> ModelSource:
    """Write the tiny GPT-2 with a tokenizer for the texts as a model folder."""
    tokenizer = word_tokenizer(texts)
    tiny_gpt2(vocab_size=len(tokenizer), **changes).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return resolve_model(str(folder))


def write_tiny_llama(folder: Path, texts: Sequence[str], **changes: Any) -> ModelSource:
    """Write a two-layer causal language model that knows the words of the texts.

    [CLS] begins a text and [SEP] ends an answer.
    """
    tokenizer = word_tokenizer(texts)
    tokenizer.bos_token, tokenizer.eos_token = "[CLS]", "[SEP]"
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**(settings | changes))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return resolve_model(str(folder))


def write_tiny_t5(folder: Path, texts: Sequence[str], **changes: Any) -> ModelSource:
    """Write a tiny encoder-decoder without dropout that knows the words of the texts."""
    tokenizer = word_tokenizer(texts)
    tokenizer.eos_token = "[SEP]"
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "d_model": 32,
        "d_kv": 16,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 2,
        "dropout_rate": 0.0,
        "initializer_factor": 2.0,
        "decoder_start_token_id": tokenizer.pad_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    torch.manual_seed(0)
    T5ForConditionalGeneration(T5Config(**(settings | changes))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return resolve_model(str(folder))


MACHINES = ("pump", "motor", "valve", "belt", "hose", "fan", "press", "robot")
FAULTS = {"leaks": "call hydraulics", "hums": "call electrics", "sticks": "add oil"}


def small_parts(task: str) -> Parts:
    """Return 24 training, 12 validation and 12 test rows of a task, the same at every call."""
    pairs = [(machine, fault) for machine in MACHINES for fault in FAULTS]
    rows = [(*pairs[row % 24], row) for row in range(48)]
    known = tuple(sorted(FAULTS.values()))

    def part(start: int, end: int) -> Part:
        chosen = rows[start:end]
        texts = tuple(f"the {machine} {fault} in hall {row % 5}" for machine, fault, row in chosen)
        seconds: tuple[str, ...] = ()
        choices: tuple[tuple[str, ...], ...] = ()
        labels: list[Any] = [known.index(FAULTS[fault]) for _, fault, _ in chosen]
        if task == "generation":
            labels = [FAULTS[fault] for _, fault, _ in chosen]
        elif task == "regression":
            labels = [
                2.0 * MACHINES.index(machine) + list(FAULTS).index(fault) + row % 3
                for machine, fault, row in chosen
            ]
        elif task == "pair_classification":
            other = [list(FAULTS)[row // 2 % 3] for _, _, row in chosen]
            seconds = tuple(f"it {fault}" for fault in other)
            labels = [int(fault == each) for (_, fault, _), each in zip(chosen, other, strict=True)]
        elif task == "multiple_choice":
            # Two or three choices: the number differs from row to row.
            offered = [
                (*known[row % 3 :], *known[: row % 3])[: 3 - (row % 4 == 0)] for _, _, row in chosen
            ]
            labels = [
                each.index(FAULTS[fault]) if FAULTS[fault] in each else 0
                for each, (_, fault, _) in zip(offered, chosen, strict=True)
            ]
            choices = tuple(offered)
        return Part(tuple(range(start, end)), texts, tuple(labels), seconds, choices)

    names = {"classification": known, "pair_classification": ("another", "same")}.get(task, ())
    return Parts(part(0, 24), part(24, 36), part(36, 48), names, task)


def task_texts(parts: Parts) -> list[str]:
    """Return every text that the rows of a task hold, answers too."""
    found = []
    for part in (parts.train, parts.validation, parts.test):
        found += [*part.texts, *part.seconds, *(text for row in part.choices for text in row)]
        found += [label for label in part.labels if isinstance(label, str)]
    return found


def work_orders(train: int = 20, validation: int = 8, test: int = 8) -> Parts:
    """Return that many rows of each of three crews per part, as the studio would split them."""
    spec = DataSpec(str(WORK_ORDERS), "text", "crew")
    rows = prepare_rows(read_table(WORK_ORDERS), spec, Protocol()).rows
    rows = rows[rows["label"].isin(CREWS)]
    wanted = {"train": train, "validation": validation, "test": test}
    place = rows.groupby(["part", "label"]).cumcount()
    return split_parts(rows[place < rows["part"].map(wanted)])


def all_texts(parts: Parts) -> list[str]:
    """Return the texts of every part."""
    return [text for part in (parts.train, parts.validation, parts.test) for text in part.texts]


def relabelled(parts: Parts, labels: Sequence[int]) -> Parts:
    """Return the parts with other labels on the test rows."""
    test = Part(parts.test.rows, parts.test.texts, tuple(int(label) for label in labels))
    return Parts(parts.train, parts.validation, test, parts.labels)


def run_folder(home: Path, name: str, precision: str = "fp32") -> Path:
    """Return a run's own folder in a workspace whose number format is already chosen."""
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    measured_on = {"device": device, "threads": torch.get_num_threads()}
    kept = measured_on | {"name": precision, "bf16_speedup": 1.0}
    (home / "precision.json").write_text(json.dumps(kept), "utf-8")
    return folder
