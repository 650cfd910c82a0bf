"""The ja and en catalogues against each other and against the code; numbers as people write them.

The rules read catalogues and code below a root, so that each is also seen to fail on a small tree
with a planted mistake.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from string import Formatter

import pytest

from kasa.errors import KasaError
from kasa.runs.records import ACTIVE, ENDED
from kasa.text import LANGUAGES, Translator, catalogue, translator

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("kasa", "app", "pages")
PARTS = {"what", "cause", "do"}
KEY = re.compile(r"[a-z_]+(\.[\w-]+)+")
FILE = re.compile(r".*\.(json|toml|csv|html|css|js|npz|jsonl|txt|safetensors|db)")
JAPANESE = re.compile("[぀-ヿ㐀-鿿]")
# Names, symbols and units that a Japanese page shows as they are.
AS_THEY_ARE = re.compile(
    r"KaSA|(rs|Ada)?LoRA|DoRA|PiSSA|VeRA|\(IA\)³|PEFT|chrF|TF-IDF|Python|OS|GPU"
    r"|JSON( Lines)?|Parquet|UTF-\d+|EUC-JP|ISO-2022-JP|JIS"
    r"|Gavish–Donoho|Marchenko–Pastur|alpha|beta|gamma|r(?==)"
)
SPEAKERS = ("t", "text", "speak", "say", "_tell")
EN, JA = translator("en"), translator("ja")


# -- reading catalogues and code ----------------------------------------------------------------


@dataclass(frozen=True)
class Use:
    """A key in a call: literal, or with a gap per f-string value; `names` are None after **.

    `speaks` says that the call makes the sentence; others hand the key on.
    """

    where: str
    pattern: str
    literal: bool
    names: frozenset[str] | None
    speaks: bool = True


def folders(root: Path) -> list[Path]:
    return [root / "kasa" / "locale", root / "app" / "locale"]


@cache
def sentences(lang: str, root: Path) -> dict[str, str]:
    return {key: text for folder in folders(root) for key, text in catalogue(lang, folder).items()}


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def rooms(root: Path) -> set[str]:
    return {key.partition(".")[0] for key in sentences("en", root)}


def trees(root: Path) -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            yield file.relative_to(root).as_posix(), ast.parse(file.read_text("utf-8"))


def text_pattern(node: ast.expr) -> tuple[str, bool] | None:
    """Return (pattern, literal) of a string or an f-string; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value), True
    if isinstance(node, ast.JoinedStr):
        pieces = (
            re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"[\w.-]+"
            for part in node.values
        )
        return "".join(pieces), False
    return None


def names_given(call: ast.Call) -> frozenset[str] | None:
    names = [keyword.arg for keyword in call.keywords]
    return None if None in names else frozenset(str(name) for name in names)


def speaks(call: ast.Call) -> bool:
    """Say whether the call is `t(…)`, `text(…)`, `say(args, …)` or `translator(…)(…)`."""
    return isinstance(call.func, ast.Call) or getattr(call.func, "id", "") in SPEAKERS


@cache
def key_uses(root: Path) -> list[Use]:
    """Return every call argument that reads like a key: `room.…`, in a room that exists."""
    found, known = [], rooms(root)
    for name, tree in trees(root):
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            for argument in call.args:
                read = text_pattern(argument)
                if read is None:
                    continue
                plain = read[0].replace("\\", "")
                if plain.partition(".")[0] in known and is_key(plain, literal=read[1]):
                    where = f"{name}:{argument.lineno}"
                    found.append(Use(where, *read, names_given(call), speaks(call)))
    return found


def is_key(text: str, *, literal: bool) -> bool:
    if literal:
        return bool(KEY.fullmatch(text)) and not FILE.fullmatch(text)
    return "." in text and " " not in text and not FILE.fullmatch(text)


def error_types() -> set[str]:
    return {kind.__name__ for kind in (KasaError, *KasaError.__subclasses__())}


def codes_of(argument: ast.expr, scope: ast.AST) -> set[str]:
    """Return the codes an error's first argument can be: a literal, or a variable's literals."""
    if isinstance(argument, ast.Name):
        values = [
            node.value
            for node in ast.walk(scope)
            if isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == argument.id for t in node.targets)
        ]
        return {code for value in values for code in codes_of(value, scope)}
    if isinstance(argument, ast.IfExp):
        return codes_of(argument.body, scope) | codes_of(argument.orelse, scope)
    is_text = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    return {argument.value} if is_text else set()


