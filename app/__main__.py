"""Set up and open KaSA PoC Studio: `python -m app`; run its tests: `python -m app test`.

Only the standard library, in syntax that Python 3.8 parses, so that a Python that is too old gets
one clear sentence.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from pathlib import Path

from app.launcher_env import OLDEST_PYTHON, child_env, end, ensure, venv_python
from app.launcher_texts import Stop, say, text

ROOT = Path(__file__).resolve().parent.parent
LAST_PORT = 65535


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        if os.name != "nt":  # waive closed connections; on Windows it would allow a second server
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def answers(url: str) -> bool:
    """Ask a Streamlit server at `url` for its health, past any proxy."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url + "/_stcore/health", timeout=2) as reply:
            return bool(reply.read(16).strip() == b"ok")
    except (OSError, http.client.HTTPException):
        return False


def show_in_browser(url: str) -> None:
    # Without a screen, webbrowser would give this terminal to a text browser.
    has_screen = os.name == "nt" or sys.platform == "darwin"
    if has_screen or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        with contextlib.suppress(webbrowser.Error, OSError):
            webbrowser.open(url)


def refuse_taken_port(port: int, browser: bool) -> bool:
    """Return True where a studio already answers on `port`; stop where something else holds it."""
    if port_is_free(port):
        return False
    url = f"http://127.0.0.1:{port}"
    other = port + 1 if port < LAST_PORT else port - 1
    if not answers(url):
        raise Stop("port_taken", port=port, other=other)
    say("already_running", url=url, other=other)
    if browser:
        show_in_browser(url)
    return True


def serve(root: Path, port: int, browser: bool) -> int:
    """Run the studio until it ends or Ctrl-C; return its exit code."""
    if refuse_taken_port(port, browser):  # before an installation of minutes, and again after it
        return 0
    ensure(root, "run")
    if refuse_taken_port(port, browser):
        return 0
    url = f"http://127.0.0.1:{port}"
    command = [str(venv_python(root)), "-m", "streamlit", "run", "app/main.py"]
    command += ["--server.port", str(port), "--server.address", "127.0.0.1"]
    command += ["--server.headless", "true"]
    server = subprocess.Popen(
        command, cwd=str(root), env=child_env(), stdin=subprocess.DEVNULL, encoding="utf-8"
    )
    try:
        while not answers(url):
            if server.poll() is not None:
                raise Stop("server_failed", code=server.returncode)
            time.sleep(0.2)
        say("open", url=url)
        if browser:
            show_in_browser(url)
        return server.wait()
    except KeyboardInterrupt:
        end(server, patience=5)  # Ctrl-C reached it as well
        say("stopped")
        return 0
    finally:
        end(server)


def run_tests(root: Path, arguments: list[str]) -> int:
    ensure(root, "test")
    # Files go to two processes; `-n 0` and any other option of pytest can be given after these.
    side_by_side = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    command = [str(venv_python(root)), "-m", "pytest", *side_by_side, *arguments]
    tests = subprocess.Popen(command, cwd=str(root), env=child_env(), encoding="utf-8")
    try:
        return tests.wait()
    except KeyboardInterrupt:
        end(tests, patience=30)  # pytest got it too and still sums up
        return 130
    finally:
        end(tests)


def port_number(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= LAST_PORT:
        raise argparse.ArgumentTypeError(f"got {value}, wanted a number from 1 to {LAST_PORT}")
    return int(value)


def leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def check_python(version: tuple[int, ...]) -> None:
    if version < OLDEST_PYTHON:
        raise Stop("wrong_python", found=".".join(map(str, version)))


def main(
    argv: list[str], root: Path = ROOT, version: tuple[int, ...] = sys.version_info[:3]
) -> int:
    """Run the command in `argv` and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m app", description=text("about"), epilog=text("about_test")
    )
    parser.add_argument("--port", type=port_number, default=8501, help=text("about_port"))
    parser.add_argument("--no-browser", action="store_true", help=text("about_no_browser"))
    try:
        check_python(version)
        if argv[:1] == ["test"]:
            return run_tests(root, argv[1:])
        options = parser.parse_args(argv)
        return serve(root, options.port, not options.no_browser)
    except Stop as stop:
        print("\n" + text(stop.key, **stop.values), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n" + text("interrupted"), file=sys.stderr)
        return 130


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console without Japanese letters is no error
            stream.reconfigure(errors="replace")
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores
            signal.signal(number, leave)
    sys.exit(main(sys.argv[1:]))
