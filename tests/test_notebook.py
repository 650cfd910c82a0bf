"""The notebook says what the report says, and runs from top to bottom on a real workspace."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

from kasa.dataspec import DataSpec
from kasa.report.labels import arm_labels
from kasa.report.notebook import escaped, render_notebook, section_lines
from kasa.report.options import PackOptions
from kasa.report.sections import report_sections
from kasa.report.tree import Bullets, Charts, Paragraph, Table
from kasa.runs.bundle import bundle_bytes, read_bundle
from kasa.runs.store import Store
from kasa.text import translator
from kasa.verdict.evidence import Evidence, gather
from tests.opened_packs import sources
from tests.result_files import draft, finish
from tests.study_runs import example_evidence, example_runs, example_study, finished_run

ROOT = Path(__file__).resolve().parent.parent
HOSTILE = (
    "# x\n\n```python\nimport os\n```\n<script>alert(1)</script> [a](http://evil.example) "
    'www.evil.example a@b.example | **b** $x$ "; raise SystemExit #'
)


def notebook(evidence: Evidence, **options: Any) -> Any:
    found = nbformat.reads(render_notebook(evidence, PackOptions(**options)).decode(), as_version=4)
    nbformat.validate(found)
    return found


def unescaped(words: str) -> str:
    """Return Markdown as a reader sees it."""
    shown = re.sub(r"\\([\\`*_\[\]#|~$+.)-])", r"\1", words)
    shown = re.sub(r"&#(\d+);", lambda match: chr(int(match[1])), shown)
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


# -- what it says -------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_every_word_of_the_report_is_in_it(lang: str) -> None:
    evidence, text = example_evidence(), translator(lang)
    words = unescaped("\n".join(sources(notebook(evidence, lang=lang), "markdown")))
    for section in report_sections(evidence, text):
        assert f"## {section.title}" in words
        tables = [block for block in section.blocks if isinstance(block, Table)]
        for block in section.blocks:
            if isinstance(block, Paragraph):
                assert " ".join(block.text.split()) in words
            elif isinstance(block, Bullets):
                assert all(f"- {' '.join(item.split())}" in words for item in block.items)
            elif isinstance(block, Charts):
                tables += block.tables
                assert all(chart.title in words and chart.note in words for chart in block.charts)
        for table in tables:
            for row in (table.header, *table.rows):
                cells = " | ".join(" ".join(cell.split()) for cell in row)
                assert f"| {cells} |" in words


def test_the_verdict_comes_first_and_code_before_what_needs_it() -> None:
    evidence = example_evidence()
    cells = notebook(evidence, lang="en").cells
    assert cells[0].source.startswith("# ")
    assert (
        cells[1].source
        == "\n".join(
            section_lines(report_sections(evidence, translator("en"))[0], translator("en"))
        ).rstrip()
    )
    code = sources(notebook(evidence, lang="en"), "code")
    assert 'STUDY = "abc123"' in code[0]
    assert "evidence = gather(store, STUDY)" in code[1]
    assert not any(cell.get("outputs") for cell in cells if cell.cell_type == "code")


def test_it_is_the_same_for_the_same_evidence() -> None:
    options = PackOptions("ja", company="東海精機")
    first, second = (render_notebook(example_evidence(), options) for _ in range(2))
    assert first == second
    assert "東海精機" in json.loads(first)["cells"][0]["source"][2]


def test_a_management_pack_has_its_sections_alone() -> None:
    evidence, text = example_evidence(), translator("en")
    words = "\n".join(sources(notebook(evidence, lang="en", audience="management"), "markdown"))
    assert f"## {text('report.section.arms')}" in words
    assert text("report.section.confusion") not in words


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_each_language_speaks_its_own(lang: str) -> None:
    found = notebook(example_evidence(), lang=lang)
    words = "\n".join(sources(found, "markdown"))
    if lang == "en":
        assert not re.search("[぀-ヿ㐀-鿿]", words)
        return
    # Commands, file names and settings stay; five English words in a row are a sentence.
    assert not re.search(r"\b[a-z]{2,} [a-z]{2,} [a-z]{2,} [a-z]{2,} [a-z]{2,}\b", words)
    assert all("#" not in line for code in sources(found, "code") for line in code.splitlines())


# -- hostile words ------------------------------------------------------------------------------


def hostile_evidence() -> Evidence:
    labels = [HOSTILE, "oil leak", "sensor fault"] * 40
    said = [labels[(i + 1) % 120] if i % 7 == 0 else label for i, label in enumerate(labels)]
    runs = [
        finished_run(arm, 0, labels, labels if arm.startswith("kasa") else said)
        for arm in ("kasa-r8", "lora-r8")
    ]
    data = DataSpec("/x/" + HOSTILE.replace("/", ""), "no\nte", HOSTILE)
    study = example_study(title=HOSTILE, data=data)
    return example_evidence(runs, replace(study, arms=study.arms[:2]))


def test_what_people_wrote_stays_text() -> None:
    evidence = hostile_evidence()
    found = notebook(evidence, lang="en", company=HOSTILE)
    plain = notebook(example_evidence(example_runs(("kasa-r8", "lora-r8"), (0,))), lang="en")
    assert set(sources(found, "code")) <= set(sources(plain, "code"))
    for words in sources(found, "markdown"):
        assert not re.search(r"(?<!\\)```|<[a-z/!]|(?<!\\)\]\(|://|www\.\w|\w@\w", words)
        assert not re.search(r"(?m)^#+ x", words)
        heads = [line for line in words.splitlines() if line.startswith("#")]
        assert len(heads) <= 1
    assert " ".join(HOSTILE.split()) in unescaped(found.cells[0].source)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("1. no list", r"1\. no list"),
        ("- no list", r"\- no list"),
        ("+0.5", r"\+0.5"),
        ("# no heading", r"\# no heading"),
        ("a | b", r"a \| b"),
        ("frozen_head *x*", r"frozen\_head \*x\*"),
        ("<b> & [c](d)", r"&lt;b&gt; &amp; \[c\](d)"),
        ("$1,234", r"\$1,234"),
        ("a\n\n# b", r"a \# b"),
        ("http://x", "http&#58;//x"),
        ("r = 8, 88.1% (87.3–88.9)", "r = 8, 88.1% (87.3–88.9)"),
    ],
)
def test_markdown_is_disarmed(words: str, shown: str) -> None:
    assert escaped(words) == shown


# -- it runs ------------------------------------------------------------------------------------


def run_all(found: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a notebook with this interpreter, wherever other kernels are registered."""
    from nbclient import NotebookClient

    kernel = folder / "jupyter" / "kernels" / "kasa-test"
    kernel.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "kasa-test", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), "utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    place = {"metadata": {"path": str(folder)}}
    return NotebookClient(found, timeout=240, kernel_name="kasa-test", resources=place).execute()


