"""The meeting pack of a study with 12 runs: seconds and size of every format, in both languages.

The Japanese sample data, its four methods with three seeds each, through the studio's own queue; then, in a fresh
process for each language, what the command line does: gather the evidence, make every format. Bars: 15 s on two cores
for the whole pack with its imports; HTML at most 8 MB, PPTX 3 MB, PDF 2 MB, at most 10 slides and 6 pages.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from banking77 import wait_for
from common import ROOT, conditions

MADE = """
import json, sys, time
start = time.perf_counter()
from kasa.report.options import PackOptions
from kasa.report.pack import FORMATS, file_name, render
from kasa.runs.store import Store
from kasa.verdict.evidence import gather
store = Store()
spent = {"imports": time.perf_counter() - start}
def timed(name, work):
    began = time.perf_counter()
    made = work()
    spent[name] = time.perf_counter() - began
    return made
evidence = timed("gather", lambda: gather(store, store.studies()[0].id))
sizes = {}
for name in FORMATS:
    content = timed(name, lambda: render(name, evidence, PackOptions(sys.argv[1])))
    sizes[name] = len(content)
    open(file_name(name, evidence, PackOptions(sys.argv[1])), "wb").write(content)
print(json.dumps({"seconds": spent, "sizes": sizes, "runs": len(evidence.finished)}))
"""
BARS = {"html": 8e6, "pptx": 3e6, "pdf": 2e6}
WHOLE_SECONDS = 15


def studied() -> None:
    """Run the sample study with three seeds in the workspace."""
    from kasa.runs.local import ensure_dispatcher
    from kasa.runs.store import Store
    from kasa.study import Protocol, load_study

    study = load_study(ROOT / "sample_data" / "inspection_notes_ja.toml")
    protocol = Protocol("quick", seeds=(0, 1, 2), learning_rates=(1e-3,))
    store = Store()
    study_id = store.create_study(replace(study, protocol=protocol))
    store.start_study(study_id)
    wait_for(store, study_id, ensure_dispatcher)


def made(home: Path, folder: Path, lang: str) -> float:
    """Make the pack in a fresh process, print what it took, and return its seconds in all."""
    folder.mkdir()
    environment = os.environ | {"KASA_HOME": str(home), "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    answer = subprocess.run(
        [sys.executable, "-c", MADE, lang],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    whole = time.perf_counter() - began
    found = json.loads(answer.stdout.splitlines()[-1])
    for name, seconds in found["seconds"].items():
        size = found["sizes"].get(name)
        bar = f" (bar {BARS[name] / 1e6:.0f} MB)" if name in BARS else ""
        print(
            f"{lang}  {name:8} {seconds:6.2f} s" + (f"  {size / 1e6:7.3f} MB{bar}" if size else "")
        )
    print(
        f"{lang}  whole    {whole:6.2f} s (bar {WHOLE_SECONDS} s), {found['runs']} runs", flush=True
    )
    return whole


def main() -> None:
    """Run the study, make the pack in both languages, and say whether the bars hold."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        os.environ["KASA_HOME"] = str(home)
        studied()
        whole = [made(home, Path(folder) / lang, lang) for lang in ("ja", "en")]
        sizes = {
            name: max(file.stat().st_size for file in Path(folder).glob(f"*/*.{name}"))
            for name in BARS
        }
    good = max(whole) <= WHOLE_SECONDS and all(sizes[name] <= bar for name, bar in BARS.items())
    print("All bars hold." if good else "A bar is missed.")
    print(conditions("python-pptx", "XlsxWriter", "typst", "matplotlib", "plotly", "pandas"))


if __name__ == "__main__":
    main()
