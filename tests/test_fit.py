"""Can the model read the data? Known and unknown words, bytes, and the sentences that say so."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from kasa.errors import ModelError
from kasa.model.fit import (
    JAPANESE_BASES,
    TokenizerFit,
    fit_sentence,
    script_of,
    token_counts,
    tokenizer_fit,
)
from kasa.model.source import ModelSource, resolve_model
from kasa.text import translator
from tests.known_answers import bert_tensors, write_model

ENGLISH = ["pump leaking at the seal", "replace the worn belt", "motor runs hot and smells"]
JAPANESE = ["溶接部に割れがあります", "ボルトの緩みを確認", "塗装にムラがある"]


@pytest.fixture(scope="module")
def embedded() -> ModelSource:
    return resolve_model("embedded")


def folder_with(folder: Path, tokenizer: Tokenizer) -> ModelSource:
    write_model(folder, bert_tensors())
    tokenizer.save(str(folder / "tokenizer.json"))
    return resolve_model(str(folder))


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """Return a model that knows two words and calls every other one unknown."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=50)
    return folder_with(tmp_path_factory.mktemp("words"), tokenizer)


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """Return a byte-level model (as GPT-2's) that learnt English only."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(ENGLISH * 20, trainer)
    return folder_with(tmp_path_factory.mktemp("bytes"), tokenizer)


def test_unknown_words_are_counted_exactly(words: ModelSource) -> None:
    fit = tokenizer_fit(words, ["a b", "a x y b", ""])
    assert (fit.num_texts, fit.num_tokens) == (3, 6)
    assert fit.unknown_share == pytest.approx(2 / 6)
    assert (fit.median_tokens, fit.longest_tokens) == (2.0, 4)
    assert not fit.readable


def test_lengths_are_neither_cut_nor_padded(words: ModelSource) -> None:
    lengths = token_counts(words, ["a " * 300, "", "b"])[:, 0]
    assert lengths.tolist() == [300, 0, 1]


def test_special_tokens_count_in_lengths_only(embedded: ModelSource) -> None:
    fit = tokenizer_fit(embedded, ["pump"])
    assert (fit.num_tokens, fit.longest_tokens) == (1, 3)
    assert token_counts(embedded, ["pump", "検"]).tolist() == [[3, 0], [3, 1]]


def test_english_on_the_embedded_model(embedded: ModelSource) -> None:
    fit = tokenizer_fit(embedded, ENGLISH)
    assert (fit.unknown_share, fit.readable, fit.script) == (0.0, True, "latin")


def test_japanese_on_the_embedded_model_is_not_readable(embedded: ModelSource) -> None:
    fit = tokenizer_fit(embedded, JAPANESE)
    assert fit.script == "japanese"
    assert fit.unknown_share > 0.1
    assert not fit.readable


def test_real_data_lies_far_from_the_threshold(embedded: ModelSource, shared_data: Path) -> None:
    def column(file: str, name: str) -> list[str]:
        with (shared_data / file).open(encoding="utf-8") as stream:
            return [row[name] for row in csv.DictReader(stream)][:500]

    english = tokenizer_fit(embedded, column("banking77/test.csv", "text"))
    japanese = tokenizer_fit(embedded, column("jcm/test.csv", "sent"))
    assert english.unknown_share < 0.001
    assert 0.15 < japanese.unknown_share < 0.3


def test_bytes_are_not_mistaken_for_reading(byte_level: ModelSource) -> None:
    english, japanese = tokenizer_fit(byte_level, ENGLISH), tokenizer_fit(byte_level, JAPANESE)
    assert (english.unknown_share, japanese.unknown_share) == (0.0, 0.0)
    assert english.readable
    assert japanese.tokens_per_character == pytest.approx(3.0)
    assert not japanese.readable


def test_codes_in_latin_letters_do_not_hide_bytes(byte_level: ModelSource) -> None:
    fit = tokenizer_fit(byte_level, [f"{text} pump the seal the belt" for text in JAPANESE])
    assert fit.tokens_per_character == pytest.approx(3.0)
    assert not fit.readable


def test_byte_fallback_of_a_real_model(shared_models: Path) -> None:
    fit = tokenizer_fit(resolve_model(str(shared_models / "stories260K")), JAPANESE)
    assert fit.unknown_share == 0.0
    assert fit.tokens_per_character > 2.5
    assert not fit.readable


def test_accents_do_not_make_french_unreadable(byte_level: ModelSource) -> None:
    assert tokenizer_fit(byte_level, ["fuite détectée à côté du joint"]).readable


@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_text_has_a_fit(texts: list[str]) -> None:
    source = resolve_model("embedded")
    fit = tokenizer_fit(source, texts)
    lengths = token_counts(source, texts)[:, 0]
    assert fit.num_texts == len(texts) == len(lengths)
    assert 0 <= fit.unknown_share <= 1
    assert fit.longest_tokens == max(lengths, default=0)
    assert fit.num_tokens == lengths.sum() - 2 * len(texts)


@pytest.mark.parametrize(
    ("texts", "script"),
    [
        ([], "latin"),
        (["123 !?"], "latin"),
        (["pump leaking"], "latin"),
        (["café Größe"], "latin"),
        (["ポンプ P-101 leak"], "japanese"),
        (["ﾎﾟﾝﾌﾟ"], "japanese"),
        (["насос течёт"], "other"),
        (["펌프 누수"], "other"),
    ],
)
def test_script_of(texts: list[str], script: str) -> None:
    assert script_of(texts) == script


def fit_of(unknown: float, per_character: float, script: str, readable: bool) -> TokenizerFit:
    return TokenizerFit(1, 10, unknown, per_character, 5.0, 9, readable, script)


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_the_warning_names_the_share_and_bases_that_can_read(lang: str) -> None:
    text = translator(lang)
    unknown = fit_sentence(fit_of(0.22, 0.9, "japanese", False), text)
    assert "22.0%" in unknown
    assert all(base in unknown for base in JAPANESE_BASES)
    spelt = fit_sentence(fit_of(0.0, 3.0, "other", False), text)
    assert "3.0" in spelt
    assert spelt != unknown
    fine = fit_sentence(fit_of(0.001, 0.0, "latin", True), text)
    assert "0.1%" in fine
    assert not any(base in fine for base in JAPANESE_BASES)


def test_a_model_without_tokenizer_json_says_so(tmp_path: Path) -> None:
    source = resolve_model(str(write_model(tmp_path / "m", bert_tensors())))
    with pytest.raises(ModelError) as caught:
        tokenizer_fit(source, ["a"])
    assert caught.value.code == "tokenizer_missing"
    (tmp_path / "m/tokenizer.json").write_text('{"model": 1}', "utf-8")
    with pytest.raises(ModelError) as caught:
        token_counts(source, ["a"])
    assert caught.value.code == "model_damaged"
