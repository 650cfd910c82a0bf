"""The row-level data check on 50,000 rows: seconds of each step, for English and for Japanese rows.

Rows are drawn from the project's sample files (two halves of different notes, with a part number), 5 %
of them near copies (one character changed), 1 % with an e-mail address or a phone number. The target is
30 s for the whole check on 2 cores.
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from common import ROOT, conditions, seconds

from kasa.data.check import check_file
from kasa.data.language import mixed_rows
from kasa.data.mojibake import mojibake_rows
from kasa.data.normalise import normalised_column
from kasa.data.personal import rows_with_personal
from kasa.data.similar import near_duplicates
from kasa.data.variants import label_variants

SAMPLES = {
    "English": ("work_orders_en.csv", "text", "crew"),
    "Japanese": ("inspection_notes_ja.csv", "所見", "不良区分"),
}
PERSONAL = ("taro{}@example.co.jp", "090-1234-{:04d}", "０３－１２３４－{:04d}")
NEAR_COPIES, WITH_PERSONAL = 0.05, 0.01


def draw(language: str, count: int, seed: int = 0) -> pd.DataFrame:
    """Return rows with the columns text and label."""
    file, text, label = SAMPLES[language]
    with (ROOT / "sample_data" / file).open(encoding="utf-8-sig", newline="") as stream:
        notes = [(row[text], row[label]) for row in csv.DictReader(stream)]
    generator = random.Random(seed)
    rows: list[tuple[str, str]] = []
    for number in range(count):
        (first, kind), (second, _) = generator.choices(notes, k=2)
        kind = kind if generator.random() > 0.02 else f" {kind} ".upper()
        chance = generator.random()
        if rows and chance < NEAR_COPIES:
            copied, kind = generator.choice(rows)
            at = generator.randrange(len(copied))
            rows.append((copied[:at] + "x" + copied[at + 1 :], kind))
            continue
        parts = [first[: len(first) // 2], second[len(second) // 2 :]]
        parts.append(f"{generator.choice('ABCD')}{generator.randrange(1000, 9999)}-{number % 7}")
        if chance > 1 - WITH_PERSONAL:
            parts.append(generator.choice(PERSONAL).format(generator.randrange(10_000)))
        rows.append((" ".join(parts), kind))
    return pd.DataFrame(rows, columns=["text", "label"], dtype="str")


def main() -> None:
    """Print a row per step and the total."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    options = parser.parse_args()
    steps: dict[str, Callable[[pd.DataFrame], object]] = {
        "personal data": lambda rows: rows_with_personal(rows["text"]).sum(),
        "near copies": lambda rows: (near_duplicates(rows["text"]) >= 0).sum(),
        "wrong encoding": lambda rows: mojibake_rows(rows["text"]).sum(),
        "label variants": lambda rows: len(label_variants(rows["label"])),
        "normalised": lambda rows: (normalised_column(rows["text"]) != rows["text"]).sum(),
        "other language": lambda rows: mixed_rows(rows["text"]).sum(),
    }
    print("| rows | step | seconds | found |\n|---|---|---|---|")
    for language in SAMPLES:
        rows = draw(language, options.rows)
        for name, step in steps.items():
            found: list[object] = []
            taken = seconds(lambda: found.append(step(rows)))
            print(f"| {language} | {name} | {taken:.2f} | {found[0]} |", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.csv"
            rows.to_csv(path, index=False)
            whole: list[dict[str, object]] = []
            taken = seconds(lambda: whole.append(check_file(path)))
        kinds = len(whole[0]["problems"])
        print(f"| {language} | the whole check, from the file on | {taken:.2f} | {kinds} kinds |")
    print(conditions("pandas", "numpy", "scipy", "rapidfuzz", "phonenumbers", "ftfy"))


if __name__ == "__main__":
    main()
