from __future__ import annotations

import dataclasses
import io
import os
import re
import shutil
import subprocess
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from PIL import Image
from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.oxml.ns import qn
from pptx.util import Inches, Pt

from kasa.arms import Arm
from kasa.errors import StudyError
from kasa.report import pptx_look
from kasa.report.logo import logo_size
from kasa.report.options import PackOptions
from kasa.report.plots import Chart
from kasa.report.pptx import SLIDES, render_pptx, slides
from kasa.report.pptx_chart_fit import fitting
from kasa.report.pptx_charts import NativeChart
from kasa.report.pptx_numbers import axis_ends, log_ends
from kasa.report.pptx_text import Pen, clean, count_lines, shortened, squeezed, width
from kasa.report.series import ChartData, Series
from kasa.report.tree import Charts, Paragraph
from kasa.text import catalogue, translator
from kasa.verdict.evidence import Evidence
from tests.study_runs import (
    example_evidence,
    example_rows,
    example_study,
    finished_run,
)
from tests.test_html import hostile_evidence, partial_evidence

HOSTILE = "<b>=1+1</b>\u202e\x00\x0b\ud800 & \U0001f600 " + "長い題名" * 60
NAME = "ベアリング異音・軸受部の摩耗による振動増大（主軸側・反操作側）の分類名"
PEN = Pen("ja-JP", "+mn-lt", "+mn-ea", 1.35)
CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"


def long_evidence() -> Evidence:
    """Return a study of nine arms with long names, long labels and a title of 300 letters."""
    arms = [
        Arm("kasa", 8),
        Arm("lora", 8),
        Arm("kasa", 8, beta=0.00012345, gamma=0.00077777),
        Arm("lora", 8, learning_rates=(0.00012, 0.00034, 0.0056)),
        *(Arm(method, rank) for method in ("kasa", "lora") for rank in (16, 32)),
        Arm("tfidf"),
    ]
    study = example_study(title=("長い題名" * 75)[:300], arms=tuple(arms))
    labels = [f"{NAME}その{row % 3}" for row in range(60)]
    runs = [
        dataclasses.replace(
            finished_run(name, seed, labels, labels[::-1]), arm=name, method=arm.method
        )
        for name, arm in study.named_arms().items()
        for seed in (0, 1, 2)
    ]
    return example_evidence(runs, study, rows=example_rows(60))


EVIDENCE = {
    "example": example_evidence,
    "partial": partial_evidence,
    "hostile": hostile_evidence,
    "long": long_evidence,
    "odd_title": lambda: example_evidence(study=example_study(title=HOSTILE)),
    "empty": lambda: example_evidence([], records=[]),
}
CASES = [(name, lang) for name in EVIDENCE for lang in ("en", "ja")]


@cache
def evidence_of(name: str) -> Evidence:
    return EVIDENCE[name]()


@cache
def deck_bytes(name: str, lang: str) -> bytes:
    return render_pptx(evidence_of(name), PackOptions(lang, company="株式会社みどり製作所"))


def read(content: bytes) -> Any:
    return Presentation(io.BytesIO(content))


def shapes_of(deck: Any) -> list[Any]:
    return [shape for slide in deck.slides for shape in slide.shapes]


def words_of(deck: Any, *, notes: bool = True) -> list[str]:
    """Return every run of text on slides, in charts and in notes."""
    found = []
    for slide in deck.slides:
        trees = [slide.element]
        trees += [s.chart._chartSpace for s in slide.shapes if s.has_chart]
        if notes:
            trees.append(slide.notes_slide.element)
        for tree in trees:
            found += [node.text or "" for node in tree.iter(qn("a:t"), f"{CHART}v")]
    return found


# -- the deck -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "lang"), CASES)
def test_every_deck_is_small_and_verdict_first(name: str, lang: str) -> None:
    content = deck_bytes(name, lang)
    deck = read(content)
    assert 1 <= len(deck.slides) <= 10
    assert len(content) < 3e6
    assert (deck.slide_width, deck.slide_height) == (Inches(13 + 1 / 3), Inches(7.5))
    assert deck.slides[0].shapes.title.text
    first = [shape.name for shape in deck.slides[0].shapes]
    assert "Verdict" in first
    assert "株式会社みどり製作所" in words_of(deck)


