"""The launcher's environment: `.venv` with what requirements.txt names, or one clear sentence.

Standard library only. What was installed is remembered in stamp files inside `.venv`; a marker
there says that an installation began, so one that was cut off (Ctrl-C, power, kill) is found and
built again. It is done under a lock that the system frees when the launcher dies.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from app.launcher_texts import Stop, say

OLDEST_PYTHON = (3, 11)
GB = 1024**3
REQUIREMENTS = {  # kind -> (files that decide it, stamp); the development set contains the other
    "run": (("requirements.txt",), ".kasa-requirements"),
    "test": (("requirements.txt", "requirements-dev.txt"), ".kasa-requirements-dev"),
}
# pip ends when this launcher does, however it was ended: its standard input then closes.
TIED_PIP = """
import os, runpy, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
# Never imported, or one in hundreds of them: whoever imports such a module compiles it then.
SELDOM = r"[\\/](tests?|testing|pip|setuptools|networkx|phonenumbers|transformers[\\/]models)[\\/]"
NETWORK_SIGNS = re.compile(
    r"connection broken by|NewConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError"
    r"|ProxyError|Max retries exceeded|Network is unreachable|getaddrinfo failed"
)


def child_env() -> dict[str, str]:
    """Return every child's environment: UTF-8, no telemetry and, unless KASA_HUB=1, offline."""
    env = dict(
        os.environ,
        PYTHONUTF8="1",
        TOKENIZERS_PARALLELISM="false",
        HF_HUB_DISABLE_TELEMETRY="1",
        STREAMLIT_BROWSER_GATHER_USAGE_STATS="false",
    )
    if env.get("KASA_HUB") != "1":
        env.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    return env


