"""The printed report: its words, its pages, its fonts, and the numbers in its charts."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from pypdf.generic import ContentStream, DictionaryObject, IndirectObject

from kasa.arms import Arm
from kasa.errors import StudyError
from kasa.report.options import AUDIENCES, PackOptions
from kasa.report.pdf import ALWAYS, MOST_PAGES, drafts, page_pictures, render_pdf
from kasa.report.print_charts import MOST_ROWS, chart_svg, draw, left_out
from kasa.report.print_text import advances, breakable, column_widths, printable, width, wrapped
from kasa.report.sections import report_sections
from kasa.report.series import ChartData, Series
from kasa.report.tree import Bullets, Paragraph, Table
from kasa.text import LANGUAGES, catalogue, translator
from kasa.verdict.evidence import Evidence
from tests.opened_packs import pdf_reader as reader
from tests.opened_packs import squeezed
from tests.study_runs import (
    example_evidence,
    example_rows,
    example_runs,
    example_study,
    finished_run,
    run_record,
)

EN, JA = translator("en"), translator("ja")
HOSTILE = (
    '<script>alert(\'x\')</script>"&<b> #import "x" *bold* $x^2$ <label> @ref \\ `raw` _u_ = /* '
    "\u202eturned\u202c\u0007 😀 🚀 =1+1 "
)
SHOWN = HOSTILE.translate(dict.fromkeys([0x202E, 0x202C, 0x7])).replace("🚀", "[U+1F680]")


pytestmark = pytest.mark.usefixtures("utc")


# -- studies and what is read from their documents -----------------------------------------------


def hostile_evidence() -> Evidence:
    """Return a study whose title and labels are markup, formulas and very long words."""
    labels = [HOSTILE, "=1+1", "a" * 300, "い" * 300] * 5
    runs = [finished_run(arm, 0, labels, labels[::-1]) for arm in ("kasa-r8", "lora-r8")]
    rows = example_rows(20)
    rows.loc[rows["part"] == "test", "label"] = labels
    return example_evidence(runs, example_study(title=HOSTILE + "x" * 300), rows=rows)


def many_arms() -> Evidence:
    ranks = range(1, 30)
    arms = (Arm("kasa", rank=8), *(Arm("lora", rank=rank) for rank in ranks))
    names = ["kasa-r8", *(f"lora-r{rank}" for rank in ranks)]
    return example_evidence(example_runs(names, [0], 30), example_study(arms=arms))


def many_classes() -> Evidence:
    labels = [f"設備区分 {place} のとても長いクラスの名前" for place in range(80)] * 3
    runs = [finished_run(arm, 0, labels, labels[::-1]) for arm in ("kasa-r8", "lora-r8", "tfidf")]
    test = pd.DataFrame(
        {"row": range(2, 2 + len(labels)), "text": "x", "label": labels, "part": "test"}
    )
    return example_evidence(runs, rows=pd.concat([example_rows(0), test]))


def unfinished() -> Evidence:
    return example_evidence([], records=[run_record(example_runs(["tfidf"], [0])[0], "queued")])


STUDIES: dict[str, Callable[[], Evidence]] = {
    "example": example_evidence,
    "hostile": hostile_evidence,
    "classes": many_classes,
    "unfinished": unfinished,
    "arms": many_arms,
}


@cache
def evidence_of(study: str) -> Evidence:
    return STUDIES[study]()


@cache
def document(study: str = "example", lang: str = "en", audience: Any = "technical") -> bytes:
    return render_pdf(evidence_of(study), PackOptions(lang, audience, company="Blue Sky"))


@cache
def words_of(content: bytes) -> str:
    return squeezed("\n".join(page.extract_text() for page in reader(content).pages))


def objects(content: bytes) -> Iterator[DictionaryObject]:
    pdf = reader(content)
    for number in range(1, len(pdf.xref[0]) + len(pdf.xref_objStm) + 1):
        found = IndirectObject(number, 0, pdf).get_object()
        if isinstance(found, DictionaryObject):
            yield found


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("audience", AUDIENCES)
@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_words_and_numbers_of_the_printed_sections_arrive(lang: str, audience: Any) -> None:
    content = document("example", lang, audience)
    found, text = words_of(content), translator(lang)
    printed = [str(mark.title) for mark in reader(content).outline]
    options = PackOptions(lang, audience)
    sections = report_sections(evidence_of("example"), text, options)
    assert printed[:4] == [section.title for section in sections[:4]]
    for section in sections:
        if section.title not in printed:
            assert squeezed(section.title) in found, "what is left out is named at the end"
            continue
        for block in section.blocks:
            if isinstance(block, Paragraph):
                assert squeezed(block.text) in found
            elif isinstance(block, Bullets):
                assert all(squeezed(item) in found for item in block.items)
            elif isinstance(block, Table) and len(block.rows) <= 12:
                cells = [cell for row in (block.header, *block.rows) for cell in row]
                assert [cell for cell in cells if squeezed(cell) not in found] == []


@pytest.mark.parametrize("audience", AUDIENCES)
@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_a_decision_needs_is_printed(lang: str, audience: Any) -> None:
    printed = {str(mark.title) for mark in reader(document("example", lang, audience)).outline}
    sections = report_sections(
        evidence_of("example"), translator(lang), PackOptions(lang, audience)
    )
    titles = {section.key: section.title for section in sections}
    needed = ("verdict", "decision", "gates", "costs", "stages", "data", "handling", "limits")
    assert [key for key in needed if titles[key] not in printed] == []


def test_the_verdict_comes_first_and_names_the_study() -> None:
    page = squeezed(reader(document()).pages[0].extract_text())
    verdict = report_sections(evidence_of("example"), EN)[0].blocks[0]
    assert isinstance(verdict, Paragraph)
    assert page.startswith(squeezed("Which defect is it?"))
    assert squeezed(verdict.text) in page
    assert "2026-11-20" in page


def test_charts_hold_their_numbers_as_text() -> None:
    found = words_of(document())
    summary = evidence_of("example").summaries[0]
    low, high = evidence_of("example").intervals["accuracy"][summary.arm]
    mean = EN.percent(summary.metrics["accuracy"].mean)
    between = EN("report.interval", low=EN.percent(low), high=EN.percent(high))
    assert squeezed(f"{mean} ({between})") in found


def test_every_page_has_its_number_and_its_header() -> None:
    pages = [squeezed(page.extract_text()) for page in reader(document()).pages]
    for number, page in enumerate(pages, start=1):
        assert f"{number}/{len(pages)}" in page
    assert all("Whichdefectisit?" in page and "BlueSky" in page for page in pages[1:])


def test_nothing_english_stands_in_a_japanese_document() -> None:
    found = words_of(document("example", "ja"))
    sentences = [
        sentence
        for sentence in catalogue("en").values()
        if "{" not in sentence and len(sentence) > 15 and sentence not in catalogue("ja").values()
    ]
    assert len(sentences) > 200
    assert [sentence for sentence in sentences if squeezed(sentence) in found] == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_markup_formulas_and_marks_arrive_as_plain_text(lang: str) -> None:
    content = document("hostile", lang)
    found = words_of(content)
    assert squeezed(SHOWN) in found
    assert not set(found) & {"\u202e", "\u202c", "\u0007", "🚀"}
    assert str(reader(content).metadata.title).startswith(SHOWN.strip()[:60])  # type: ignore[union-attr]


def test_a_company_of_markup_is_the_author() -> None:
    content = render_pdf(unfinished(), PackOptions(company=HOSTILE))
    assert str(reader(content).metadata.author).startswith("<script>")  # type: ignore[union-attr]


# -- pages, fonts, bytes --------------------------------------------------------------------------


@pytest.mark.parametrize("audience", AUDIENCES)
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("study", ["example", "hostile", "classes", "unfinished"])
def test_two_to_six_small_pages(study: str, lang: str, audience: Any) -> None:
    content = document(study, lang, audience)
    pages = reader(content).pages
    assert 2 <= len(pages) <= MOST_PAGES
    assert {(round(p.mediabox.width), round(p.mediabox.height)) for p in pages} == {(595, 842)}
    assert len(content) < 2e6


@pytest.mark.slow
def test_thirty_methods_end_after_six_pages() -> None:
    content = document("arms", "ja")
    assert 2 <= len(reader(content).pages) <= MOST_PAGES
    more = {"ほか18行はExcelファイルをご覧ください", "ほか16件はExcelファイルにあります。"}
    assert all(words in words_of(content) for words in more)


def test_chosen_sections_are_printed() -> None:
    content = render_pdf(evidence_of("example"), PackOptions(sections=("verdict", "runs")))
    assert [str(mark.title) for mark in reader(content).outline] == ["Verdict", "Runs"]
    assert "kasa-r8-s0" in words_of(content)


def test_a_section_that_only_a_screen_can_show_is_named() -> None:
    content = render_pdf(evidence_of("example"), PackOptions(sections=("verdict", "training")))
    assert [str(mark.title) for mark in reader(content).outline] == ["Verdict"]
    assert "Notprintedhere,butonthewebpage:Training." in words_of(content)


@pytest.mark.parametrize(("study", "lang"), [("example", "ja"), ("hostile", "en")])
def test_every_font_is_embedded_and_every_character_has_a_glyph(study: str, lang: str) -> None:
    content = document(study, lang)
    fonts = [each for each in objects(content) if each.get("/Type") == "/FontDescriptor"]
    assert {str(font["/FontName"]).partition("+")[2] for font in fonts} >= {"IPAexGothic"}
    assert all({"/FontFile2", "/FontFile3"} & font.keys() for font in fonts)
    assert all(each.get("/Subtype") != "/Type3" for each in objects(content))
    glyphs = [glyph for page in reader(content).pages for glyph in _glyphs(page)]
    assert len(glyphs) > 1000
    assert b"\0\0" not in glyphs


def _glyphs(page: Any) -> Iterator[bytes]:
    """Return the glyphs that a page shows, two bytes each; zero is the one for what is missing."""
    for operands, operator in ContentStream(page.get_contents(), page.pdf).operations:
        if operator in {b"Tj", b"TJ"}:
            parts = operands[0] if operator == b"TJ" else operands
            for part in parts:
                if hasattr(part, "original_bytes"):
                    code = part.original_bytes
                    yield from (code[place : place + 2] for place in range(0, len(code), 2))


def test_equal_evidence_gives_equal_bytes() -> None:
    with ThreadPoolExecutor(2) as pool:
        options = PackOptions("en", company="Blue Sky")
        made = list(pool.map(lambda _: render_pdf(example_evidence(), options), range(2)))
    assert made[0] == made[1] == document()


def test_pictures_of_the_pages() -> None:
    pages = page_pictures(evidence_of("unfinished"), PackOptions(), 400)
    assert len(pages) == len(reader(document("unfinished")).pages)
    assert {Image.open(io.BytesIO(page)).size for page in pages} == {(400, 566)}
    assert len(page_pictures(unfinished(), PackOptions(sections=("verdict",)), 200)) == 1


def test_importing_it_loads_no_drawing_library() -> None:
    code = (
        "import sys, kasa.report.pdf;"
        "print({'matplotlib', 'matplotlib_fontja', 'typst', 'torch', 'fontTools'} & {*sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


# -- logo -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGBA"), ("JPEG", "CMYK"), ("PNG", "P")])
def test_a_logo_stands_on_the_first_page(kind: str, mode: str) -> None:
    target = io.BytesIO()
    Image.new(mode, (3000, 900)).save(target, kind)
    content = render_pdf(unfinished(), PackOptions(logo=target.getvalue()))
    pictures = [each for each in objects(content) if each.get("/Subtype") == "/Image"]
    assert pictures
    assert all(int(each["/Width"]) <= 900 for each in pictures)


def test_a_logo_that_is_no_picture_is_refused() -> None:
    with pytest.raises(StudyError):
        render_pdf(unfinished(), PackOptions(logo=b"<svg/>"))


# -- shorter drafts -------------------------------------------------------------------------------


def test_drafts_become_shorter_and_keep_the_verdict() -> None:
    keys = ("verdict", "decision", "gates", "arms", "new_one", "method", "conditions", "runs")
    found = drafts(keys)
    assert found[0].dropped == frozenset()
    assert found[1].dropped == {"runs"}
    assert found[-1].dropped == set(keys) - set(ALWAYS)
    assert all(one.dropped <= other.dropped for one, other in pairwise(found))
    assert found[-1].most_rows < found[0].most_rows


# -- words in print -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("軸受の異音 23 °C ≥ é Ж", "軸受の異音 23 °C ≥ é Ж"),
        ("か\u3099", "が"),
        ("e\u0301", "é"),
        ("a\u202eb\u200bc\x07d\ufeff", "abcd"),
        ("a\tb\r\nc\rd", "a b\nc\nd"),
        ("😀❤\ufe0f", "😀❤"),
        ("🚀한", "[U+1F680][U+D55C]"),
        ("\ud83d", "[U+D83D]"),
        ("9:00\u202fAM\u2003x", "9:00\u00a0AM x"),
    ],
)
def test_what_no_font_has_is_written_out(words: str, shown: str) -> None:
    assert printable(words).replace("\u2003", " ").replace("\u202f", "\u00a0") == shown
    assert all(
        ord(c) in advances(0) or ord(c) in advances(1) or c == "\n" for c in printable(words)
    )


def test_words_are_broken_and_cut_to_their_room() -> None:
    assert all(
        width(
            part,
            8,
        )
        <= 50
        for part in breakable("a" * 99, 8, 50).split("\u200b")
    )
    assert breakable("short words stay", 8, 50) == "short words stay"
    lines = wrapped("A rather long name of a method, 手法の長い名前", 8, 60, 2).split("\n")
    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert all(width(line, 8) <= 60 for line in lines)


def test_numbers_fit_their_columns() -> None:
    header, rows = ("手法", "Accuracy"), [("とても長い名前の手法" * 5, "88.1%\n(87.3–88.9)")] * 3
    assert column_widths(header, rows, [1], 8, 200, broken=False) is None
    widths = column_widths(header, rows, [1], 8, 200, broken=True)
    assert widths is not None
    assert sum(widths) <= 200.01
    assert widths[1] >= width("(87.3–88.9)", 8)
    assert column_widths(header, rows, [0, 1], 8, 200, broken=True) is None


# -- charts: what is drawn holds the numbers ------------------------------------------------------

BARS = Series("Accuracy", (0.9, 0.7), (0.8, 0.6), (0.95, 0.8), colors=("#D55E00", "#0072B2"))
NAMES = ("KaSA $x_1$", "_LoRA")


def texts(figure: Figure) -> list[str]:
    axes = figure.axes[0]
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    found = [*axes.texts, *axes.get_yticklabels(), *axes.get_xticklabels(), *legends]
    return [text.get_text() for text in found]


def test_bars() -> None:
    figure = draw(ChartData("bars", "fraction", (BARS,), "Accuracy", NAMES), EN, 400)
    bars, whiskers = figure.axes[0].patches, figure.axes[0].collections[0]
    assert [bar.get_width() for bar in bars] == [0.9, 0.7]  # type: ignore[attr-defined]
    ends = [sorted(segment[:, 0]) for segment in whiskers.get_segments()]  # type: ignore[attr-defined]
    assert ends == [pytest.approx([0.8, 0.95]), pytest.approx([0.6, 0.8])]
    assert {"90.0% (80.0% to 95.0%)", "_LoRA", "KaSA $x_1$", "40%"} <= {*texts(figure)}
    assert figure.axes[0].get_xlim() == (0, 1)


def test_bars_of_two_series() -> None:
    data = ChartData("bars", "fraction", (BARS, Series("F1", (0.5, 0.4))), "Share", NAMES)
    figure = draw(data, EN, 400)
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.9, 0.7, 0.5, 0.4]  # type: ignore[attr-defined]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Accuracy", "F1"]


def test_intervals() -> None:
    one = Series("Difference", (1.5, -2.0), (-0.5, -3.0), (3.5, -1.0), colors=("#D55E00",))
    figure = draw(ChartData("intervals", "points", (one,), "Points", NAMES, band=1.0), EN, 400)
    axes = figure.axes[0]
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    assert [float(mark.get_xdata()[0]) for mark in marks] == [1.5, -2.0]  # type: ignore[index,arg-type]
    ends = [sorted(each.get_segments()[0][:, 0]) for each in axes.collections]  # type: ignore[attr-defined]
    assert ends == [[-0.5, 3.5], [-3.0, -1.0]]
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((-1, 1))
    assert "+1.5 (-0.5 to +3.5)" in texts(figure)


def test_stacked() -> None:
    parts = (Series("People", (100.0, 120.0)), Series("Machine", (30.0, 0.0)))
    data = ChartData("stacked", "money", parts, "Cost", NAMES, currency="JPY")
    figure = draw(data, EN, 400)
    pieces = [(bar.get_x(), bar.get_width()) for bar in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert pieces == [(0, 100), (0, 120), (100, 30), (120, 0)]
    assert {"¥130", "¥120", "People", "Machine"} <= {*texts(figure)}


def test_span() -> None:
    ends = (Series("half", (80.0, 95.0)), Series("double", (140.0, 105.0)))
    data = ChartData("span", "money", ends, "Cost", NAMES, base=100.0, currency="JPY")
    figure = draw(data, EN, 400)
    bars = [(bar.get_x(), bar.get_width()) for bar in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert bars == [(100, -20), (100, -5), (100, 40), (100, 5)]
    assert "¥80 to ¥140" in texts(figure)
    low, high = figure.axes[0].get_xlim()
    assert low < 80
    assert high > 140


@pytest.mark.parametrize(("last", "scale"), [(60.0, "log"), (5.0, "linear")])
def test_points(last: float, scale: str) -> None:
    marks = (
        Series("KaSA", (0.9,), (0.85,), (0.95,), x=(last,), colors=("#D55E00",)),
        Series("$LoRA", (0.8,), (0.7,), (0.9,), x=(0.5,), colors=("#0072B2",)),
    )
    data = ChartData("points", "fraction", marks, "Accuracy", x_title="s", x_unit="seconds")
    axes = draw(data, EN, 400).axes[0]
    found = {
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))  # type: ignore[index,arg-type]
        for line in axes.lines
        if line.get_marker() in {"o", "D"}
    }
    assert found == {(last, 0.9), (0.5, 0.8)}
    assert axes.get_xscale() == scale
    ends = [sorted(each.get_segments()[0][:, 1]) for each in axes.collections]  # type: ignore[attr-defined]
    assert ends == [pytest.approx([0.85, 0.95]), pytest.approx([0.7, 0.9])]
    assert "$LoRA" in texts(draw(data, EN, 400))


def test_lines() -> None:
    line = Series("LoRA", (0.5, 0.7, 0.8), (0.4, 0.6, 0.7), (0.6, 0.8, 0.9), x=(50, 100, 200))
    data = ChartData("lines", "fraction", (line,), "Accuracy", x_title="Rows", x_unit="count")
    axes = draw(data, EN, 400).axes[0]
    assert list(axes.lines[0].get_xdata()) == [50, 100, 200]
    assert list(axes.lines[0].get_ydata()) == [0.5, 0.7, 0.8]
    band = axes.collections[0].get_paths()[0].vertices
    assert {0.4, 0.6, 0.7, 0.9} <= {round(float(y), 6) for _, y in band}  # type: ignore[union-attr]


def test_many_categories_are_cut_and_counted() -> None:
    many = Series("Accuracy", (0.5,) * 60)
    data = ChartData("bars", "fraction", (many,), "Accuracy", tuple(map(str, range(60))))
    assert left_out(data) == 60 - MOST_ROWS
    assert len(draw(data, JA, 400).axes[0].patches) == MOST_ROWS


def test_a_chart_leaves_the_settings_of_others_alone() -> None:
    before = dict(mpl.rcParams)
    data = ChartData("bars", "fraction", (BARS,), "Accuracy & <more>", NAMES)
    made = {chart_svg(data, JA, 400) for _ in range(2)}
    assert len(made) == 1
    assert dict(mpl.rcParams) == before
    assert "Accuracy &amp; &lt;more&gt;" in made.pop()