def test_slides_follow_the_tree() -> None:
    for name, options in (
        ("example", PackOptions("ja")),
        ("long", PackOptions(audience="management")),
    ):
        made = slides(evidence_of(name), options)
        order = [keys[0] for keys in SLIDES]
        keys = [slide.key for slide in made]
        assert made[0].title == evidence_of(name).study.title
        assert keys == sorted(
            keys, key=lambda key: order.index("handling" if key == "limits" else key)
        )
        assert all(slide.title and (slide.blocks or slide.key == "verdict") for slide in made)
        shown = [b for s in made for b in s.blocks]
        assert not any(isinstance(block, Paragraph) and block.small for block in shown)
        charts = [block.charts for block in shown if isinstance(block, Charts)]
        assert charts
        assert all(len(group) == 1 and group[0].data for group in charts)


def test_a_pack_without_the_verdict_still_names_the_study() -> None:
    made = slides(evidence_of("example"), PackOptions(sections=("gates",)))
    assert [slide.key for slide in made] == ["verdict", "gates"]
    assert made[0].blocks == ()


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_notes_say_what_the_slide_leaves_out(lang: str) -> None:
    text = translator(lang)
    deck = read(deck_bytes("example", lang))
    notes = [slide.notes_slide.notes_text_frame.text for slide in deck.slides]
    assert any(text("report.gates_note")[:20] in note for note in notes)
    assert any(text("report.chart.differences.note")[:20] in note for note in notes)
    assert (
        text("slides.read.points")
        in notes[
            [s.key for s in slides(evidence_of("example"), PackOptions(lang))].index("tradeoff")
        ]
    )


@pytest.mark.parametrize(("name", "lang"), CASES)
def test_nothing_leaves_the_slide_or_is_smaller_than_ten_points(name: str, lang: str) -> None:
    deck = read(deck_bytes(name, lang))
    for shape in shapes_of(deck):
        if shape.is_placeholder:
            continue
        assert shape.left >= 0
        assert shape.left + shape.width <= deck.slide_width, shape.name
        height = shape.height
        if shape.has_table:
            height = sum(row.height for row in shape.table.rows)
        assert shape.top >= 0
        assert shape.top + height <= deck.slide_height - Pt(28), shape.name
        for size in shape.element.iter(qn("a:rPr")):
            assert int(size.get("sz", "1000")) >= 1000


def overlap(one: Any, other: Any) -> bool:
    across = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    down = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    return bool(across > Pt(1) and down > Pt(1))


@pytest.mark.parametrize(("name", "lang"), CASES)
def test_nothing_covers_anything_else(name: str, lang: str) -> None:
    for slide in read(deck_bytes(name, lang)).slides:
        placed = [s for s in slide.shapes if not s.is_placeholder or s == slide.shapes.title]
        for place, one in enumerate(placed):
            for other in placed[place + 1 :]:
                assert not overlap(one, other), (slide.shapes.title.text, one.name, other.name)


@pytest.mark.parametrize(("name", "lang"), CASES)
def test_words_fit_the_boxes_they_were_given(name: str, lang: str) -> None:
    leading = 1.35 if lang == "ja" else 1.22
    deck = read(deck_bytes(name, lang))
    for slide in deck.slides:
        for shape in slide.shapes:
            if not shape.has_text_frame or shape.is_placeholder or not shape.text_frame.text:
                continue
            high = 0.0
            for line in shape.text_frame.paragraphs:
                size = line.runs[0].font.size.pt
                indent = 1.2 * size if line._p.pPr.get("marL") else 0
                bold = bool(line.runs[0].font.bold)
                room = shape.width.pt - indent + 0.5
                high += (
                    count_lines(line.text.replace("\v", "\n"), size, room, bold) * size * leading
                )
            assert high <= shape.height.pt + 1, shape.text_frame.text


# -- languages and fonts ------------------------------------------------------------------------


