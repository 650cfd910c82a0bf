"""The launcher: its sentences, its stamps, and the repair of environments that broke half-way."""

from __future__ import annotations

import ast
import os
import re
import signal
import socket
import string
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from app import __main__ as launcher
from app import launcher_env as env
from app import launcher_texts as texts

ROOT = Path(__file__).resolve().parent.parent
FILES = [
    ROOT / "app" / f"{n}.py" for n in ("__init__", "__main__", "launcher_env", "launcher_texts")
]
posix_only = pytest.mark.skipif(os.name == "nt", reason="signals and permissions of POSIX systems")


@pytest.fixture(autouse=True)
def in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project folder whose requirements are empty, so that setting up takes seconds."""
    (tmp_path / "app").mkdir()
    for file in FILES:
        (tmp_path / "app" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "requirements.txt").write_text("# nothing\n", "utf-8")
    (tmp_path / "requirements-dev.txt").write_text("-r requirements.txt\n", "utf-8")
    return tmp_path


@pytest.fixture
def ready(project: Path) -> Path:
    """Return a project with an environment that pretends to be complete (this Python, linked)."""
    python = env.venv_python(project)
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    version = env.venv_version(project)
    assert version
    for kind, (_, stamp) in env.REQUIREMENTS.items():
        (project / ".venv" / stamp).write_text(env.fingerprint(project, kind, version), "utf-8")
    return project


# -- what it is made of -------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_python_that_users_have_can_read_it(file: Path) -> None:
    ast.parse(file.read_text("utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_only_the_standard_library_is_imported(file: Path) -> None:
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    ours = {"app.launcher_env", "app.launcher_texts"}
    assert {name.partition(".")[0] for name in names - ours} <= sys.stdlib_module_names


def fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("key", texts.TEXTS)
def test_every_sentence_exists_in_both_languages(key: str) -> None:
    english, japanese = texts.TEXTS[key]
    assert english.isascii()
    assert re.search(r"[ぁ-んァ-ヶ]", japanese)
    assert fields(english) == fields(japanese)


def test_every_sentence_is_used_and_every_used_one_exists() -> None:
    source = "".join(file.read_text("utf-8") for file in FILES)
    used = set(re.findall(r'(?:Stop|say|text)\(\s*"(\w+)"', source))
    assert used == set(texts.TEXTS)


@posix_only
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "ja_JP.eucJP"}, "ja"),
    ],
)
def test_language_follows_the_locale(
    settings: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert texts.language() == expected


def test_children_are_offline_unless_the_user_opens_the_hub(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KASA_HUB", raising=False)
    assert env.child_env()["HF_HUB_OFFLINE"] == env.child_env()["HF_DATASETS_OFFLINE"] == "1"
    monkeypatch.setenv("KASA_HUB", "1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert "HF_HUB_OFFLINE" not in env.child_env()
    assert env.child_env()["HF_HUB_DISABLE_TELEMETRY"] == "1"


# -- one clear sentence each --------------------------------------------------------------------


def test_an_old_python_gets_a_sentence(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launcher.main([], project, (3, 10, 4)) == 1
    assert "This is Python 3.10.4, but KaSA PoC Studio needs Python 3.11" in capsys.readouterr().err
    if os.name != "nt":
        monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
        assert launcher.main(["test"], project, (3, 9)) == 1
        assert "Python 3.11 以上が必要です" in capsys.readouterr().err
    assert not (project / ".venv").exists()


def test_a_taken_port_is_named_with_another(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        held.settimeout(10)
        port = held.getsockname()[1]
        threading.Thread(target=answer_rubbish, args=(held,), daemon=True).start()
        assert launcher.main(["--port", str(port), "--no-browser"], project) == 1
    assert f"--port {port + 1 if port < 65535 else port - 1}" in capsys.readouterr().err
    assert not (project / ".venv").exists()


def answer_rubbish(held: socket.socket) -> None:
    connection, _ = held.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(b"SSH-2.0-not a web server\r\n")


class HealthHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/_stcore/health" else 404)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


def test_a_running_studio_is_recognised(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with HTTPServer(("127.0.0.1", 0), HealthHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        port = server.server_port
        assert launcher.main(["--port", str(port), "--no-browser"], project) == 0
        server.shutdown()
        thread.join()
    assert f"already running on this port: http://127.0.0.1:{port}" in capsys.readouterr().out


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "1.5"])
def test_a_wrong_port_is_refused(
    project: Path, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        launcher.main([f"--port={port}"], project)
    assert "from 1 to 65535" in capsys.readouterr().err


def test_a_full_disk_is_noticed_before_installing(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = env.GB

    monkeypatch.setattr(env.shutil, "disk_usage", lambda _: Usage)
    assert launcher.main(["test"], project) == 1
    assert "needs about 4.0 GB" in capsys.readouterr().err
    assert not (project / ".venv").exists()


def test_a_python_without_venv_is_named(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env.importlib.util, "find_spec", lambda _: None)
    assert launcher.main(["test"], project) == 1
    assert "python3-venv" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".kasa-setup.lock").mkdir()  # root may write anywhere, but never into this
    assert launcher.main(["test"], project) == 1
    assert "Nothing can be written in" in capsys.readouterr().err


def test_two_launchers_do_not_install_at_once(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with env.setup_lock(project):
        assert launcher.main(["test"], project) == 1
    assert f"(process {os.getpid()}) is setting up" in capsys.readouterr().err
    with env.setup_lock(project):  # freed again
        pass


# -- stamps -------------------------------------------------------------------------------------


@posix_only
def test_a_stamp_means_nothing_to_do(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    env.ensure(ready, "run")
    env.ensure(ready, "test")
    assert capsys.readouterr().out == ""
    assert not (ready / ".kasa-setup.lock").exists()


@posix_only
@pytest.mark.parametrize(
    ("changed", "run", "test"),
    [("requirements.txt", False, False), ("requirements-dev.txt", True, False)],
)
def test_a_changed_pin_makes_a_stamp_stale(
    ready: Path, changed: str, run: bool, test: bool
) -> None:
    with (ready / changed).open("a", encoding="utf-8") as file:
        file.write("six==1.16.0\n")
    assert (env.is_ready(ready, "run"), env.is_ready(ready, "test")) == (run, test)


@posix_only
def test_a_cut_off_installation_is_not_ready(ready: Path) -> None:
    env.unfinished(ready).touch()
    assert not env.is_ready(ready, "run")


@posix_only
def test_an_environment_whose_python_is_gone_is_not_ready(ready: Path) -> None:
    env.venv_python(ready).unlink()
    env.venv_python(ready).symlink_to(ready / "gone")
    assert env.venv_version(ready) is None
    assert not env.is_ready(ready, "run")


def test_another_python_makes_a_stamp_stale(project: Path) -> None:
    assert env.fingerprint(project, "run", "3.11.7") != env.fingerprint(project, "run", "3.12.1")


# -- pip's failures, told from its log ----------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "key"),
    [
        ("2026-01-01T00:00:00,1 OSError: [Errno 28] No space left on device", "no_space"),
        ("WARNING: Retrying after connection broken by 'ProxyError(...)'", "no_network"),
        ("2026-01-01T00:00:00,1 ERROR: No matching distribution found for torch==9", "pip_failed"),
    ],
)
def test_the_log_tells_the_cause(log: str, key: str, project: Path) -> None:
    stop = env.pip_failure(project, project / "pip.log", log)
    assert stop.key == key
    assert "2026" not in texts.text(stop.key, **stop.values)


# -- for real, with tiny requirements -----------------------------------------------------------


def start(project: Path, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "app", *arguments],
        cwd=project,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def outcome(project: Path, *arguments: str, **settings: str) -> tuple[int, str]:
    process = start(project, *arguments, **settings)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


@pytest.mark.slow
def test_a_half_made_environment_is_repaired(project: Path) -> None:
    folder = project / ".venv"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "rest").touch()
    env.unfinished(project).touch()
    code, output = outcome(project, "test", "--version")
    assert (
        "No module named pytest" in output
    )  # set up to the end; empty requirements hold no pytest
    assert code == 1
    assert "was cut off" in output
    assert "The environment is ready." in output
    assert not (folder / "lib" / "rest").exists()
    assert env.is_ready(project, "run")
    assert env.is_ready(project, "test")
    # and pip's own failure with no network leaves an environment that the next start completes
    (project / "requirements-dev.txt").write_text("six==1.16.0\n", "utf-8")
    code, output = outcome(project, "test", "--version", **unreachable_index())
    assert code == 1
    assert "the package index did not answer" in output
    assert not env.unfinished(project).exists()
    assert not env.is_ready(project, "test")
    assert env.is_ready(project, "run")


def unreachable_index() -> dict[str, str]:
    return {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "PIP_RETRIES": "1",
        "PIP_DEFAULT_TIMEOUT": "2",
    }


@pytest.mark.slow
@posix_only
def test_pip_dies_with_a_killed_launcher_and_the_next_start_repairs(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never answers: pip waits
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        settings = {**unreachable_index(), "PIP_INDEX_URL": index, "PIP_DEFAULT_TIMEOUT": "60"}
        (project / "requirements.txt").write_text("six==1.16.0\n", "utf-8")
        process = start(project, "--no-browser", "--port", str(free_port()), **settings)
        connection, _ = silent.accept()
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        connection.settimeout(10)
        while connection.recv(4096):  # ends when pip has closed its side, that is, died
            pass
        connection.close()
    assert env.unfinished(project).exists()
    (project / "requirements.txt").write_text("", "utf-8")
    _, output = outcome(project, "test", "--version")
    assert "was cut off" in output
    assert env.is_ready(project, "test")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@posix_only
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_to_the_launcher_ends_the_server(ready: Path, number: int, code: int) -> None:
    fake_streamlit(ready)
    port = free_port()
    process = start(ready, "--no-browser", "--port", str(port))
    assert process.stdout
    assert f"Open http://127.0.0.1:{port}" in process.stdout.readline()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == code
    deadline = time.monotonic() + 5
    while not launcher.port_is_free(port):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def fake_streamlit(project: Path) -> None:
    """Put a stand-in beside the project that answers like Streamlit's health page, in no time."""
    (project / "streamlit.py").write_text(
        "import sys\n"
        "from http.server import BaseHTTPRequestHandler, HTTPServer\n"
        "class Health(BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "        self.wfile.write(b'ok')\n"
        "    def log_message(self, *_):\n"
        "        pass\n"
        "port = int(sys.argv[sys.argv.index('--server.port') + 1])\n"
        "HTTPServer(('127.0.0.1', port), Health).serve_forever()\n",
        "utf-8",
    )
