"""The rows of the costs sheet: `kasa.verdict.business` as formulas over named inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kasa.report.xlsx_cells import Kind
from kasa.text import Translator
from kasa.verdict import business
from kasa.verdict.business import HORIZONS, PARTS, Case, case_of, right_metric
from kasa.verdict.evidence import Evidence

# What one answer brings at a share of right ones, and when that can be said.
WORTH = "({0}*benefit_per_correct-(1-{0})*loss_per_wrong)"
WORTH_KNOWN = "AND(ISNUMBER({0}),ISNUMBER(benefit_per_correct))"
ANSWERED = "AND(ISNUMBER({worth}),ISNUMBER(answers_per_year))"
UNKNOWN = "–"


@dataclass(frozen=True)
class Line:
    """A row of results: a value an arm, and the formula that gives it.

    In a formula `{name}` is another line's cell in the same column; without one the value was
    measured. A line without values is a heading.
    """

    name: str
    words: str
    kind: Kind = "text"
    values: tuple[float | str | None, ...] = ()
    formula: str = ""
    look: str = "cell"


def costs_lines(evidence: Evidence, text: Translator) -> list[Line]:
    """Return the rows of results, from what was measured to the break-even."""
    cases = [case_of(evidence, summary.arm) for summary in evidence.summaries]
    lines = list(_measured_lines(evidence, cases, text))
    for horizon in HORIZONS:
        lines += _horizon_lines(horizon, cases, text)
    return [*lines, *_break_even_lines(cases, text)]


def _measured_lines(evidence: Evidence, cases: list[Case], text: Translator) -> Iterator[Line]:
    def own(name: str, kind: Kind, formula: str = "") -> Line:
        values = tuple(getattr(case, name) for case in cases)
        return Line(name, text(f"meeting.input.{name}"), kind, values, formula)

    runs = tuple(summary.num_seeds for summary in evidence.summaries)
    yield Line("measured", text("sheet.costs.measured"), look="band")
    yield Line("runs", text("sheet.costs.runs"), "count", runs)
    yield own("poc_seconds", "seconds")
    yield own("tuning_seconds", "seconds", "{poc_seconds}/{runs}")
    if right_metric(evidence.study):
        yield from (own(name, "fraction") for name in ("right", "right_low", "right_high"))
    else:
        yield own("right", "fraction")
    worth = tuple(business.value_per_answer(case) for case in cases)
    formula = _known(WORTH_KNOWN.format("{right}"), WORTH.format("{right}"))
    yield Line("worth", text("sheet.costs.worth"), "money", worth, formula)


def _known(condition: str, formula: str) -> str:
    return f'IF({condition},{formula},"{UNKNOWN}")'


def part_formulas(years: int) -> dict[str, str]:
    """Return the formula of each of `PARTS` after so many years of operation; 0 is the PoC."""
    later = f"+rollout_hours+{years}*(12*upkeep_hours_per_month"
    later += "+retrainings_per_year*retraining_hours)"
    return {
        "machine": "{poc_seconds}/3600*machine_hour"
        f"+{years}*retrainings_per_year*{{tuning_seconds}}/3600*machine_hour",
        "people": f"(poc_hours{later if years else ''})*staff_per_hour",
        "labelling": f"{years}*retrainings_per_year*rows_per_retraining*labelling_seconds"
        "/3600*staff_per_hour",
        "serving": f"{years}*serving_hours_per_year*machine_hour",
    }


def _horizon_lines(horizon: str, cases: list[Case], text: Translator) -> Iterator[Line]:
    years = HORIZONS[horizon]
    parts = [business.costs(case, horizon) for case in cases]
    gains = [business.benefit(case, horizon) for case in cases]
    nets = [business.net(case, horizon) for case in cases]

    def line(
        name: str, words: str, values: Sequence[float | None], formula: str, look: str = "cell"
    ) -> Line:
        return Line(f"{horizon}_{name}", text(words), "money", tuple(values), formula, look)

    yield Line(horizon, text(f"meeting.horizon.{horizon}"), look="band")
    for part, formula in part_formulas(years).items():
        yield line(part, f"meeting.part.{part}", [found[part] for found in parts], formula)
    spent = "+".join(f"{{{horizon}_{part}}}" for part in PARTS)
    totals = [business.total(case, horizon) for case in cases]
    yield line("total", "meeting.row.total", totals, spent, "total")
    gained = _known(ANSWERED, f"{years}*answers_per_year*{{worth}}")
    yield line("benefit", "meeting.row.benefit", gains, gained)
    less = f"{{{horizon}_benefit}}-{{{horizon}_total}}"
    yield line(
        "net", "meeting.row.net", nets, _known(f"ISNUMBER({{{horizon}_benefit}})", less), "total"
    )
    if years and any(case.right_low is not None for case in cases):
        for end in ("low", "high"):
            found = [business.net_interval(case, horizon) for case in cases]
            values = [ends and ends[end == "high"] for ends in found]
            yield line(f"net_{end}", f"sheet.costs.net_{end}", values, _net_at(end, horizon))


def _net_at(end: str, horizon: str) -> str:
    share = f"{{right_{end}}}"
    known = f"AND(ISNUMBER(answers_per_year),{WORTH_KNOWN.format(share)})"
    gained = f"{HORIZONS[horizon]}*answers_per_year*{WORTH.format(share)}"
    return _known(known, f"{gained}-{{{horizon}_total}}")


def _break_even_lines(cases: list[Case], text: Translator) -> Iterator[Line]:
    never = text("meeting.never")
    later = business.LONGEST - 1
    yearly = [
        (business.total(case, "three_years") - business.total(case, "first_year")) / later
        for case in cases
    ]
    yield Line("breakeven", text("sheet.costs.breakeven"), look="band")
    further = f"({{three_years_total}}-{{first_year_total}})/{later}"
    words = text("sheet.costs.yearly")
    yield Line("yearly", words, "money", tuple(yearly), further)
    months = _known(
        "ISNUMBER({first_year_benefit})",
        "IF({first_year_benefit}>{yearly},12*({first_year_total}-{yearly})"
        f'/({{first_year_benefit}}-{{yearly}}),"{never}")',
    )
    found = tuple(
        _or_never(business.months_to_break_even(case), case.priced, never) for case in cases
    )
    yield Line("months", text("meeting.row.months"), "months", found, months)
    answers = _known(
        "ISNUMBER({worth})",
        f'IF({{worth}}>0,{{three_years_total}}/({business.LONGEST}*{{worth}}),"{never}")',
    )
    found = tuple(
        _or_never(business.answers_to_break_even(case), worth is not None, never)
        for case, worth in zip(cases, map(business.value_per_answer, cases), strict=True)
    )
    yield Line("answers", text("meeting.row.answers"), "count", found, answers)


def _or_never(value: float | None, known: bool, never: str) -> float | str | None:
    return never if known and value is None else value