@pytest.mark.parametrize(("lang", "tag"), [("en", "en-US"), ("ja", "ja-JP")])
def test_every_run_has_its_language_and_both_fonts(lang: str, tag: str) -> None:
    deck = read(deck_bytes("example", lang))
    runs = [rpr for slide in deck.slides for rpr in slide.element.iter(qn("a:rPr"))]
    text_runs = [rpr for rpr in runs if rpr.getparent().tag == qn("a:r")]
    assert text_runs
    for run in text_runs:
        assert run.get("lang") == tag
        assert run.find(qn("a:latin")).get("typeface")
        assert run.find(qn("a:ea")).get("typeface") == "+mn-ea"
    for shape in shapes_of(deck):
        if shape.has_chart:
            for letters in shape.chart._chartSpace.iter(qn("a:defRPr")):
                if letters.find(qn("a:latin")) is not None:
                    assert letters.find(qn("a:ea")).get("typeface") == "+mn-ea"
    with zipfile.ZipFile(io.BytesIO(deck_bytes("example", lang))) as archive:
        theme = archive.read("ppt/theme/theme1.xml").decode()
    assert theme.count('<a:ea typeface="Yu Gothic"/>') == 2


def test_no_english_sentence_in_the_japanese_deck() -> None:
    english, japanese = (set(catalogue(lang).values()) for lang in ("en", "ja"))
    sentences = {s for s in english - japanese if "{" not in s and len(s) > 3}
    for name in ("example", "partial", "long"):
        found = words_of(read(deck_bytes(name, "ja")))
        assert not sentences & set(found)
        # Latin words in a Japanese deck are names: no three small words in a row.
        title = evidence_of(name).study.title
        plain = [w.replace(title, "") for w in found]
        assert not [w for w in plain if re.search(r"[a-z]+ [a-z]+ [a-z]+", w)]


# -- charts -------------------------------------------------------------------------------------


def charts_on(name: str, lang: str = "en") -> dict[str, tuple[Chart, Any]]:
    """Return by slide each chart of the tree with the native one that was made of it."""
    made = slides(evidence_of(name), PackOptions(lang))
    found = {}
    for slide, page in zip(made, read(deck_bytes(name, lang)).slides, strict=True):
        wanted = [block.charts[0] for block in slide.blocks if isinstance(block, Charts)]
        drawn = [shape.chart for shape in page.shapes if shape.has_chart]
        assert len(wanted) == len(drawn)
        for chart, native in zip(wanted, drawn, strict=True):
            found[chart.key] = (chart, native)
    return found


def numbers_in(native: Any, tag: str) -> list[list[float]]:
    """Return the numbers below every element of a series."""
    return [
        [float(v.text) for v in holder.iter(f"{CHART}v")]
        for holder in native._chartSpace.iter(f"{CHART}{tag}")
    ]


def test_chart_numbers_are_the_evidence_s() -> None:
    evidence = evidence_of("example")
    found = charts_on("example")
    assert len(found) >= 3
    means = [arm.metrics["accuracy"].mean for arm in evidence.summaries]
    bars = found["dots-accuracy"][1]
    assert numbers_in(bars, "val") == [means]
    ends = [evidence.intervals["accuracy"][arm.arm] for arm in evidence.summaries]
    assert numbers_in(bars, "plus")[0] == pytest.approx(
        [high - mean for mean, (_, high) in zip(means, ends, strict=True)]
    )
    assert numbers_in(bars, "minus")[0] == pytest.approx(
        [mean - low for mean, (low, _) in zip(means, ends, strict=True)]
    )
    pairs = [v for v in evidence.verdicts if v.metric == "accuracy"]
    gaps = found["differences-accuracy"][1]
    assert numbers_in(gaps, "val")[0] == [100 * pair.difference for pair in pairs]
    assert numbers_in(gaps, "val")[1:] == [[-1.0] * len(pairs), [1.0] * len(pairs)]
    marks = next(native for key, (_, native) in found.items() if key.startswith("tradeoff"))
    assert [values[0] for values in numbers_in(marks, "yVal")] == means


def is_numbers(column: tuple[Any, ...]) -> bool:
    return all(isinstance(value, int | float) for value in column)


