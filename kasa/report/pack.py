"""The meeting pack: one study and one choice of options as every kind of file.

The libraries that write a kind of file are loaded when it is made: pages only need their names.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from kasa.report.logo import logo_size
from kasa.report.options import PackOptions
from kasa.runs.files import write_bytes
from kasa.verdict.evidence import Evidence


@dataclass(frozen=True)
class Format:
    """A kind of file: its ending, its media type, what makes it, and whether it has a language."""

    suffix: str
    mime: str
    make: Callable[[Evidence, PackOptions], bytes]
    worded: bool = True


def _html(evidence: Evidence, options: PackOptions) -> bytes:
    from kasa.report.html import render_html

    return render_html(evidence, options).encode()


def _pptx(evidence: Evidence, options: PackOptions) -> bytes:
    from kasa.report.pptx import render_pptx

    return render_pptx(evidence, options)


def _pdf(evidence: Evidence, options: PackOptions) -> bytes:
    from kasa.report.pdf import render_pdf

    return render_pdf(evidence, options)


def _xlsx(evidence: Evidence, options: PackOptions) -> bytes:
    from kasa.report.xlsx import render_xlsx

    return render_xlsx(evidence, options)


def _ipynb(evidence: Evidence, options: PackOptions) -> bytes:
    from kasa.report.notebook import render_notebook

    return render_notebook(evidence, options)


def _csv(evidence: Evidence, _options: PackOptions) -> bytes:
    from kasa.report.csv_files import csv_files

    return zipped(csv_files(evidence))


def _json(evidence: Evidence, _options: PackOptions) -> bytes:
    from kasa.verdict.facts import evidence_to_dict

    return json.dumps(evidence_to_dict(evidence), ensure_ascii=False, indent=1).encode()


OFFICE = "application/vnd.openxmlformats-officedocument"
FORMATS: dict[str, Format] = {
    "pptx": Format(".pptx", f"{OFFICE}.presentationml.presentation", _pptx),
    "pdf": Format(".pdf", "application/pdf", _pdf),
    "html": Format(".html", "text/html", _html),
    "xlsx": Format(".xlsx", f"{OFFICE}.spreadsheetml.sheet", _xlsx),
    "csv": Format("-csv.zip", "application/zip", _csv, worded=False),
    "json": Format(".json", "application/json", _json, worded=False),
    "ipynb": Format(".ipynb", "application/x-ipynb+json", _ipynb),
}


def check_options(options: PackOptions) -> None:
    """Raise `StudyError` for a logo that is no picture or a template that is no PowerPoint file."""
    if options.logo:
        logo_size(options.logo)
    if options.template:
        from kasa.report.pptx_look import look_of

        look_of(options.template, options.lang)


def file_name(name: str, evidence: Evidence, options: PackOptions) -> str:
    """Return what the file of one format is called."""
    kind = FORMATS[name]
    language = f"-{options.lang}" if kind.worded else ""
    return f"report-{evidence.record.id}{language}{kind.suffix}"


def render(name: str, evidence: Evidence, options: PackOptions) -> bytes:
    """Return the file of one format, equal for equal evidence and options.

    Errors as in `check_options`.
    """
    return FORMATS[name].make(evidence, options)


def write_pack(
    evidence: Evidence, options: PackOptions, names: Iterable[str], folder: Path
) -> list[Path]:
    """Write several formats into a folder and return their paths, the CSV tables one by one.

    All are made before the first is written. Errors as in `render`, and `StoreError` for what
    cannot be written.
    """
    from kasa.report.csv_files import csv_files

    files: dict[str, bytes] = {}
    for name in names:
        if name == "csv":
            files |= csv_files(evidence)
        else:
            files[file_name(name, evidence, options)] = render(name, evidence, options)
    for name, content in files.items():
        write_bytes(folder / name, content)
    return [folder / name for name in files]


def zipped(files: dict[str, bytes]) -> bytes:
    """Return files as one zip archive, equal for equal files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()
