from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kasa.arms import METHODS, Arm
from kasa.report import plots
from kasa.report import tradeoff as tradeoff_charts
from kasa.report.palette import METHOD_COLORS, OTHER_METHODS, arm_colors, method_symbol
from kasa.report.tradeoff import NAMED_ARMS, cost_measures, tradeoff
from kasa.study import Prices
from kasa.text import Translator, translator
from kasa.verdict.evidence import Evidence
from kasa.verdict.measures import COSTS
from tests.study_runs import example_evidence, example_runs, example_study, finished_run

TEXTS = [translator("en"), translator("ja")]
EVIDENCE = example_evidence()
EN = translator("en")


def all_charts(text: Translator, evidence: Evidence = EVIDENCE) -> list[plots.Chart]:
    charts = [plots.metric_dots(evidence, text, metric) for metric in evidence.study.metrics]
    charts += [plots.differences(evidence, text, metric) for metric in evidence.study.metrics]
    charts += [tradeoff(evidence, text, "accuracy", cost) for cost in COSTS]
    charts += [plots.confusion(evidence, text, arm.arm) for arm in evidence.summaries]
    losses = plots.loss_curves(evidence, text)
    return [*charts, losses] if losses else charts


@pytest.mark.parametrize("text", TEXTS, ids=["en", "ja"])
def test_every_chart_has_a_title_a_note_and_a_key_of_its_own(text: Translator) -> None:
    charts = all_charts(text)
    assert len({chart.key for chart in charts}) == len(charts) == 14
    assert all(chart.title and chart.note for chart in charts)
    assert all(json.loads(chart.figure.to_json())["data"] for chart in charts)


def test_dots_are_the_seeds_and_the_bar_their_mean() -> None:
    figure = plots.metric_dots(EVIDENCE, EN, "accuracy").figure
    kasa = EVIDENCE.summaries[0].metrics["accuracy"]
    dots, bar = figure.data[-2:]  # the first arm stands at the top, so it is drawn last
    assert tuple(dots.x) == kasa.values
    assert tuple(bar.x) == (kasa.mean, kasa.mean)
    assert figure.layout.yaxis.ticktext[-1] == "KaSA (r=8)<br><b>88.9%</b>"


def test_an_arm_has_the_same_colour_everywhere() -> None:
    dots = plots.metric_dots(EVIDENCE, EN, "accuracy").figure.data[-2]
    point = tradeoff(EVIDENCE, EN, "accuracy", "money").figure.data[1]
    curve = plots.loss_curves(EVIDENCE, EN).figure.data[0]
    colors = {dots.marker.color, point.marker.color, curve.line.color}
    assert colors == {METHOD_COLORS["kasa"]}


def test_tradeoff_draws_the_front_and_shows_memory_in_mb() -> None:
    figure = tradeoff(EVIDENCE, EN, "accuracy", "peak_memory_bytes").figure
    front, kasa = figure.data[:2]
    # TF-IDF is smallest, LoRA best; KaSA and the frozen base are beaten.
    assert list(front.x) == [300, 910]
    assert list(kasa.x) == [910]
    assert "910 MB" in kasa.hovertext


def test_tradeoff_whiskers_are_the_interval_and_the_runs() -> None:
    mark = tradeoff(EVIDENCE, EN, "accuracy", "train_seconds").figure.data[2]
    (arm,) = mark.customdata[0]
    low, high = EVIDENCE.intervals["accuracy"][arm]
    assert mark.y[0] - mark.error_y.arrayminus[0] == pytest.approx(low)
    assert mark.y[0] + mark.error_y.array[0] == pytest.approx(high)
    seconds = [run.train_seconds for run in EVIDENCE.finished if run.arm == arm]
    assert mark.x[0] - mark.error_x.arrayminus[0] == pytest.approx(min(seconds))
    assert mark.x[0] + mark.error_x.array[0] == pytest.approx(max(seconds))


def test_tradeoff_draws_requirements_and_marks_baselines() -> None:
    figure = tradeoff(EVIDENCE, EN, "accuracy", "peak_memory_bytes").figure
    lines = {(line.x0, line.x1, line.y0, line.y1) for line in figure.layout.shapes}
    assert lines == {(2000.0, 2000.0, 0, 1), (0, 1, 0.85, 0.85)}  # 2 GB and 85 %
    assert figure.layout.xaxis.range[1] > 2000
    marks = {trace.customdata[0][0]: trace.marker.symbol for trace in figure.data[1:]}
    assert marks["kasa-r8"] == "diamond"
    assert marks["tfidf"] == "x-open"
    # Another metric than the deciding one has no requirement.
    other = tradeoff(EVIDENCE, EN, "macro_f1", "num_trainable_params").figure
    assert not other.layout.shapes