def test_every_chart_holds_its_data_and_a_workbook_of_it() -> None:
    for chart, native in charts_on("example").values():
        data = chart.data
        assert data is not None
        drawn = numbers_in(native, "yVal" if data.x_title else "val")
        assert drawn[: len(data.series)] == [list(one.values) for one in data.series]
        book = load_workbook(io.BytesIO(native.part.chart_workbook.xlsx_part.blob))
        columns = list(book.active.iter_cols(min_row=2, values_only=True))
        for one in data.series:
            # A workbook keeps fifteen digits.
            assert any(
                column == pytest.approx(one.values) for column in columns if is_numbers(column)
            )


def test_hostile_names_stay_words_in_the_workbook() -> None:
    series = (Series("=1+1", (0.5, 0.6), colors=("#D55E00",)),)
    data = ChartData("bars", "fraction", series, "x", ("=SUM(A1)", "<b>&\"'"))
    native = NativeChart(data, translator("en"), PEN, (400, 300))
    sheet = load_workbook(io.BytesIO(native.xlsx_blob)).active
    assert [cell.data_type for cell in sheet["A"]][1:] == ["s", "s"]
    assert sheet["B1"].data_type == "s"
    assert b"&lt;b&gt;&amp;" in native.xml_bytes(None)


@pytest.mark.parametrize("kind", ["bars", "intervals", "stacked", "span", "points", "lines"])
@pytest.mark.parametrize("unit", ["fraction", "number", "points", "count", "money", "seconds"])
def test_every_kind_and_unit_makes_a_chart(kind: Any, unit: Any) -> None:
    flat = kind in {"bars", "intervals", "stacked", "span"}
    values = (0.25, 0.5, 0.75) if unit == "fraction" else (-5.0, 120.5, 30_000.0)
    x = () if flat else (1.0, 2.0, 3.0)
    interval = {"low": values, "high": values} if kind in {"intervals", "points"} else {}
    one = Series("one", values, x=x, **interval)
    data = ChartData(
        kind,
        unit,
        (one, one),
        "value",
        ("a", "b", "c") if flat else (),
        "x",
        base=0.4,
        currency="JPY",
    )
    deck: Any = Presentation()
    page = deck.slides.add_slide(deck.slide_layouts[6])
    native = NativeChart(data, translator("ja"), PEN, (500, 300))
    chart = page.shapes.add_chart(None, 0, 0, Pt(500), Pt(300), native).chart
    drawn = [tuple(values) for values in numbers_in(chart, "val" if flat else "yVal")]
    assert drawn == [values, values]
    formats = {node.get("formatCode") for node in chart._chartSpace.iter(f"{CHART}numFmt")}
    sign = {"fraction": "%", "money": "￥", "points": "+"}.get(unit, "#,##0")
    assert any(sign in str(each) for each in formats)


@pytest.mark.parametrize(
    ("values", "unit", "ends"),
    [
        ((0.62, 0.91), "fraction", (0.6, 0.95)),
        ((0.0, 0.99), "fraction", (0.0, 1.0)),
        ((5.0, 5.0), "number", (4.0, 6.0)),
        ((-3.2, 14.0), "points", (-5.0, 15.0)),
        ((0.0, 0.0), "money", (0.0, 0.2)),
    ],
)
def test_axes_hold_what_they_show(values: Any, unit: Any, ends: Any) -> None:
    found = axis_ends(values, unit)
    assert found.low <= min(values) <= max(values) <= found.high
    assert found.low >= ends[0] - abs(found.step)
    assert found.high <= ends[1] + abs(found.step)


def test_a_wide_range_of_costs_counts_in_powers_of_ten() -> None:
    assert log_ends((0.3, 52)) is not None
    assert log_ends((10, 52)) is None
    assert log_ends((0, 52)) is None


def test_many_bars_are_cut_to_what_there_is_room_for() -> None:
    names = tuple(f"arm {place}" for place in range(40))
    series = (Series("v", tuple(float(p) for p in range(40)), colors=("#000000",) * 40),)
    data = ChartData("bars", "number", series, "v", names)
    shown, left_out = fitting(data, 300, 500)
    assert 5 < len(shown.categories) == len(shown.series[0].values) == 40 - left_out < 20