def venv_python(root: Path) -> Path:
    return root / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def venv_version(root: Path) -> str | None:
    """Return the version of the environment's Python; None if it is absent, broken or too old."""
    code = (
        f"import pip, sys; assert sys.version_info >= {OLDEST_PYTHON};"
        "print('%d.%d.%d' % sys.version_info[:3])"
    )
    try:
        done = subprocess.run(
            [str(venv_python(root)), "-c", code],
            capture_output=True,
            text=True,
            cwd=str(root),
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def fingerprint(root: Path, kind: str, version: str) -> str:
    content = b"\0".join((root / name).read_bytes() for name in REQUIREMENTS[kind][0])
    return f"{hashlib.sha256(content).hexdigest()} python {version}\n"


def unfinished(root: Path) -> Path:
    """Return the marker that stands during an installation, and after one that was cut off."""
    return root / ".venv" / ".kasa-installing"


def is_ready(root: Path, kind: str) -> bool:
    stamp = root / ".venv" / REQUIREMENTS[kind][1]
    if unfinished(root).exists() or not stamp.is_file():
        return False
    version = venv_version(root)
    return version is not None and stamp.read_text("utf-8") == fingerprint(root, kind, version)


@contextlib.contextmanager
def setup_lock(root: Path) -> Iterator[None]:
    """Hold the folder's lock; the system frees it even when this process is killed."""
    with (root / ".kasa-setup.lock").open("a+", encoding="utf-8") as file:
        try:
            if sys.platform == "win32":
                import msvcrt

                file.seek(GB)  # a byte that nobody reads: the other launcher still reads the pid
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if sys.platform == "win32" or isinstance(error, BlockingIOError):
                file.seek(0)
                raise Stop("busy", pid=file.read().strip() or "?") from error
            # else a network drive without locks: go on without one
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def ensure(root: Path, kind: str) -> None:
    """Make `.venv` hold what `kind` requires; one short process where it already does."""
    if is_ready(root, kind):
        return
    try:
        with setup_lock(root):
            if not is_ready(root, kind):
                build(root, kind)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise no_space(root, 4.0) from error
        raise Stop("no_write", folder=root, detail=error.strerror or error) from error


def no_space(root: Path, need: float) -> Stop:
    return Stop("no_space", need=need, free=shutil.disk_usage(root).free / GB, folder=root)


def build(root: Path, kind: str) -> None:
    venv = root / ".venv"
    inside = Path(sys.prefix).resolve() == venv.resolve()
    cut_off = unfinished(root).exists()
    fresh = not inside and (cut_off or venv_version(root) is None)
    need = 1.5 if not fresh and any(venv.glob(".kasa-requirements*")) else 4.0
    if shutil.disk_usage(root).free < need * GB:
        raise no_space(root, need)
    if cut_off:
        say("repairing")
    if fresh:
        make_venv(root)
    unfinished(root).touch()
    # A running environment cannot be deleted from inside (Windows), so it is written over instead.
    install(root, REQUIREMENTS[kind][0][-1], ["--ignore-installed"] if cut_off and inside else [])
    version = venv_version(root) or ""
    for name in ("run", "test") if kind == "test" else ("run",):
        stamp = venv / REQUIREMENTS[name][1]
        stamp.write_text(fingerprint(root, name, version), "utf-8")
    unfinished(root).unlink()
    say("installed")


def make_venv(root: Path) -> None:
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        raise Stop("no_venv")
    folder = root / ".venv"
    say("making", folder=folder)
    for attempts_left in range(9, -1, -1):
        try:
            shutil.rmtree(str(folder))
        except FileNotFoundError:
            break
        except OSError:  # a scanner, or a child of a killed launcher, may hold a file for a moment
            if not attempts_left:
                raise
            time.sleep(0.5)
    folder.mkdir()
    unfinished(root).touch()
    command = [sys.executable, "-m", "venv", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip()
        raise Stop("no_venv") if "ensurepip" in lines else Stop("pip_failed", lines=lines, log="-")


def install(root: Path, requirements: str, options: list[str]) -> None:
    """Run pip with visible progress: its own on a terminal, one line a package elsewhere."""
    say("installing")
    log = root / ".venv" / "kasa-install.log"
    log.unlink(missing_ok=True)
    command = [str(venv_python(root)), "-c", TIED_PIP, "install", "--no-input", "--log", str(log)]
    # pip would compile every module on one core.
    command += ["--disable-pip-version-check", "--no-compile", *options, "-r", requirements]
    output = None if sys.stdout.isatty() else subprocess.PIPE
    pip = subprocess.Popen(
        command, cwd=str(root), env=child_env(), stdin=subprocess.PIPE, stdout=output,
        stderr=output and subprocess.STDOUT, encoding="utf-8", errors="replace",
    )  # fmt: skip
    try:
        for line in pip.stdout or ():
            show(line.strip())
        code = pip.wait()
    finally:
        end(pip)
    if code:
        content = log.read_text("utf-8", "replace") if log.exists() else ""
        if "Installing collected packages" not in content:  # it failed before it wrote a package
            unfinished(root).unlink()
        raise pip_failure(root, log, content)
    compile_modules(root)


def compile_modules(root: Path) -> None:
    """Compile what is often imported, on every core; what does not compile is not ours to judge."""
    say("compiling")
    folders = [*root.glob(".venv/lib/python*/site-packages"), *root.glob(".venv/Lib/site-packages")]
    command = [str(venv_python(root)), "-m", "compileall", "-qq", "-j", "0", "-x", SELDOM]
    command += map(str, folders)
    compiler = subprocess.Popen(
        command, env=child_env(), stdin=subprocess.DEVNULL, encoding="utf-8"
    )
    try:
        compiler.wait()
    finally:
        end(compiler)


def show(line: str) -> None:
    found = re.match(
        r"(Collecting \S+|(?:Downloading|Using cached) (?!\S+\.metadata)\S+( \(.*\))?)", line
    )
    if found:
        print("  " + found.group(1), flush=True)
    elif line.startswith("Installing collected packages:"):
        say("unpacking", count=line.count(",") + 1)


def pip_failure(root: Path, log: Path, content: str) -> Stop:
    if "No space left on device" in content or "[Errno 28]" in content:
        return no_space(root, 4.0)
    if NETWORK_SIGNS.search(content):
        return Stop("no_network", log=log)
    lines = [re.sub(r"^\S+T\S+ ", "", line) for line in content.splitlines() if line.strip()]
    errors = [line for line in lines if line.lstrip().startswith("ERROR")]
    return Stop("pip_failed", lines="\n".join((errors or lines)[-6:]), log=log)


def end(child: subprocess.Popen[str], patience: float = 0) -> None:
    """End `child`: wait `patience` seconds for it, then ask, then insist."""
    for act, seconds in ((None, patience), (child.terminate, 10), (child.kill, 10)):
        if child.poll() is None:
            if act:
                act()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(seconds)
    for pipe in (child.stdin, child.stdout):
        if pipe:
            pipe.close()
