"""The charts carry the numbers they were given, in both languages, and labels do not collide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from kasa.report.spectrum_curves import MOST_POINTS, drawn_points, energy_chart, spectrum_chart
from kasa.report.spectrum_plots import MEASURES, heatmap, measure_value
from kasa.spectral.spectrum import Spectrum, energy_fraction
from kasa.spectral.truncation import CRITERIA, cut
from kasa.text import translator

LANGUAGES = ["ja", "en"]


def spectrum(layer: int | None, kind: str, values: list[float]) -> Spectrum:
    module = kind if layer is None else f"layer.{layer}.{kind}"
    shape = (len(values), len(values))
    return Spectrum(f"{module}.weight", module, layer, kind, shape, np.array(values))


SPECTRA = [
    spectrum(0, "query", [2, 2, 2, 2]),
    spectrum(0, "value", [3, 0, 0, 0]),
    spectrum(1, "query", [4, 3, 2, 1]),
    spectrum(None, "pooler.dense", [1, 1, 1, 1]),
]


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("measure", MEASURES)
def test_the_heatmap_holds_each_value_in_its_cell(measure: str, lang: str) -> None:
    figure = heatmap(SPECTRA, measure, translator(lang), 1)
    colors, targets = figure.data
    assert (list(colors.x), list(colors.y)) == (["query", "value"], ["0", "1"])
    grid = [list(row) for row in colors.z]
    assert grid[0] == pytest.approx([measure_value(s, measure, 1) for s in SPECTRA[:2]])
    assert grid[1] == [pytest.approx(measure_value(SPECTRA[2], measure, 1)), None]
    modules = [row[0] for row in targets.customdata]
    assert modules == ["layer.0.query", "layer.0.value", "layer.1.query"]
    assert figure.layout.xaxis.title.text
    assert figure.layout.yaxis.title.text


def test_measures_by_hand() -> None:
    assert measure_value(SPECTRA[0], "effective_rank", 8) == pytest.approx(1.0)
    assert measure_value(SPECTRA[1], "stable_rank", 8) == pytest.approx(1.0)
    assert measure_value(SPECTRA[2], "energy_kept", 1) == pytest.approx(29 / 30)
    # More than a weight has: one component always stays, as in the cuts.
    assert measure_value(SPECTRA[2], "energy_kept", 99) == pytest.approx(16 / 30)


def test_the_selected_cells_are_framed() -> None:
    text = translator("en")
    assert len(heatmap(SPECTRA, "stable_rank", text).layout.shapes) == 0
    figure = heatmap(SPECTRA, "stable_rank", text, selected=("layer.1.query", "pooler.dense"))
    frame = figure.layout.shapes[0]
    assert len(figure.layout.shapes) == 1
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (-0.5, 0.5, 0.5, 1.5)


def test_a_model_without_layers_is_still_shown() -> None:
    figure = heatmap(SPECTRA[3:], "stable_rank", translator("en"))
    assert list(figure.data[0].x) == ["pooler.dense"]


def test_names_cannot_bring_markup() -> None:
    evil = spectrum(0, '<a href="x">', [1, 1])
    figure = heatmap([evil], "stable_rank", translator("en"))
    assert "<a" not in figure.data[0].x[0]
    assert "<a" not in figure.data[1].hovertext[0]
    assert "<a" not in spectrum_chart([evil], [], translator("en")).data[0].hovertemplate


@pytest.mark.parametrize("lang", LANGUAGES)
def test_lines_hold_the_values_and_leave_zeros_out_of_the_logarithm(lang: str) -> None:
    figure = spectrum_chart(SPECTRA[1:3], [], translator(lang))
    assert figure.layout.yaxis.type == "log"
    np.testing.assert_array_equal(figure.data[0].y, [3, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(figure.data[1].y, [4, 3, 2, 1])
    np.testing.assert_array_equal(figure.data[1].x, [1, 2, 3, 4])
    energies = energy_chart(SPECTRA[1:3], [], translator(lang))
    np.testing.assert_allclose(energies.data[1].y, energy_fraction([4, 3, 2, 1]))


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("chart", [spectrum_chart, energy_chart])
def test_every_cut_has_its_line_and_a_level_of_its_own(chart: object, lang: str) -> None:
    values = SPECTRA[2]
    cuts = [cut(name, values.singular_values, values.shape) for name in CRITERIA]
    figure: go.Figure = chart([values], cuts, translator(lang))  # type: ignore[operator]
    assert len(figure.layout.shapes) == len(CRITERIA) - 1  # "none" cuts nothing
    places = sorted(shape.x0 for shape in figure.layout.shapes)
    assert places == sorted(c.num_kept + 0.5 for c in cuts if c.criterion != "none")
    levels = [label.yshift for label in figure.layout.annotations]
    assert len(set(levels)) == len(levels)
    assert figure.layout.margin.t >= max(levels) + 16


def test_long_spectra_are_thinned_and_drawn_by_the_graphics_card() -> None:
    long = spectrum(0, "q", list(np.linspace(2, 1, 4 * MOST_POINTS)))
    short = spectrum(0, "q", list(np.linspace(2, 1, MOST_POINTS)))
    drawn = spectrum_chart([long], [], translator("en")).data[0]
    assert isinstance(drawn, go.Scattergl)
    assert len(drawn.x) < MOST_POINTS
    # A component keeps its number and its value.
    np.testing.assert_array_equal(drawn.y, long.singular_values[drawn.x - 1])
    whole = spectrum_chart([short], [], translator("en")).data[0]
    assert isinstance(whole, go.Scatter)
    assert len(whole.x) == MOST_POINTS


@pytest.mark.parametrize("size", [1, MOST_POINTS, MOST_POINTS + 1, 11008])
def test_a_thinned_line_keeps_both_ends(size: int) -> None:
    points = drawn_points(size)
    assert (points[0], points[-1]) == (0, size - 1)
    assert (np.diff(points) > 0).all()
    # The cuts lie at the ends: the strongest and the weakest components are all there.
    end = min(size, 400)
    np.testing.assert_array_equal(points[:end], np.arange(end))
    np.testing.assert_array_equal(points[-end:], np.arange(size - end, size))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_sketch_is_named_and_has_its_band_in_the_energy_chart(lang: str) -> None:
    exact = SPECTRA[2]
    low, high = np.array([0.5, 0.8, 0.9, 1.0]), np.array([0.6, 0.9, 1.0, 1.0])
    sketch = replace(exact, band=(low, high))
    word = {"ja": "概算", "en": "sketch"}[lang]
    figure = energy_chart([exact, sketch], [], translator(lang))
    lower, upper, first, second = figure.data
    np.testing.assert_array_equal(lower.y, low)
    np.testing.assert_array_equal(upper.y, high)
    assert upper.fill == "tonexty"
    assert (word in first.name, word in second.name) == (False, True)
    np.testing.assert_array_equal(second.y, energy_fraction([4, 3, 2, 1]))
    assert len(spectrum_chart([sketch], [], translator(lang)).data) == 1