# -- words --------------------------------------------------------------------------------------


def test_what_xml_refuses_is_gone_and_the_rest_is_plain() -> None:
    words = words_of(read(deck_bytes("odd_title", "en")))
    title = words[0]
    assert title.startswith("<b>=1+1</b> & \U0001f600")
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202e\ud800-\udfff]", "".join(words))
    markup = words_of(read(deck_bytes("hostile", "en")))
    assert "<script>alert('x')</script>\"&<b>" in markup


def test_a_hyphen_before_a_number_is_a_minus_sign() -> None:
    assert clean("differs by -1.1, TF-IDF, r-8") == "differs by −1.1, TF-IDF, r-8"


def test_full_width_letters_count_double() -> None:
    assert width("漢字かな", 10) == pytest.approx(40)
    assert count_lines("漢" * 10, 10, 50) == 2
    assert count_lines("word " * 10, 10, 75) == 5
    assert count_lines("w" * 100, 10, 100) >= 9
    assert count_lines("one\ntwo", 10, 500) == 2


def test_cut_words_end_in_an_ellipsis() -> None:
    cut = shortened("長い文章です。" * 20, 12, 200, 2)
    assert cut.endswith("…")
    assert count_lines(cut, 12, 200) <= 2
    assert shortened("short", 12, 200, 1) == "short"
    middle = squeezed("KaSA (r=8) [beta 0.0001] − LoRA (r=16)", 12)
    assert middle.startswith("KaSA")
    assert middle.endswith("16)")
    assert width(middle, 1) <= 12.5


# -- logo and template --------------------------------------------------------------------------


def picture(size: tuple[int, int], kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, "#AA2244").save(target, kind)
    return target.getvalue()


@pytest.mark.parametrize(("size", "kind"), [((900, 100), "PNG"), ((50, 400), "JPEG")])
def test_the_logo_keeps_its_shape(size: tuple[int, int], kind: str) -> None:
    content = render_pptx(evidence_of("partial"), PackOptions(logo=picture(size, kind)))
    (logo,) = [s for s in read(content).slides[0].shapes if s.shape_type == 13]
    assert logo.width / logo.height == pytest.approx(size[0] / size[1], rel=0.01)
    assert logo.width <= Pt(171)
    assert logo.height <= Pt(51)


@pytest.mark.parametrize(
    "content",
    [
        b"no picture",
        picture((10, 10))[:45],
        picture((10, 10), "GIF"),
        picture((6000, 5000)),
        b"\x89PNG" + b"0" * 5_000_001,
    ],
    ids=["text", "cut", "gif", "pixels", "bytes"],
)
def test_what_is_no_logo_is_refused(content: bytes) -> None:
    with pytest.raises(StudyError) as caught:
        logo_size(content)
    assert caught.value.code == "not_a_picture"
    assert all(caught.value.parts(translator("ja")))


def company_template(width: int = 10, height: float = 7.5) -> bytes:
    """Return a company's file: own colour and font, two slides, and a section that names them."""
    deck: Any = Presentation()
    deck.slide_width, deck.slide_height = Inches(width), Inches(height)
    for words in ("secret plan", "secret price"):
        page = deck.slides.add_slide(deck.slide_layouts[5])
        page.shapes.title.text = words
        page.notes_slide.notes_text_frame.text = "secret note"
    fill = deck.slide_master.background.fill
    fill.solid()
    fill.fore_color.rgb = RGBColor(0x12, 0x34, 0x56)
    target = io.BytesIO()
    deck.core_properties.comments = "secret remark"
    deck.save(target)
    return target.getvalue()


