"""Answers to somebody's questions, every method side by side: a table, a sentence, a sheet."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kasa.data.personal import mask_personal
from kasa.data.questions import SEPARATOR
from kasa.report.explain import module_names
from kasa.report.labels import arm_labels
from kasa.report.tree import Table
from kasa.study import Study
from kasa.text import Translator

# Longer texts are cut in the table; the sheet has them whole.
LONGEST = 500
TEXT_WIDTH, OTHER_WIDTH = 60, 22


@dataclass(frozen=True)
class Asked:
    """What was asked and what each method answered, ready to show.

    `answers[method][question]` holds label and, where the task has one, confidence; `rows` are the
    spreadsheet rows of questions from a file. `differs` says on which questions not every method
    gives the same answer; it is empty for scores, which are hardly ever the same. Likely personal
    data is hidden where the study hides it, which `hidden` says. `spoke[method][question]` are the
    components of a tuned method that spoke loudest, for the first questions.
    """

    questions: tuple[str, ...]
    rows: tuple[int, ...]
    names: tuple[str, ...]
    answers: tuple[tuple[Mapping[str, Any], ...], ...]
    differs: tuple[bool, ...]
    hidden: bool
    spoke: tuple[Sequence[Sequence[Mapping[str, Any]]], ...]

    @property
    def different(self) -> list[int]:
        """The places of the questions on which the methods differ."""
        return [place for place, differs in enumerate(self.differs) if differs]


def asked_of(result: Mapping[str, Any], study: Study, text: Translator) -> Asked:
    """Return what the job `answers` left, with the methods by their names."""
    questions = [f" {SEPARATOR} ".join(pieces) for pieces in result["asked"]["questions"]]
    methods = result["measured"]["methods"]
    labels = [[answer["label"] for answer in method["answers"]] for method in methods]
    scores = result["measured"]["task"] == "regression"
    shown = [_shown(question, study) for question in questions]
    answers = tuple(
        tuple(answer | {"label": _shown(answer["label"], study)} for answer in method["answers"])
        for method in methods
    )
    return Asked(
        questions=tuple(shown),
        rows=tuple(result["asked"].get("rows") or ()),
        names=_names(methods, study, text),
        answers=answers,
        differs=() if scores else tuple(len(set(said)) > 1 for said in zip(*labels, strict=True)),
        hidden=shown != questions,
        spoke=tuple(method.get("spoke", ()) for method in methods),
    )


def _shown(cell: Any, study: Study) -> Any:
    return mask_personal(cell) if study.data.mask and isinstance(cell, str) else cell


def _names(methods: Sequence[Mapping[str, Any]], study: Study, text: Translator) -> tuple[str, ...]:
    labels = arm_labels(study, text)
    return tuple(
        text("answers.of_run", arm=labels[method["arm"]], seed=method["seed"])
        if "arm" in method
        else text(f"arms.name.{method['method']}")
        for method in methods
    )


def answers_sentence(asked: Asked, text: Translator) -> str:
    """Say on how many texts the methods differ."""
    count, different = len(asked.questions), len(asked.different)
    facts = {"count": text.number(count)}
    if not asked.differs or len(asked.names) < 2:
        return text("answers.asked", **facts)
    if not different:
        return text("answers.all_agree", **facts)
    return text("answers.some_differ", different=text.number(different), **facts)


def answers_table(asked: Asked, text: Translator, places: Iterable[int] | None = None) -> Table:
    """Return one row per question (all, or those at `places`) and one column per method.

    A text on which the methods differ stands below a line that says so.
    """
    mark = text("answers.differs")
    rows = []
    for place in range(len(asked.questions)) if places is None else places:
        question = _cut(asked.questions[place])
        if asked.differs and asked.differs[place]:
            question = f"{mark}\n{question}"
        cells = [_answer_words(method[place], text) for method in asked.answers]
        number = [text.number(asked.rows[place])] if asked.rows else []
        rows.append((*number, question, *cells))
    first = [text("answers.row")] if asked.rows else []
    return Table((*first, text("answers.text"), *asked.names), tuple(rows))


def spoke_table(asked: Asked, place: int, text: Translator) -> Table | None:
    """Return which components of the tuned methods spoke loudest on a question, if any did."""
    rows: list[tuple[str, ...]] = []
    for name, method in zip(asked.names, asked.spoke, strict=True):
        found = method[place] if place < len(method) else []
        modules = module_names({"modules": found}, text)
        for number, own in enumerate(found):
            rows.append(
                (
                    "" if number else name,  # once for all of its components
                    modules[own["module"]],
                    text.number(own["number"] + 1),
                    text.percent(own["share"], 0),
                    _cut(own["word"] or "–"),
                )
            )
    names = ("method", "weight", "number", "share", "word")
    header = tuple(text(f"answers.column.{name}") for name in names)
    return Table(header, tuple(rows), numeric=(2, 3)) if rows else None


def _answer_words(answer: Mapping[str, Any], text: Translator) -> str:
    label = answer["label"]
    words = _cut(label) if isinstance(label, str) else text.number(label, 2)
    if "confidence" not in answer:
        return words
    confidence = float(answer["confidence"])
    share = text.percent(confidence, 0)
    if confidence < 1 <= round(confidence, 2):  # nearly certain is not certain
        share = f">{text.percent(0.99, 0)}"
    return text("answers.sure", label=words, confidence=share)


def _cut(words: str) -> str:
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…"


def answers_sheet(asked: Asked, text: Translator) -> bytes:
    """Return an XLSX workbook: text, then answer and confidence of every method.

    Scores and confidences are numbers; everything else is text, whatever it begins with.
    """
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.title = text("answers.sheet")
    header, rows = _cells(asked, text)
    for line, cells in enumerate((header, *rows), start=1):
        for column, value in enumerate(cells, start=1):
            _write(sheet.cell(line, column), value, header=line == 1)
    sheet.freeze_panes = "A2"
    for column, name in enumerate(header, start=1):
        width = TEXT_WIDTH if name == text("answers.text") else OTHER_WIDTH
        sheet.column_dimensions[sheet.cell(1, column).column_letter].width = width
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


@dataclass(frozen=True)
class Share:
    """A number that a sheet shows as per cent."""

    value: float


def _cells(asked: Asked, text: Translator) -> tuple[list[Any], list[list[Any]]]:
    """Return the sheet's header and rows: texts, numbers and shares."""
    header: list[Any] = [text("answers.row")] if asked.rows else []
    header.append(text("answers.text"))
    rows: list[list[Any]] = [[row] for row in asked.rows] or [[] for _ in asked.questions]
    for row, question in zip(rows, asked.questions, strict=True):
        row.append(question)
    for name, answers in zip(asked.names, asked.answers, strict=True):
        sure = "confidence" in answers[0]
        header += [name, text("answers.confidence", method=name)] if sure else [name]
        for row, answer in zip(rows, answers, strict=True):
            row.append(answer["label"])
            if sure:
                row.append(Share(answer["confidence"]))
    return header, rows


def _write(cell: Any, value: Any, *, header: bool) -> None:
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
    from openpyxl.styles import Alignment, Font

    cell.alignment = Alignment(wrap_text=True, vertical="top")
    if isinstance(value, Share):
        cell.value, cell.number_format = value.value, "0.0%"
    elif isinstance(value, str):
        cell.value = ILLEGAL_CHARACTERS_RE.sub("", value)
        # Not a formula, not an error value, and still text after somebody has edited the cell.
        cell.data_type, cell.quotePrefix = "s", True
    else:
        cell.value = value
    if header:
        cell.font = Font(bold=True)