def test_tradeoff_of_sixty_arms_names_only_the_front() -> None:
    arms = tuple(Arm("lora", rank=rank) for rank in range(1, 61))
    study = example_study(arms=arms)
    runs = [
        replace(run, arm=f"lora-r{rank}", id=f"lora-r{rank}", train_seconds=100.0 + rank)
        for rank in range(1, 61)
        for run in example_runs(["lora-r8"], [0], num_rows=30)
    ]
    figure = tradeoff(example_evidence(runs, study), EN, "accuracy", "train_seconds").figure
    named = [trace.name for trace in figure.data[1:] if trace.showlegend]
    assert len(figure.data) == 61
    assert named == ["LoRA (r=1)"]
    assert len(named) < NAMED_ARMS


@pytest.mark.parametrize(
    ("values", "kind"), [([1, 2, 3], None), ([0, 5000], None), ([0.3, 40], "log"), ([5, 5], None)]
)
def test_cost_axis(values: list[float], kind: str | None) -> None:
    axis = tradeoff_charts._cost_axis(values, EN)
    assert axis.get("type") == kind
    low, high = axis["range"]
    if kind:
        low, high = 10**low, 10**high
        assert any(low <= tick <= high for tick in axis["tickvals"])
    assert low < min(values)
    assert high > max(values)


def test_differences_show_the_interval() -> None:
    figure = plots.differences(EVIDENCE, EN, "accuracy").figure
    first, verdict = figure.data[-1], EVIDENCE.verdicts[0]
    assert first.x[0] == pytest.approx(100 * verdict.difference)
    assert first.x[0] + first.error_x.array[0] == pytest.approx(100 * verdict.interval[1])
    assert first.x[0] - first.error_x.arrayminus[0] == pytest.approx(100 * verdict.interval[0])


def test_confusion_counts_and_shares() -> None:
    heat = plots.confusion(EVIDENCE, EN, "tfidf").figure.data[0]
    assert [list(row) for row in heat.text] == [["", "120", ""], ["", "120", ""], ["", "", "120"]]
    assert list(heat.z[0]) == [0, 1, 0]


def test_the_curve_is_that_of_the_chosen_setting() -> None:
    run = example_runs(["lora-r8"], [0])[0]
    trials = [trial | {"curve": [{"step": i, "loss": 1.0}]} for i, trial in enumerate(run.trials)]
    assert plots.chosen_curve(replace(run, trials=trials)) == [{"step": 1, "loss": 1.0}]
    assert plots.chosen_curve(replace(run, selected={"learning_rate": 0.5})) == []


def test_no_curves_no_chart() -> None:
    evidence = example_evidence(example_runs(["tfidf", "frozen_head"]))
    assert plots.loss_curves(evidence, EN) is None


def test_money_is_offered_only_with_a_price() -> None:
    free = example_evidence(study=example_study(prices=Prices("JPY", 0)))
    assert "money" in [cost.name for cost in cost_measures(EVIDENCE)]
    assert "money" not in [cost.name for cost in cost_measures(free)]


def test_markup_in_labels_is_disarmed() -> None:
    hostile = ['<a href="http://evil">x</a>', "<img src=x onerror=alert(1)>"]
    labels = hostile * 10
    runs = [finished_run(arm, 0, labels, labels[::-1]) for arm in ("kasa-r8", "lora-r8")]
    evidence = example_evidence(runs)
    for chart in all_charts(EN, evidence):
        for word in ("<a", "<img"):
            assert word not in chart.figure.to_json().replace("\\u003c", "<")


def test_long_labels_are_cut_and_many_classes_fit() -> None:
    names = [f"a very long class name number {i:03}" for i in range(60)]
    labels = [name for name in names for _ in range(3)]
    evidence = example_evidence([finished_run("lora-r8", 0, labels, labels)])
    figure = plots.confusion(evidence, EN, "lora-r8").figure
    assert max(map(len, figure.layout.yaxis.ticktext)) <= 16
    assert figure.layout.height <= 1600


def test_every_method_is_told_apart_by_colour_or_marker() -> None:
    looks = {name: (arm_colors([name], [name])[name], method_symbol(name)) for name in METHODS}
    assert len(set(looks.values())) == len(METHODS)
    assert set(OTHER_METHODS) | set(METHOD_COLORS) == set(METHODS)


def test_a_correlation_stands_on_an_axis_of_numbers_and_a_share_on_one_of_per_cent() -> None:
    score = plots.share_axis([-0.9, 0.2], "pearson")
    assert score["tickformat"] == ".2f"
    assert score["range"][0] == pytest.approx(-1.01)
    share = plots.share_axis([0.0, 0.2], "chrf")
    assert share["tickformat"] == ".0%"
    assert share["range"][0] == -0.01