@cache
def error_uses(root: Path) -> list[Use]:
    """Return every code of every error made in the code; `?` where it cannot be read."""
    kinds, found = error_types(), []
    for name, tree in trees(root):
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if not (isinstance(call.func, ast.Name) and call.func.id in kinds and call.args):
                continue
            where, names = f"{name}:{call.lineno}", names_given(call)
            codes = codes_of(call.args[0], tree) or {"?"}
            found += [Use(where, code, literal=True, names=names) for code in codes]
    return found


# -- the rules: each returns what breaks it -----------------------------------------------------


def both_languages_have_the_key(root: Path) -> list[str]:
    wrong = []
    for folder in folders(root):
        ja, en = (catalogue(lang, folder) for lang in LANGUAGES)
        wrong += sorted(ja.keys() ^ en.keys())
    return wrong


def both_languages_take_the_same_values(root: Path) -> list[str]:
    ja, en = (sentences(lang, root) for lang in LANGUAGES)
    return [key for key in ja.keys() & en.keys() if placeholders(ja[key]) != placeholders(en[key])]


def no_key_stands_in_two_catalogues(root: Path) -> list[str]:
    library, shell = (catalogue("en", folder) for folder in folders(root))
    return sorted(library.keys() & shell.keys())


def every_key_in_the_code_exists(root: Path) -> list[str]:
    known = sentences("en", root)
    return [
        f"{use.where} {use.pattern}"
        for use in key_uses(root)
        if not any(re.fullmatch(use.pattern, key) for key in known)
    ]


def every_sentence_gets_its_values(root: Path) -> list[str]:
    wrong = []
    for use in key_uses(root):
        sentence = sentences("en", root).get(use.pattern.replace("\\", ""))
        if sentence is None or use.names is None or not (use.speaks or use.names):
            continue
        if missing := placeholders(sentence) - use.names:
            wrong.append(f"{use.where} {use.pattern} {missing}")
    return wrong


def every_error_code_exists(root: Path) -> list[str]:
    codes = {key.split(".")[1] for key in sentences("en", root) if key.startswith("errors.")}
    return [f"{use.where} {use.pattern}" for use in error_uses(root) if use.pattern not in codes]


def every_error_gets_its_values(root: Path) -> list[str]:
    wrong = []
    for use in error_uses(root):
        for lang in LANGUAGES:
            known = sentences(lang, root)
            parts = [known.get(f"errors.{use.pattern}.{part}", "") for part in PARTS]
            needed = {name for part in parts for name in placeholders(part)}
            if use.names is not None and needed - use.names:
                wrong.append(f"{use.where} {use.pattern} {needed - use.names}")
    return wrong


def no_error_code_is_left_over(root: Path) -> list[str]:
    codes = {key.split(".")[1] for key in sentences("en", root) if key.startswith("errors.")}
    return sorted(codes - {use.pattern for use in error_uses(root)})


def every_error_has_three_parts(root: Path) -> list[str]:
    wrong = []
    for lang in LANGUAGES:
        parts: dict[str, set[str]] = {}
        for key, sentence in sentences(lang, root).items():
            if key.startswith("errors.") and sentence.strip():
                code, _, part = key.removeprefix("errors.").partition(".")
                parts.setdefault(code, set()).add(part)
        wrong += [f"{lang} {code}" for code, found in parts.items() if found != PARTS]
    return wrong


def japanese_is_japanese(root: Path) -> list[str]:
    wrong = []
    for key, sentence in sentences("ja", root).items():
        words = "".join(text for text, *_ in Formatter().parse(sentence))
        if not JAPANESE.search(words) and re.search(r"[A-Za-z]", AS_THEY_ARE.sub("", words)):
            wrong.append(key)
    return wrong


def english_has_no_japanese(root: Path) -> list[str]:
    return [key for key, sentence in sentences("en", root).items() if JAPANESE.search(sentence)]