def shown(found: Any) -> list[dict[str, Any]]:
    """Return what each code cell shows last, by MIME type."""
    outputs = [cell.outputs for cell in found.cells if cell.cell_type == "code"]
    return [each[-1].get("data", {}) if each else {} for each in outputs]


def row_numbers(table: str) -> list[list[float]]:
    """Return the numbers of an HTML table's cells, row by row."""
    rows = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    return [[float(cell) for cell in re.findall(r"<td>(-?[\d.e+-]+)</td>", row)] for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("lang", ["en", "ja"])
def test_it_runs_and_its_tables_hold_the_store_s_numbers(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lang: str
) -> None:
    store = Store()
    study_id = draft(store, tmp_path, profile="standard")
    finish(store, study_id)
    store.update_study(study_id, replace(store.study(study_id).study, title=HOSTILE))
    before = store.ledger.entries()
    evidence = gather(store, study_id)
    found = run_all(notebook(evidence, lang=lang), tmp_path, monkeypatch)
    code = sources(found, "code")
    results = dict(zip(code, shown(found), strict=True))
    arms = row_numbers(next(r["text/html"] for c, r in results.items() if c.startswith("rows")))
    means = [[m.mean for m in arm.metrics.values()] for arm in evidence.summaries]
    assert [row[1:3] for row in arms[-4:]] == [pytest.approx(m, abs=1e-6) for m in means]
    table = next(r["text/html"] for c, r in results.items() if c.startswith("verdicts ="))
    rows = row_numbers(table)[1:]
    assert len(rows) == len(evidence.verdicts)
    for row, verdict in zip(rows, evidence.verdicts, strict=True):
        assert row[:3] == pytest.approx([verdict.difference, *verdict.interval], abs=1e-6)
    labels = arm_labels(evidence.study, translator(lang))
    assert all(label in "".join(str(r) for r in results.values()) for label in labels.values())
    figures = [r for r in shown(found) if "application/vnd.plotly.v1+json" in r]
    assert len(figures) >= 6
    assert store.ledger.entries() == before


@pytest.mark.slow
def test_it_runs_where_the_study_came_without_its_texts(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first").mkdir()
    first, store = Store(tmp_path / "first"), Store()
    study_id = draft(first, tmp_path)
    finish(first, study_id, left=["tfidf"])
    read_bundle(store, bundle_bytes(first, study_id, with_data=False))
    made = notebook(gather(store, study_id), lang="en")
    assert not any("store.rows" in code for code in sources(made, "code"))
    run_all(made, tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_study_without_results_has_a_notebook_that_runs(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    study_id = draft(store, tmp_path)
    store.start_study(study_id)
    assert os.environ["KASA_HOME"] == str(workspace)
    run_all(notebook(gather(store, study_id), lang="ja"), tmp_path, monkeypatch)
