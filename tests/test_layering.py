"""Who may import whom: `pages -> app -> kasa`, and inside kasa only rooms to the left.

The rules are read from the source with `ast` (lazy imports inside functions count too) and, for
what must stay light, proven in a fresh interpreter. The second half plants one forbidden import
after the other in a small tree, so that every rule is seen to fail.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("model", "spectral", "data", "tuning", "runs", "verdict", "report")
# Every room may use these, and they use no room.
COMMON = ("errors", "text", "checks", "dataspec", "metrics", "arms", "prices", "study")
OUTSIDE = (
    "__main__",
    "commands",
    "pack_commands",
    "task_commands",
    "worker",
    "jobs",
    "bars",
)  # they stand outside the order of the rooms
WORKERS = ("worker", "jobs")
LIGHT = (*COMMON, "data", "runs", "verdict", "report")
HEAVY = ("torch", "transformers", "streamlit")


class Import(NamedTuple):
    file: str  # "kasa/model/source.py"
    importer: str  # "kasa.model.source"
    target: str  # "torch.nn", "kasa.spectral.spectrum"
    at_start: bool  # runs when the module is imported

    def __str__(self) -> str:
        return f"{self.file} imports {self.target}"


def module_name(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str, root: Path) -> bool:
    path = root.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def targets(node: ast.Import | ast.ImportFrom, file: Path, root: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        package = file.relative_to(root).parts[: -node.level]
        base = ".".join([*package, base]) if base else ".".join(package)
    for (
        alias
    ) in node.names:  # `from kasa import study` names a module, `from kasa.study import Arm` not
        deeper = f"{base}.{alias.name}"
        yield deeper if is_module(deeper, root) or base == "kasa" else base


def lazy_nodes(tree: ast.Module) -> set[ast.AST]:
    """Return the nodes that do not run on import: inside functions and `if TYPE_CHECKING:`."""
    lazy: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            lazy.update(ast.walk(node))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for statement in node.body:
                lazy.update(ast.walk(statement))
    return lazy


def imports(root: Path, package: str) -> list[Import]:
    found = []
    for file in sorted((root / package).rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"), str(file))
        lazy = lazy_nodes(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                name, importer = file.relative_to(root).as_posix(), module_name(file, root)
                at_start = node not in lazy
                found += [Import(name, importer, t, at_start) for t in targets(node, file, root)]
    return found


def top(name: str) -> str:
    return name.partition(".")[0]


def room(name: str) -> str:
    """Return the part of kasa that `name` belongs to; "" for `import kasa` itself."""
    return name.split(".")[1] if "." in name else ""


def kasa_to_kasa(root: Path) -> list[Import]:
    return [i for i in imports(root, "kasa") if top(i.target) == "kasa"]


# -- the rules: each returns the imports that break it ------------------------------------------


def kasa_knows_no_shell(root: Path) -> list[Import]:
    return [i for i in imports(root, "kasa") if top(i.target) in {"streamlit", "app", "pages"}]


def app_knows_no_pages(root: Path) -> list[Import]:
    return [i for i in imports(root, "app") if top(i.target) == "pages"]


def rooms_look_left(root: Path) -> list[Import]:
    broken = []
    for i in kasa_to_kasa(root):
        here, there = room(i.importer), room(i.target)
        if here in ("", *OUTSIDE) or there in COMMON or there == here or there in WORKERS:
            continue  # the workers have a rule of their own
        if i.target == "kasa.__version__":
            continue
        is_left = here in ROOMS and there in ROOMS and ROOMS.index(there) < ROOMS.index(here)
        if not is_left:
            broken.append(i)
    return broken


def judges_know_no_tuning(root: Path) -> list[Import]:
    judges = ("verdict", "report")
    return [
        i for i in kasa_to_kasa(root) if room(i.importer) in judges and room(i.target) == "tuning"
    ]


def workers_are_not_imported(root: Path) -> list[Import]:
    """Only the worker and its jobs may import jobs; nobody imports the worker."""
    everywhere = [i for package in ("kasa", "app", "pages") for i in imports(root, package)]
    to_workers = [i for i in everywhere if top(i.target) == "kasa" and room(i.target) in WORKERS]
    return [
        i
        for i in to_workers
        if room(i.target) == "worker" or not i.importer.startswith(("kasa.worker", "kasa.jobs"))
    ]


def light_rooms_start_without_torch(root: Path) -> list[Import]:
    return [
        i
        for i in imports(root, "kasa")
        if i.at_start and room(i.importer) in ("", *LIGHT) and top(i.target) in HEAVY
    ]


def spectral_knows_torch_and_numpy_only(root: Path) -> list[Import]:
    # tomli_w has no dependencies and writes plan.toml, as the standard library's tomllib reads it.
    known = {"torch", "numpy", "kasa", "tomli_w", *sys.stdlib_module_names}
    in_spectral = [i for i in imports(root, "kasa") if room(i.importer) == "spectral"]
    return [i for i in in_spectral if top(i.target) not in known]


RULES = (
    kasa_knows_no_shell,
    app_knows_no_pages,
    rooms_look_left,
    judges_know_no_tuning,
    workers_are_not_imported,
    light_rooms_start_without_torch,
    spectral_knows_torch_and_numpy_only,
)


def heavy_after(modules: list[str], root: Path) -> list[str]:
    """Import `modules` in a fresh interpreter; return what the first that loads too much loads."""
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        f"    heavy = [h for h in {HEAVY} if h in sys.modules]\n"
        "    if heavy:\n"
        "        sys.exit(f'{name}: {heavy}')\n"
    )
    command = [sys.executable, "-c", code, *modules]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.stderr.splitlines()[-1:] if done.returncode else []


def light_modules(root: Path) -> list[str]:
    names = [module_name(file, root) for file in sorted((root / "kasa").rglob("*.py"))]
    return [name for name in names if room(name) in LIGHT]


# -- the project keeps them ---------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps_the_rule(rule: Callable[[Path], list[Import]]) -> None:
    assert [str(i) for i in rule(ROOT)] == []


def test_every_part_of_kasa_is_named_here() -> None:
    parts = {file.relative_to(ROOT / "kasa").parts[0] for file in (ROOT / "kasa").rglob("*.py")}
    known = {*ROOMS, *OUTSIDE, "__init__", *COMMON}
    assert {part.removesuffix(".py") for part in parts} <= known


def test_import_kasa_is_light() -> None:
    assert heavy_after(["kasa"], ROOT) == []


def test_what_the_result_pages_need_is_light() -> None:
    assert heavy_after(light_modules(ROOT), ROOT) == []


# -- and the rules can fail ---------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a small project that keeps every rule."""
    files = [
        "app/__init__.py",
        "app/main.py",
        "pages/home.py",
        "kasa/__init__.py",
        "kasa/worker.py",
    ]
    files += [f"kasa/{name}.py" for name in COMMON]
    files += [
        f"kasa/{name}/{file}.py" for name in (*ROOMS, "jobs") for file in ("__init__", "some")
    ]
    for name in files:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("", "utf-8")
    return tmp_path


