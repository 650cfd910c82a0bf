"""The first thing in every file of the pack is the verdict: its word, and its sentence."""

from __future__ import annotations

import io
from functools import cache

import pytest
from lxml import html as lxml_html
from openpyxl import load_workbook
from pptx import Presentation

from kasa.report.headline import headline
from kasa.report.html import render_html
from kasa.report.notebook import render_notebook
from kasa.report.options import PackOptions
from kasa.report.pdf import render_pdf
from kasa.report.pptx import render_pptx
from kasa.report.xlsx import render_xlsx
from kasa.study import Protocol
from kasa.text import LANGUAGES, translator
from kasa.verdict.evidence import Evidence
from tests.opened_packs import notebook_pages, pdf_reader, plain, squeezed
from tests.study_runs import LABELS, example_evidence, example_rows, example_study, finished_run

VERDICTS = ("better", "worse", "equivalent", "cannot_tell")
FORMATS = ("pptx", "xlsx", "pdf", "html", "ipynb")
ROWS = 120
# What a reader takes the verdict from, whatever else the sentence says.
SAID = {
    "en": {
        "better": "is better than",
        "worse": "is worse than",
        "equivalent": "are equivalent",
        "cannot_tell": "cannot be told apart",
    },
    "ja": {
        "better": "より優れています",
        "worse": "より劣っています",
        "equivalent": "は同等です",
        "cannot_tell": "の優劣を判断できません",
    },
}


def predicted(every: int, shift: int = 0) -> list[str]:
    labels = [LABELS[row % 3] for row in range(ROWS)]
    wrong = [LABELS[(row + 1) % 3] for row in range(ROWS)]
    return [wrong[row] if (row + shift) % every == 0 else label for row, label in enumerate(labels)]


@cache
def evidence_that_says(verdict: str) -> Evidence:
    """Return two methods of three seeds, of which the first is `verdict` than the second."""
    # How often each is wrong, a row in so many; equal answers on every row are equivalent.
    kasa, lora = {"better": (60, 3), "worse": (3, 60)}.get(verdict, (9, 9))
    shift = 1 if verdict == "cannot_tell" else 0
    labels = [LABELS[row % 3] for row in range(ROWS)]
    runs = [
        finished_run(arm, seed, labels, predicted(every, shift * seed * place))
        for place, (arm, every) in enumerate((("kasa-r8", kasa), ("lora-r8", lora)), start=1)
        for seed in (0, 1, 2)
    ]
    margin = 0.2 if verdict == "equivalent" else 0.01
    protocol = Protocol("standard", equivalence_margin=margin)
    study = example_study(arms=example_study().arms[:2], protocol=protocol)
    found = example_evidence(runs, study, rows=example_rows(ROWS))
    assert found.main_verdict is not None
    assert found.main_verdict.verdict == verdict
    return found


def first_words(kind: str, evidence: Evidence, lang: str) -> str:
    """Return what a reader sees first: slide, sheet's top, page, section, cells up to code."""
    options = PackOptions(lang, sections=("verdict",))
    if kind == "pptx":
        slide = Presentation(io.BytesIO(render_pptx(evidence, options))).slides[0]
        return "\n".join(shape.text_frame.text for shape in slide.shapes if shape.has_text_frame)
    if kind == "xlsx":
        sheet = load_workbook(io.BytesIO(render_xlsx(evidence, options))).worksheets[0]
        return "\n".join(str(cell) for row in sheet.values for cell in row if cell is not None)
    if kind == "pdf":
        return str(pdf_reader(render_pdf(evidence, options)).pages[0].extract_text())
    if kind == "html":
        tree = lxml_html.document_fromstring(render_html(evidence, options))
        parts = tree.xpath("//body/header | //main/section[1]")
        return "\n".join(part.text_content() for part in parts)
    pages = notebook_pages(render_notebook(evidence, options))
    return "\n".join(page.text_content() for page in pages[:2])


@pytest.mark.slow
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("kind", FORMATS)
def test_the_verdict_is_the_first_thing_said(kind: str, verdict: str, lang: str) -> None:
    evidence, text = evidence_that_says(verdict), translator(lang)
    sentence = headline(evidence, text).sentences[0]
    found = squeezed(plain(first_words(kind, evidence, lang)))
    at = found.find(squeezed(plain(sentence)))
    assert at >= 0
    # Before the sentence stand titles, and on slides the word alone.
    before = found[:at].lower()
    said = {each for each in VERDICTS if squeezed(text(f"verdict.word.{each}")).lower() in before}
    assert said == ({verdict} if kind == "pptx" else set())
    assert len(before) < 250


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_sentence_has_its_own_verdict_s_words_and_no_other_s(verdict: str, lang: str) -> None:
    sentence = headline(evidence_that_says(verdict), translator(lang)).sentences[0]
    assert {each for each in VERDICTS if SAID[lang][each] in sentence} == {verdict}