RULES = (
    both_languages_have_the_key,
    both_languages_take_the_same_values,
    no_key_stands_in_two_catalogues,
    every_key_in_the_code_exists,
    every_sentence_gets_its_values,
    every_error_code_exists,
    every_error_gets_its_values,
    no_error_code_is_left_over,
    every_error_has_three_parts,
    japanese_is_japanese,
    english_has_no_japanese,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps_the_rule(rule: Callable[[Path], list[str]]) -> None:
    assert rule(ROOT) == []


def test_the_rules_see_the_project() -> None:
    assert len(key_uses(ROOT)) > 300
    assert len({use.pattern for use in error_uses(ROOT)}) > 60
    assert {use.literal for use in key_uses(ROOT)} == {True, False}


# -- each rule fails on a planted mistake -------------------------------------------------------

CLEAN = {
    "kasa/locale/errors/en.toml": '[gone]\nwhat = "No {path}."\ncause = "Moved."\ndo = "Look."',
    "kasa/locale/errors/ja.toml": '[gone]\nwhat = "{path} なし"\ncause = "移動"\ndo = "探す"',
    "kasa/locale/cli/en.toml": 'written = "Written: {path}"\nname = "KaSA"',
    "kasa/locale/cli/ja.toml": 'written = "書き出し：{path}"\nname = "KaSA"',
    "app/locale/home/en.toml": 'title = "Home"',
    "app/locale/home/ja.toml": 'title = "ホーム"',
    "kasa/some.py": 'say(args, "cli.written", path=1)\nraise DataError("gone", path=2)',
    "pages/some.py": 't("home.title")\nt(f"home.{name}")',
}
MISTAKES = [
    ("app/locale/home/ja.toml", 'titel = "ホーム"', "both_languages_have_the_key"),
    ("app/locale/home/en.toml", "", "both_languages_have_the_key"),
    (
        "kasa/locale/cli/ja.toml",
        'written = "書き出し：{file}"\nname = "KaSA"',
        "both_languages_take_the_same_values",
    ),
    ("app/locale/cli/en.toml", 'name = "KaSA"', "no_key_stands_in_two_catalogues"),
    ("pages/some.py", 't("home.lead")', "every_key_in_the_code_exists"),
    ("pages/some.py", 't(f"home.lead_{name}")', "every_key_in_the_code_exists"),
    ("pages/some.py", 'header("home.title", "home.lead")', "every_key_in_the_code_exists"),
    (
        "kasa/other.py",
        'translator(lang)("cli.written", file=1)',
        "every_sentence_gets_its_values",
    ),
    ("kasa/other.py", 'say(args, "cli.written")', "every_sentence_gets_its_values"),
    ("kasa/other.py", 'raise StoreError("lost")', "every_error_code_exists"),
    ("kasa/other.py", "raise StoreError(code())", "every_error_code_exists"),
    (
        "kasa/other.py",
        'code = "gone" if x else "lost"\nraise StoreError(code, path=1)',
        "every_error_code_exists",
    ),
    ("kasa/other.py", 'raise StoreError("gone")', "every_error_gets_its_values"),
    ("kasa/some.py", "", "no_error_code_is_left_over"),
    (
        "kasa/locale/errors/ja.toml",
        '[gone]\nwhat = "{path} なし"\ncause = "移動"\ndo = ""',
        "every_error_has_three_parts",
    ),
    ("app/locale/home/ja.toml", 'title = "Home"', "japanese_is_japanese"),
    ("app/locale/home/en.toml", 'title = "ホーム"', "english_has_no_japanese"),
]


def write_tree(root: Path, changes: dict[str, str]) -> Path:
    for name, content in (CLEAN | changes).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, "utf-8")
    return root


def test_the_small_project_is_clean(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {})
    assert {rule.__name__: rule(root) for rule in RULES if rule(root)} == {}


@pytest.mark.parametrize(("file", "content", "rule"), MISTAKES)
def test_a_planted_mistake_is_found(tmp_path: Path, file: str, content: str, rule: str) -> None:
    root = write_tree(tmp_path, {file: content})
    assert rule in {each.__name__ for each in RULES if each(root)}


def test_every_rule_has_been_seen_to_fail() -> None:
    assert {rule for _, _, rule in MISTAKES} == {rule.__name__ for rule in RULES}