def with_main_type(content: bytes, kind: str) -> bytes:
    """Return the file with another main content type, as .potx and .pptm have."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "[Content_Types].xml":
                plain = pptx_look.PRESENTATION.encode()
                data = data.replace(plain, f"application/vnd.{kind}.main+xml".encode())
            new.writestr(name, data)
    return target.getvalue()


@pytest.mark.parametrize(
    "kind",
    [
        "openxmlformats-officedocument.presentationml.presentation",
        "openxmlformats-officedocument.presentationml.template",
        "ms-powerpoint.presentation.macroEnabled",
    ],
)
def test_a_company_s_template_is_used_and_its_slides_are_not(kind: str) -> None:
    template = with_main_type(company_template(), kind)
    content = render_pptx(evidence_of("example"), PackOptions("ja", template=template))
    deck = read(content)
    assert (deck.slide_width, deck.slide_height) == (Inches(10), Inches(7.5))
    assert len(deck.slides) == len(slides(evidence_of("example"), PackOptions("ja")))
    assert {slide.slide_layout.name for slide in deck.slides} == {"Title Only"}
    assert str(deck.slide_master.background.fill.fore_color.rgb) == "123456"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert not [name for name, data in parts.items() if b"secret" in data]
    assert not [name for name in parts if "thumbnail" in name or "app.xml" in name]
    for slide in deck.slides:
        body = [s for s in slide.shapes if not s.is_placeholder]
        assert all(s.left + s.width <= deck.slide_width for s in body)
        assert all(s.top >= slide.shapes.title.top + slide.shapes.title.height for s in body)
        # No empty placeholder that would ask for a click.
        assert all(s.has_text_frame and s.text_frame.text for s in slide.placeholders)


def test_a_template_without_a_title_layout_still_shows_titles() -> None:
    deck: Any = Presentation()
    for layout in list(deck.slide_layouts):
        if layout.name != "Blank":
            deck.slide_layouts.remove(layout)
    target = io.BytesIO()
    deck.save(target)
    made = read(render_pptx(evidence_of("example"), PackOptions(template=target.getvalue())))
    assert evidence_of("example").study.title in words_of(made, notes=False)


def zipped(parts: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return target.getvalue()


def damaged(name: str) -> bytes:
    """Return a presentation one of whose parts is broken XML."""
    with zipfile.ZipFile(io.BytesIO(company_template())) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    return zipped(parts | {name: b"<broken"})


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"not a zip", "not_a_template"),
        (b"\xd0\xcf\x11\xe0" * 100, "not_a_template"),
        (zipped({"a.txt": b"x"}), "not_a_template"),
        (company_template()[:5000], "not_a_template"),
        (damaged("ppt/presentation.xml"), "not_a_template"),
        (damaged("ppt/slideLayouts/slideLayout6.xml"), "not_a_template"),
        (damaged("ppt/theme/theme1.xml"), "not_a_template"),
        (zipped({"big": b"0" * 50_000_001}), "template_too_large"),
        (zipped({f"{place}": b"" for place in range(5_001)}), "template_too_large"),
    ],
    ids=["text", "ole", "zip", "cut", "presentation", "layout", "theme", "bomb", "files"],
)
def test_what_is_no_template_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(StudyError) as caught:
        render_pptx(evidence_of("example"), PackOptions(template=content))
    assert caught.value.code == code
    assert all(caught.value.parts(translator("ja")))


def test_the_words_are_the_same_each_time() -> None:
    deck, again = (read(render_pptx(evidence_of("example"), PackOptions("ja"))) for _ in range(2))
    assert words_of(deck) == words_of(again)
    assert deck.core_properties.title == evidence_of("example").study.title
    assert deck.core_properties.created.year == 2026


# -- in an office program -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lang"), [("example", "ja"), ("long", "en")])
def test_libreoffice_opens_the_deck(tmp_path: Path, name: str, lang: str) -> None:
    office = shutil.which("soffice")
    if office is None:
        if os.environ.get("KASA_BROWSER_TESTS") == "required":
            pytest.fail("soffice is not on PATH")
        pytest.skip("soffice is not on PATH")
    path = tmp_path / "deck.pptx"
    path.write_bytes(deck_bytes(name, lang))
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    command = [office, profile, "--headless", "--convert-to", "pdf", "--outdir", tmp_path, path]
    home = os.environ | {"HOME": str(tmp_path)}
    subprocess.run(command, check=True, capture_output=True, timeout=240, env=home)
    pages = len(re.findall(rb"/Type\s*/Page[^s]", (tmp_path / "deck.pdf").read_bytes()))
    assert pages == len(read(deck_bytes(name, lang)).slides)
