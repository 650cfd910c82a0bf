"""The report as one HTML file: plotly inlined once, no request to the outside."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from kasa.report.fit import fit
from kasa.report.headline import headline
from kasa.report.logo import logo_uri
from kasa.report.options import PackOptions
from kasa.report.palette import FONT
from kasa.report.sections import report_sections
from kasa.report.tree import Charts, Section
from kasa.text import translator
from kasa.verdict.evidence import Evidence

TEMPLATES = Path(__file__).parent / "templates"


def render_html(evidence: Evidence, options: PackOptions) -> str:
    """Return the report's HTML, about 5 MB; `StudyError` for a logo that is no picture.

    A content security policy lets only the two scripts of this file run, named by their hash: even
    markup that slipped through the escaping could not act or connect.
    """
    text = translator(options.lang)
    sections = report_sections(evidence, text, options)
    plotly, viewer = get_plotlyjs(), _source("report.js")
    # "</script" inside a script would end it: plotly's code holds none, and the hash would tell.
    scripts = [Markup(plotly), Markup(viewer)]  # noqa: S704 - both are our own files
    return (
        _environment()
        .get_template("report.html")
        .render(
            lang=text.lang,
            title=text("report.title", title=evidence.study.title),
            contents=text("report.contents"),
            made_with=text("report.made_with"),
            company=options.company.strip(),
            logo=logo_uri(options.logo) if options.logo else "",
            verdict=headline(evidence, text).verdict,
            sections=sections,
            style=Markup(_source("report.css").replace("FONT_STACK", FONT)),  # noqa: S704
            policy=_policy(plotly, viewer),
            plotly=scripts[0],
            viewer=scripts[1],
            figures=Markup(_safe_json(_figures(sections))),  # noqa: S704 - "<" is escaped
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_fit,
    )
    environment.tests["charts"] = lambda block: isinstance(block, Charts)
    environment.tests["kind"] = lambda block, name: type(block).__name__ == name
    return environment


def _fit(value: Any) -> Any:
    """Return what people wrote without what would turn it around; our own markup as it is."""
    return fit(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _fitted(value: Any) -> Any:
    """Return a JSON value with every word in it as it fits."""
    if isinstance(value, dict):
        return {name: _fitted(each) for name, each in value.items()}
    return [_fitted(each) for each in value] if isinstance(value, list) else _fit(value)


def _source(name: str) -> str:
    return (TEMPLATES / name).read_text("utf-8")


def _policy(*scripts: str) -> str:
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )


def _figures(sections: tuple[Section, ...]) -> dict[str, Any]:
    figures = {}
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Charts):
                for chart in block.charts:
                    figures[chart.key] = json.loads(chart.figure.to_json())
    return figures


def _safe_json(value: Any) -> str:
    words = json.dumps(_fitted(value), ensure_ascii=False, separators=(",", ":"))
    return words.replace("<", "\\u003c")
