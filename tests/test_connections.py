"""Asking for another computer is counted, not hindered; asking for this one is no connection."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kasa.runs.connections import is_within, outside_connections
from kasa.runs.local import Dispatcher
from kasa.runs.store import Store
from tests.small_studies import ONE_THREAD, start_small_study

ROOT = Path(__file__).resolve().parent.parent
BEGIN = """
import json, socket, sys
from contextlib import suppress
from kasa.runs.connections import outside_connections, watch
watch()
watch()
"""
END = "\nprint(json.dumps(outside_connections()))"


def counted(code: str) -> dict[str, Any]:
    command = [sys.executable, "-c", BEGIN + code + END]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


INSIDE = """
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname(), 5)
server.accept()[0].close()
client.close()
server.close()
socket.getaddrinfo("localhost", 80)
socket.getaddrinfo(None, 80)
socket.getaddrinfo("127.0.0.1", 80)
datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagram.sendto(b"x", ("127.0.0.1", 9))
datagram.close()
with suppress(OSError):
    socket.gethostbyname(socket.gethostname())
if hasattr(socket, "AF_UNIX"):
    near = socket.socket(socket.AF_UNIX)
    with suppress(OSError):
        near.connect("/no/such/socket")
    near.close()
    socket.socketpair()
"""


def test_this_computer_is_not_outside() -> None:
    assert counted(INSIDE) == {"outside_connections": 0}


@pytest.mark.parametrize(
    ("code", "hosts"),
    [
        (
            'socket.getnameinfo(("127.0.0.1", 80), 0)\nsocket.getnameinfo(("192.0.2.3", 80), 0)',
            ["192.0.2.3"],
        ),
        (
            'far = socket.socket()\nfar.settimeout(0.01)\nfar.connect(("192.0.2.1", 80))',
            ["192.0.2.1"],
        ),
        ('socket.getaddrinfo("nobody.invalid", 443)', ["nobody.invalid"]),
        ('socket.gethostbyname("nobody.invalid")', ["nobody.invalid"]),
        (
            "far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            'far.sendto(b"x", ("192.0.2.1", 9))',
            ["192.0.2.1"],
        ),
        (
            "far = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
            'far.sendto(b"x", ("2001:db8::1", 9))',
            ["2001:db8::1"],
        ),
    ],
)
def test_an_attempt_is_counted_and_goes_its_way(code: str, hosts: list[str]) -> None:
    hindered = "".join(f"    {line}\n" for line in code.splitlines())
    found = counted(f"with suppress(OSError):\n{hindered}")
    assert found == {"outside_connections": 1, "outside_hosts": hosts}


def test_what_a_library_of_pythons_own_asks_for() -> None:
    found = counted(
        "import urllib.request\n"
        "with suppress(OSError):\n"
        '    urllib.request.urlopen("http://nobody.invalid/", timeout=0.01)'
    )
    assert found["outside_hosts"] == ["nobody.invalid"]
    assert found["outside_connections"] >= 1


def test_not_watched_is_not_zero() -> None:
    assert outside_connections() == {}


@pytest.mark.parametrize(
    ("host", "within"),
    [
        (None, True),
        ("", True),
        (b"localhost", True),
        ("LOCALHOST.", True),
        ("studio.localhost", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),  # noqa: S104 - asked for, it is this computer
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        (b"huggingface.co", False),
        ("<broadcast>", False),
    ],
)
def test_what_is_within(host: object, within: bool) -> None:
    assert is_within(host) is within


def test_a_worker_watches_from_its_first_line(tmp_path: Path) -> None:
    """The hook stands before the libraries of a run are imported."""
    code = (
        "import runpy, sys\n"
        "sys.argv = ['worker', '00']\n"
        "try:\n"
        "    runpy.run_module('kasa.worker', run_name='__main__')\n"
        "except BaseException:\n"
        "    pass\n"
        "from kasa.runs import connections\n"
        "names = list(sys.modules)\n"
        "print(connections._watching, names.index('kasa.runs.connections') < names.index('psutil'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"KASA_HOME": str(tmp_path), "PATH": ""},
    )
    assert done.stdout.split() == ["True", "True"]


@pytest.mark.slow
def test_a_real_run_says_that_it_asked_for_nobody(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)
    store = Store()
    (run_id,) = start_small_study(store, tmp_path)
    dispatcher, ends = Dispatcher(store), time.monotonic() + 120
    while (store.run(run_id).active or dispatcher.children) and time.monotonic() < ends:
        dispatcher.step()
        time.sleep(0.1)
    result = store.result(run_id)
    assert result is not None
    assert result["conditions"]["outside_connections"] == 0
    assert "outside_hosts" not in result["conditions"]
    *_, began, ended = store.ledger.entries()
    assert [each.program for each in (began, ended)] == ["worker", "worker"]
    assert ended.facts["whole"]
