"""The verbs that carry a study out of the studio and in: the meeting pack and the study bundle."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from kasa.commands import say, study_id_of, writing
from kasa.errors import StudyError
from kasa.report.options import AUDIENCES, PackOptions
from kasa.report.pack import FORMATS, check_options, write_pack
from kasa.report.sections import report_sections
from kasa.runs.bundle import read_bundle, write_bundle
from kasa.runs.store import Store
from kasa.text import translator
from kasa.verdict.evidence import gather

FORMAT_NAMES, AUDIENCE_NAMES = tuple(FORMATS), AUDIENCES
ALL = "all"


def report(args: argparse.Namespace) -> dict[str, Any]:
    """Write the meeting pack in the formats that were asked for."""
    formats = _names(args.format)
    formats = FORMAT_NAMES if formats in ((), (ALL,)) else formats
    for name in formats:
        if name not in FORMAT_NAMES:
            raise StudyError("unknown_format", got=name, wanted=", ".join(FORMAT_NAMES))
    options = PackOptions(
        lang=args.lang,
        audience=args.audience,
        sections=_names(args.sections),
        company=args.company,
        logo=_content(args.logo),
        template=_content(args.template),
    )
    check_options(options)
    store, folder = Store(), Path(args.out)
    evidence = gather(store, study_id_of(store, args.study))
    if options.sections:
        there = [section.key for section in report_sections(evidence, translator(args.lang))]
        for name in options.sections:
            if name not in there:
                raise StudyError("unknown_section", got=name, wanted=", ".join(there))
    with writing(folder / "report"):
        files = write_pack(evidence, options, formats, folder)
    store.ledger.note("report_written", study=evidence.record.id, format=", ".join(formats))
    for file in files:
        print(file)
    return {"study": evidence.record.id, "files": [str(file) for file in files]}


def _names(listed: str) -> tuple[str, ...]:
    """Return the names of a list with commas, each once."""
    names = (name.strip() for name in listed.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def _content(path: str | None) -> bytes:
    """Return what is in a file that an option names; nothing where it names none."""
    if not path:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        detail = error.strerror or str(error)
        raise StudyError("file_not_readable", path=path, detail=detail) from error


def bundle(args: argparse.Namespace) -> dict[str, Any]:
    """Write a study as one file that another computer can bring in."""
    store, path = Store(), Path(args.out)
    study_id = study_id_of(store, args.study)
    with writing(path):
        write_bundle(store, study_id, path, with_data=args.with_data)
    print(path)
    return {"study": study_id, "file": str(path), "with_data": args.with_data}


def import_bundle(args: argparse.Namespace) -> dict[str, Any]:
    """Bring a study in from a bundle."""
    found = read_bundle(Store(), Path(args.file))
    told = "imported" if found.new else "known"
    facts = {"title": found.title, "study": found.study, "runs": found.num_runs}
    print(say(args, f"bundle.{told}", **facts))
    if found.left_out:
        print(say(args, "bundle.left_out", count=len(found.left_out)))
    if not found.with_data:
        print(say(args, "bundle.no_texts"))
    return {
        "study": found.study,
        "title": found.title,
        "new": found.new,
        "with_data": found.with_data,
        "runs": found.num_runs,
        "left_out": [vars(run) for run in found.left_out],
    }