def broken_rules(root: Path) -> set[str]:
    return {rule.__name__ for rule in RULES if rule(root)}


ALLOWED = [
    ("pages/home.py", "import app.main\nfrom kasa.report import some\nimport streamlit"),
    ("app/main.py", "import streamlit\nfrom kasa import study"),
    ("kasa/report/some.py", "from kasa.verdict.some import x\nfrom kasa.runs import some"),
    ("kasa/report/some.py", "from kasa import __version__"),
    ("kasa/report/some.py", "def later():\n    import torch"),
    ("kasa/data/some.py", "from . import some\nfrom ..errors import KasaError"),
    ("kasa/data/some.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
    ("kasa/tuning/some.py", "import torch, transformers, kasa.spectral.some"),
    ("kasa/spectral/some.py", "import numpy, torch.nn, math"),
    ("kasa/worker.py", "from kasa.jobs import some\nfrom kasa.report.some import x"),
]

FORBIDDEN = [
    ("kasa/study.py", "import streamlit as st", "kasa_knows_no_shell"),
    ("kasa/report/some.py", "def late():\n    from app import i18n", "kasa_knows_no_shell"),
    ("kasa/worker.py", "from pages.home import x", "kasa_knows_no_shell"),
    ("app/main.py", "def late():\n    import pages.home", "app_knows_no_pages"),
    ("kasa/model/some.py", "from kasa.spectral.some import x", "rooms_look_left"),
    ("kasa/data/some.py", "def late():\n    from kasa.runs import some", "rooms_look_left"),
    ("kasa/data/some.py", "from ..tuning import some", "rooms_look_left"),
    ("kasa/study.py", "from kasa.data.some import x", "rooms_look_left"),
    ("kasa/verdict/some.py", "import kasa", "rooms_look_left"),
    ("kasa/verdict/some.py", "from kasa.tuning.some import x", "judges_know_no_tuning"),
    ("kasa/report/some.py", "def late():\n    from kasa import tuning", "judges_know_no_tuning"),
    ("kasa/runs/some.py", "import kasa.worker", "workers_are_not_imported"),
    ("app/main.py", "from kasa import worker", "workers_are_not_imported"),
    (
        "kasa/runs/some.py",
        "def late():\n    from kasa.jobs.some import x",
        "workers_are_not_imported",
    ),
    ("kasa/jobs/some.py", "from kasa.worker import main", "workers_are_not_imported"),
    (
        "kasa/data/some.py",
        "try:\n    import torch\nexcept ImportError:\n    pass",
        "light_rooms_start_without_torch",
    ),
    ("kasa/runs/some.py", "from transformers.utils import x", "light_rooms_start_without_torch"),
    ("kasa/__init__.py", "import torch", "light_rooms_start_without_torch"),
    ("kasa/spectral/some.py", "import pandas", "spectral_knows_torch_and_numpy_only"),
]


def test_the_small_project_is_clean(tree: Path) -> None:
    assert broken_rules(tree) == set()
    assert heavy_after(["kasa", *light_modules(tree)], tree) == []


@pytest.mark.parametrize(("file", "source"), ALLOWED)
def test_allowed_imports_pass(tree: Path, file: str, source: str) -> None:
    (tree / file).write_text(source, "utf-8")
    assert broken_rules(tree) == set()


@pytest.mark.parametrize(("file", "source", "rule"), FORBIDDEN)
def test_a_forbidden_import_is_found(tree: Path, file: str, source: str, rule: str) -> None:
    (tree / file).write_text(source, "utf-8")
    assert rule in broken_rules(tree)


def test_every_rule_has_been_seen_to_fail() -> None:
    assert {rule for _, _, rule in FORBIDDEN} == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize("heavy", HEAVY)
def test_a_heavy_import_behind_two_doors_is_found(tree: Path, heavy: str) -> None:
    (tree / f"{heavy}.py").write_text("", "utf-8")
    (tree / "kasa/model/some.py").write_text(f"import {heavy}", "utf-8")
    (tree / "kasa/report/some.py").write_text("import kasa.model.some", "utf-8")
    assert heavy_after(light_modules(tree), tree) == [f"kasa.report.some: ['{heavy}']"]