# -- the translator -----------------------------------------------------------------------------


def test_an_unknown_key_is_an_error_in_every_language() -> None:
    for text in (EN, JA):
        assert text.has("cli.written")
        assert not text.has("cli.unwritten")
        with pytest.raises(KeyError, match=r"cli\.unwritten"):
            text("cli.unwritten")


def test_an_unknown_language_reads_english() -> None:
    assert translator("fr")("cli.written", path="x") == "Written: x"
    assert translator("ja")("cli.written", path="x") == "書き出しました：x"


def test_the_first_folder_wins(tmp_path: Path) -> None:
    write_tree(tmp_path, {})
    text = Translator("en", (*folders(tmp_path), *folders(ROOT)))
    assert text("home.title") == "Home"
    assert text("report.status.finished") == translator("en")("report.status.finished")


@pytest.mark.parametrize("status", [*ACTIVE, *ENDED])
def test_every_status_has_a_word(status: str) -> None:
    assert EN(f"report.status.{status}") != JA(f"report.status.{status}")


@pytest.mark.parametrize(("digits", "shown"), [(0, "1,234,568"), (2, "1,234,567.89")])
def test_numbers(digits: int, shown: str) -> None:
    assert {text.number(1234567.891, digits) for text in (EN, JA)} == {shown}


@pytest.mark.parametrize(
    ("fraction", "digits", "shown"),
    [(0.8812, 1, "88.1%"), (1, 1, "100.0%"), (0, 0, "0%"), (0.0005, 2, "0.05%")],
)
def test_per_cent(fraction: float, digits: int, shown: str) -> None:
    assert {text.percent(fraction, digits) for text in (EN, JA)} == {shown}


@pytest.mark.parametrize(
    ("fraction", "shown"), [(0.0123, "+1.2"), (-0.0123, "-1.2"), (0, "+0.0"), (-12, "-1,200.0")]
)
def test_points_have_a_sign(fraction: float, shown: str) -> None:
    assert {text.points(fraction) for text in (EN, JA)} == {shown}


@pytest.mark.parametrize(
    ("amount", "currency", "english", "japanese"),
    [
        (1234, "JPY", "¥1,234", "￥1,234"),
        (12.6, "JPY", "¥13", "￥13"),
        (0, "JPY", "¥0", "￥0"),
        (0.52, "JPY", "¥0.52", "￥0.52"),
        (1234.5, "USD", "$1,234.50", "$1,234.50"),
        (12.3, "EUR", "€12.30", "€12.30"),
    ],
)
def test_money(amount: float, currency: str, english: str, japanese: str) -> None:
    assert (EN.money(amount, currency), JA.money(amount, currency)) == (english, japanese)


@pytest.mark.parametrize(
    ("seconds", "english", "japanese"),
    [
        (0, "0.0 sec", "0.0 秒"),
        (8.34, "8.3 sec", "8.3 秒"),
        (42.4, "42 sec", "42 秒"),
        (60, "1 min 0 sec", "1 分 0 秒"),
        (125.4, "2 min 5 sec", "2 分 5 秒"),
        (3599.6, "1 hr 0 min", "1 時間 0 分"),
        (4320, "1 hr 12 min", "1 時間 12 分"),
        (90_000, "25 hr 0 min", "25 時間 0 分"),
    ],
)
def test_seconds(seconds: float, english: str, japanese: str) -> None:
    assert (EN.seconds(seconds), JA.seconds(seconds)) == (english, japanese)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0.0 MB"),
        (1_500_000, "1.5 MB"),
        (512_400_000, "512 MB"),
        (1_300_000_000, "1.3 GB"),
        (2_500_000_000_000, "2,500.0 GB"),
    ],
)
def test_bytes(size: float, shown: str) -> None:
    assert {text.bytes(size) for text in (EN, JA)} == {shown}


def test_dates() -> None:
    moment = datetime(2026, 11, 3, 14, 5, 6, tzinfo=UTC)
    assert JA.date(moment) == "2026/11/03 14:05:06"
    assert EN.date(moment).replace("\u202f", " ") == "Nov 3, 2026, 2:05:06 PM"
