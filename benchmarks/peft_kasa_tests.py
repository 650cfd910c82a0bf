"""PEFT's own KaSA tests with the studio's removal in the place of PEFT's cut.

Fetches the source release that `requirements.txt` pins, and runs the tests whose name says KaSA twice:
as they are, and with every truncation done by `kasa.tuning.adapters.removing`.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from common import ROOT, conditions

FILES = ("test_initialization.py", "test_lora_variants.py", "test_lora_conversion.py")
PLUGIN = """
import pytest
from kasa.tuning.adapters import removing
taken = []
def count(base, rank):
    taken.append(rank)
    return rank
@pytest.fixture(autouse=True)
def ours():
    with removing(count):
        yield
def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"{len(taken)} weights cut by the studio's removal")
"""


def run(tests: Path, *extra: str) -> str:
    """Run the KaSA tests; returns pytest's last lines."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore"]
    command += ["-o", "addopts="]  # PEFT's own settings ask for plugins that are not here
    files = [str(tests / name) for name in FILES] + [str(tests / "test_custom_models.py")]
    places = [ROOT, tests.parent, tests.parent.parent / "more"]
    paths = {"PYTHONPATH": os.pathsep.join(map(str, places)), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, *extra, "-k", "kasa", *files],
        cwd=tests.parent,
        env=os.environ | paths,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return "\n".join(lines[-(2 if done.returncode == 0 else 15) :])


def main() -> None:
    """Fetch the release, run its tests twice, and print how each ended."""
    version = importlib.metadata.version("peft")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fetch = ["download", "-q", "--no-deps", "--no-binary", "peft", f"peft=={version}"]
        subprocess.run([sys.executable, "-m", "pip", *fetch, "-d", name], check=True)
        with tarfile.open(next(folder.glob("peft-*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        # What PEFT's tests import besides; nothing of it touches the studio's environment.
        more = ["diffusers", "parameterized", "importlib_metadata", "zipp", "httpx"]
        target = ["--target", str(folder / "more"), "--no-deps"]
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", *target, *more], check=True)
        tests = folder / f"peft-{version}" / "tests"
        (
            tests / "__init__.py"
        ).touch()  # the release leaves it out, and the tests import relatively
        (tests.parent / "studio_removal.py").write_text(PLUGIN, "utf-8")
        print(f"PEFT's own cut:\n{run(tests)}\n", flush=True)
        print(f"The studio's removal:\n{run(tests, '-p', 'studio_removal')}\n")
    print(conditions("torch", "peft", "pytest"))


if __name__ == "__main__":
    main()
