"""The command line: `python -m kasa VERB … [--json]`; everything the pages do has a verb.

With `--json` the last line on stdout is one JSON document. Errors go to stderr with exit code 1 and
say what happened, the likely cause, and what to do.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from kasa import commands, pack_commands, task_commands
from kasa.errors import KasaError
from kasa.tuning.keys import BUDGET, SCOPES, TOLERANCE

VERBS = {
    **commands.VERBS,
    "importance": task_commands.importance,
    "sensitivity": task_commands.sensitivity,
    "export": task_commands.export,
    "explain": task_commands.explain,
    "report": pack_commands.report,
    "bundle": pack_commands.bundle,
    "import": pack_commands.import_bundle,
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of every verb."""
    top = argparse.ArgumentParser(prog="python -m kasa", description="KaSA PoC Studio")
    verbs = top.add_subparsers(dest="verb", required=True)

    def verb(name: str, about: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=about, description=about)
        sub.add_argument("--json", action="store_true", help="end with one JSON document")
        sub.add_argument("--lang", choices=("ja", "en"), default="en", help="language of messages")
        return sub

    model_help = "embedded, a folder, or a hub id"
    sub = verb("spectrum", "singular values of every linear weight")
    sub.add_argument("model", help=model_help)
    sub.add_argument("--method", choices=commands.SPECTRUM_METHODS, default="exact")
    sub.add_argument("--out", help="write an npz whose keys are module names")
    sub = verb("propose", "a truncation plan by one criterion")
    sub.add_argument("model", help=model_help)
    sub.add_argument("--criterion", required=True, choices=commands.CRITERION_NAMES)
    sub.add_argument("--rank", type=int, default=8, help="components that `paper` removes")
    sub.add_argument("--tau", type=float, default=0.99, help="energy that `energy` keeps")
    sub.add_argument("--out", help="write the plan as TOML")
    sub = verb("importance", "what every singular component means to a task")
    _add_task(sub, model_help)
    sub.add_argument("--out", help="write an npz of module/criterion")
    sub = verb("sensitivity", "held-out loss against removed components, and the best cut")
    _add_task(sub, model_help)
    sub.add_argument("--scope", choices=SCOPES, default=SCOPES[0])
    sub.add_argument(
        "--tolerance", type=float, default=TOLERANCE, help="share by which loss may rise"
    )
    sub.add_argument("--budget", type=int, default=BUDGET, help="how many cuts a plan may try")
    sub.add_argument("--out", help="write the plan as an arm of a study file (TOML)")
    sub = verb("check-data", "format, encoding, columns, task, problems by row")
    sub.add_argument("file")
    _add_columns(sub)
    sub.add_argument("--template", help='several columns as one text: "{machine}: {note}"')
    sub.add_argument("--fixes", help="recommended, none, or kinds of problems with commas")
    sub.add_argument("--encoding", choices=commands.ENCODING_NAMES)
    sub.add_argument("--delimiter", choices=commands.DELIMITER_NAMES)
    sub.add_argument("--sheet", help="the sheet of a workbook")
    sub.add_argument("--header-row", type=int, help="row that names the columns; 0 for none")
    sub = verb("estimate", "time, memory and money before running")
    sub.add_argument("study", help="a study file (TOML)")
    sub = verb("run", "the whole study to its verdict; resumes what was interrupted")
    sub.add_argument("study", help="a study file (TOML)")
    sub.add_argument("--executor", choices=("local",), default="local")
    sub = verb("queue", "what works and waits; pause, stop or move a study")
    change = sub.add_mutually_exclusive_group()
    for action, about in commands.QUEUE_HELP.items():
        change.add_argument(f"--{action.replace('_', '-')}", metavar="STUDY", help=about)
    sub = verb("compare", "tables, intervals, verdicts and gates of a study")
    sub.add_argument("study", help="a study id, or the study file that was run")
    sub = verb("predict", "a tuned run beside its base, for new texts")
    sub.add_argument("run", help="a run id")
    sub.add_argument("texts", nargs="+", metavar="text")
    sub = verb("export", "a tuned run as a model that others can load")
    sub.add_argument("run", help="a run id")
    sub.add_argument("--as", dest="kind", required=True, help="peft, lora, or merged")
    sub.add_argument("--out", required=True, help="a new folder")
    sub = verb("explain", "what a finished run has learned, and what it loses without parts of it")
    sub.add_argument("run", help="a run id")
    _add_pack(verb)
    return top


def _add_pack(verb: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """Add the verbs that carry a study out of the studio and in."""
    sub = verb("report", "the meeting pack of a study")
    sub.add_argument("study", help="a study id, or the study file that was run")
    names = ", ".join(pack_commands.FORMAT_NAMES)
    sub.add_argument("--format", default=pack_commands.ALL, help=f"all, or some of {names}")
    sub.add_argument("--out", default=".", help="the folder to write into")
    audiences = pack_commands.AUDIENCE_NAMES
    sub.add_argument("--audience", choices=audiences, default=audiences[-1])
    sub.add_argument("--sections", default="", help="these sections alone, with commas")
    sub.add_argument("--company", default="", help="a name to print on the pack")
    sub.add_argument("--logo", help="a PNG or JPEG file")
    sub.add_argument("--template", help="a PowerPoint file whose look the slides take")
    sub = verb("bundle", "a study as one file that another computer can bring in")
    sub.add_argument("study", help="a study id, or the study file that was run")
    sub.add_argument("--out", required=True, help="the file to write, such as study.zip")
    sub.add_argument("--with-data", action="store_true", help="with rows, data file and adapters")
    sub = verb("import", "bring a study in from a bundle")
    sub.add_argument("file", help="a file that `bundle` wrote")


def _add_columns(sub: argparse.ArgumentParser) -> None:
    for role, about in commands.COLUMN_OPTIONS.items():
        sub.add_argument(f"--{role.replace('_', '-')}", help=about)
    sub.add_argument("--choices", nargs="+", help="the column, or columns, with the choices")


def _add_task(sub: argparse.ArgumentParser, model_help: str) -> None:
    sub.add_argument("model", help=model_help)
    sub.add_argument("data", help="a data file")
    _add_columns(sub)
    sub.add_argument("--rows", type=int, default=300, help="training rows that score")
    sub.add_argument("--targets", nargs="+", help="ends of layers' names: query value")


def main(arguments: list[str] | None = None) -> int:
    """Carry out one verb; return the exit code."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        if os.environ.get("KASA_HUB") != "1":
            os.environ.setdefault(name, "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console without a letter is no error
            stream.reconfigure(errors="backslashreplace")
    args = parser().parse_args(arguments)
    try:
        answer: dict[str, Any] = VERBS[args.verb](args)
    except KasaError as error:
        print(error.message(args.lang), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(commands.say(args, "cli.interrupted"), file=sys.stderr)
        return 130
    if args.json:
        unicode = (sys.stdout.encoding or "").lower().replace("-", "") in {"utf8", "utf16"}
        print(json.dumps(answer, ensure_ascii=not unicode))
    return int(answer.pop("exit_code", 0))


if __name__ == "__main__":
    sys.exit(main())
