"""Whatever people wrote arrives in every file of the pack as plain words, and as nothing else."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from lxml import html as lxml_html
from openpyxl import load_workbook
from plotly.offline import get_plotlyjs
from pptx import Presentation

from kasa.arms import Arm
from kasa.prices import Prices
from kasa.report.csv_files import FORMULA_STARTS, csv_files
from kasa.report.fit import fit
from kasa.report.html import render_html
from kasa.report.notebook import render_notebook
from kasa.report.options import PackOptions
from kasa.report.pdf import render_pdf
from kasa.report.pptx import render_pptx
from kasa.report.print_text import printable
from kasa.report.xlsx import render_xlsx
from kasa.runs.records import FinishedRun
from kasa.study import Study
from kasa.verdict.evidence import Evidence
from kasa.verdict.facts import evidence_to_dict
from tests.opened_packs import (
    TURNING,
    notebook_pages,
    opened,
    pdf_reader,
    plain,
    read_notebook,
    sources,
    squeezed,
)
from tests.study_runs import example_evidence, example_rows, example_study, finished_run

FORMULA = "=cmd|'/c calc'!A0"
PIECES = (
    FORMULA,
    "+1",
    "@SUM(1+1)",
    "＝1+1",
    "\x00=1+1",
    "invoice\u202egnp.exe \u2066odd\u200f",
    "長x" * 150,
    "👩‍👩‍👧 ❤️ 🏳️‍🌈 🇯🇵",
    "a\x00b\x07c\x1bd\x7fe",
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;",
    '#import "x" $x^2$ *b* _u_ [a](javascript:alert(1)) `c` \\ {{7*7}} %{y} <b>i</b>',
    "ｱｲ ẞ ǅ e\u0301\u0323 한 \U0001f6f8",
    "a | b\n# c\n- d ~~e~~ ![f](http://g.example/h.png)",
)
EVERY = " ".join(piece for piece in PIECES if len(piece) < 300)
# Six pages of so many odd words take seconds to set.
FORMATS = ("pptx", "xlsx", pytest.param("pdf", marks=pytest.mark.slow), "html", "ipynb")


def runs_of(study: Study, labels: list[str]) -> list[FinishedRun]:
    """Return two runs of every arm; those of the second are mostly wrong."""
    said = (labels, labels[::-1], labels)
    return [
        replace(finished_run("lora-r8", seed, labels, answers), arm=arm, id=f"run{place}{seed}")
        for place, (arm, answers) in enumerate(zip(study.named_arms(), said, strict=True))
        for seed in (0, 1)
    ]


def hostile_evidence() -> Evidence:
    """Return a study in which everything that people write is hostile."""
    labels = [*PIECES, *PIECES]
    arms = (Arm("kasa", 8), Arm("lora", 8), Arm("lora", 8, target_modules=(EVERY,)))
    prices = Prices(source=EVERY, dated="2026-10-01")
    data = replace(example_study().data, text=EVERY, label=FORMULA)
    study = example_study(title=EVERY, arms=arms, prices=prices, data=data)
    runs = runs_of(study, labels)
    rows = example_rows(len(labels))
    rows.loc[rows["part"] == "test", ["text", "label"]] = [[each, each] for each in labels]
    found = example_evidence(runs, study, rows=rows)
    return replace(found, card=replace(found.card, file=EVERY))


@cache
def harmless_evidence() -> Evidence:
    labels = [f"class {place}" for place in range(len(PIECES))] * 2
    arms = (Arm("kasa", 8), Arm("lora", 8), Arm("lora", 8, target_modules=("query",)))
    study = example_study(title="Which one?", arms=arms)
    runs = runs_of(study, labels)
    return example_evidence(runs, study, rows=example_rows(len(labels)))


def files_of(evidence: Evidence, kind: str, company: str) -> bytes:
    options = PackOptions("en", company=company)
    if kind == "html":
        return render_html(evidence, options).encode()
    makers = {"pptx": render_pptx, "xlsx": render_xlsx, "pdf": render_pdf, "ipynb": render_notebook}
    return makers[kind](evidence, options)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return hostile_evidence()


@pytest.fixture(scope="module")
def pack(evidence: Evidence) -> Any:
    """Return what renders the hostile study in a format, once."""
    return cache(lambda kind: files_of(evidence, kind, EVERY))


def parts_of(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield the text parts of an Office file, those of workbooks inside it too."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith(".xlsx"):
                yield from parts_of(data)
            elif name.endswith((".xml", ".rels")):
                yield name, data.decode()


# -- they arrive ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["xlsx", "html", "ipynb"])
def test_every_word_arrives_as_it_was_written(kind: str, pack: Any) -> None:
    words = plain(opened(kind, pack(kind)).text)
    assert [piece for piece in (*PIECES, EVERY) if plain(piece) not in words] == []


@pytest.mark.slow
def test_a_document_shows_every_word_that_it_prints(pack: Any) -> None:
    """What no font has is written out; a very long word is cut with an ellipsis."""
    words = squeezed(opened("pdf", pack("pdf")).text)
    short = [piece for piece in PIECES if len(piece) < 200]
    assert [piece for piece in short if squeezed(printable(piece)) not in words] == []
    assert "[U+1F6F8]" in words
    assert "[U+D55C]" in words


def test_slides_show_title_company_and_methods(pack: Any) -> None:
    deck = Presentation(io.BytesIO(pack("pptx")))
    words = plain(opened("pptx", pack("pptx")).text)
    title = plain(fit(EVERY)[:255])
    assert plain(deck.core_properties.title) == title
    assert plain(deck.core_properties.author) == title
    assert words.startswith(FORMULA)
    assert words.count(plain(" ".join(PIECES[:5]))) >= 3  # title, company, notes


def test_tables_of_text_keep_every_word_and_no_formula(evidence: Evidence) -> None:
    for content in csv_files(evidence).values():
        cells = [c for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))) for c in row]
        words = [cell for cell in cells if not re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell)]
        assert [cell for cell in words if cell.startswith(FORMULA_STARTS)] == []
        assert not TURNING & set("".join(cells))
    rows = csv.DictReader(io.StringIO(csv_files(evidence)["predictions.csv"].decode("utf-8-sig")))
    shown = {plain(row["label"].removeprefix("'")) for row in rows}
    assert shown == {plain(piece) for piece in PIECES}


def test_a_program_reads_exactly_what_was_written(evidence: Evidence) -> None:
    """JSON is not for reading: it keeps every character, marks of direction too."""
    found = json.loads(json.dumps(evidence_to_dict(evidence)))
    assert found["title"] == EVERY
    assert set(found["arms"][0]["labels"]) == set(PIECES)


# -- and become nothing else ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_no_mark_of_direction_turns_the_words_around_it(kind: str, pack: Any) -> None:
    content = pack(kind)
    if kind in {"pptx", "xlsx"}:
        text = "".join(words for _, words in parts_of(content))
    elif kind == "pdf":
        text = opened("pdf", content).text
    else:  # what draws the page's charts is no word of anybody's
        text = content.decode().replace(get_plotlyjs(), "")
    assert "invoice" in text
    assert not TURNING & set(text)
    assert not re.search("[\x00\x07\x1b\x7f]", text)
    assert not re.search(r"\\u(202e|2066|200f|0007|001b)", text)


@pytest.mark.parametrize("kind", ["pptx", "xlsx"])
def test_office_files_hold_no_formula_and_no_link_of_theirs(kind: str, pack: Any) -> None:
    content = pack(kind)
    for name, words in parts_of(content):
        assert 'TargetMode="External"' not in words, name
        assert "hlinkClick" not in words, name
        assert "<hyperlink" not in words, name
        formulas = re.findall(r"<(?:c:)?f>(.*?)</(?:c:)?f>", words)
        assert not [each for each in formulas if "cmd" in each or "SUM(1" in each], name


def test_a_cell_with_a_formula_s_letters_is_text(pack: Any) -> None:
    book = load_workbook(io.BytesIO(pack("xlsx")))
    cells = [cell for sheet in book.worksheets for row in sheet.iter_rows() for cell in row]
    starts = [c for c in cells if isinstance(c.value, str) and c.value.startswith(FORMULA_STARTS)]
    words = [cell for cell in starts if cell.data_type != "f"]
    assert {FORMULA, "+1", "@SUM(1+1)", "＝1+1", "=1+1"} <= {cell.value for cell in words}
    assert all(cell.quotePrefix for cell in words)
    assert {cell.parent.title for cell in starts if cell.data_type == "f"} == {"Costs"}


def test_a_page_has_no_tag_link_or_script_of_theirs(pack: Any) -> None:
    tree = lxml_html.document_fromstring(pack("html").decode())
    plain_tree = lxml_html.document_fromstring(files_of(harmless_evidence(), "html", "x").decode())
    tags, known = ({str(node.tag) for node in each.iter()} for each in (tree, plain_tree))
    assert tags == known
    assert len(tree.xpath("//script")) == 3
    names = {name for node in tree.iter() for name in node.attrib}
    assert not [name for name in names if name.startswith("on") or name == "src"]
    assert all(link.startswith("#") for link in tree.xpath("//@href"))
    drawn = json.loads(tree.get_element_by_id("figures").text)
    words = [word for word in _strings(drawn) if "alert" in word or "cmd" in word]
    assert words
    assert all(set(re.findall(r"<[^>]*>", word)) <= {"<br>", "<b>", "</b>"} for word in words)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)


def test_a_notebook_shows_no_markup_and_runs_no_code_of_theirs(pack: Any) -> None:
    pages = notebook_pages(pack("ipynb"))
    tags = {str(node.tag) for page in pages for node in page.iter()}
    assert tags <= {"div", "h1", "h2", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
    assert all(len(page.xpath(".//h1|.//h2")) <= 1 for page in pages)
    cells = sources(read_notebook(pack("ipynb")), "markdown")
    # Formulas and bare links are Jupyter's own additions to Markdown.
    assert not [cell for cell in cells if re.search(r"(?<!\\)\$|://|www\.\w|\w@\w", cell)]
    code = set(sources(read_notebook(pack("ipynb")), "code"))
    assert code <= set(sources(read_notebook(files_of(harmless_evidence(), "ipynb", "x")), "code"))


@pytest.mark.slow
def test_a_document_has_no_link_script_or_markup_of_theirs(pack: Any) -> None:
    reader = pdf_reader(pack("pdf"))
    content = "".join(str(reader.get_object(number)) for number in range(1, len(reader.xref[0]) + 1)
                      if number in reader.xref[0])  # fmt: skip
    assert "/URI" not in content
    assert "/JavaScript" not in content
    words = squeezed(opened("pdf", pack("pdf")).text)
    assert squeezed('#import "x" $x^2$ *b* _u_ [a](javascript:alert(1)) `c`') in words
