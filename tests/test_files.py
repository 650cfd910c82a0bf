"""Writes that happen in one step, names from outside made harmless, and a workspace to write in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasa.errors import StoreError
from kasa.runs.files import read_json, safe_name, workspace, write_bytes, write_json

ROOT = Path(__file__).resolve().parent.parent
# A process that is killed when the new content lies on the disk but not yet under its name.
KILLED_IN_MID_WRITE = """
import os, signal, sys
from pathlib import Path
from kasa.runs.files import write_bytes
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
write_bytes(Path(sys.argv[1]), b"new")
"""
KASA_HOME = "KASA_HOME"


# -- atomic writes ------------------------------------------------------------------------------


def test_json_comes_back(tmp_path: Path) -> None:
    value = {"名前": ["異音", 1, 2.5, None, True]}
    write_json(tmp_path / "new" / "folder" / "a.json", value)
    assert read_json(tmp_path / "new" / "folder" / "a.json") == value
    assert "異音" in (tmp_path / "new" / "folder" / "a.json").read_text("utf-8")


def test_a_missing_file_is_none_and_a_damaged_one_an_error(tmp_path: Path) -> None:
    assert read_json(tmp_path / "a.json") is None
    for content in (b'{"half": ', b"", b"\xff\xfe"):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(StoreError) as caught:
            read_json(tmp_path / "a.json")
        assert caught.value.code == "file_damaged"
        assert "a.json" in caught.value.message("ja")


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_bytes(path, b"old")
    with pytest.raises(TypeError):
        write_bytes(path, "text is not bytes")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        write_json(path, {"no": object()})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_taken_by_a_folder_leaves_no_rest(tmp_path: Path) -> None:
    (tmp_path / "a.json" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"a\.json"):
        write_bytes(tmp_path / "a.json", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows cannot kill in mid-write")
def test_a_process_killed_in_mid_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_bytes(path, b"old")
    command = [sys.executable, "-c", KILLED_IN_MID_WRITE, str(path)]
    done = subprocess.run(command, cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    write_bytes(path, b"newer")
    assert path.read_bytes() == b"newer"


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    versions = [{"version": version, "rest": str(version) * 50_000} for version in range(10)]
    write_json(path, versions[0])
    written = threading.Event()

    def write() -> None:
        for version in versions:
            write_json(path, version)
        written.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while not written.is_set() or seen == 0:
        found = json.loads(path.read_text("utf-8"))
        assert found == versions[found["version"]]
        seen += 1
    writer.join()
    assert read_json(path) == versions[-1]


# -- names from outside -------------------------------------------------------------------------

HOSTILE_NAMES = [
    ("notes.csv", "notes.csv"),
    ("検査 記録（最終版）.xlsx", "検査 記録（最終版）.xlsx"),
    ("../../etc/passwd", "passwd"),
    (r"..\..\windows\system32\x.csv", "x.csv"),
    (r"\\server\share\x.csv", "x.csv"),
    ("//server/share/x.csv", "x.csv"),
    ("/absolute/x.csv", "x.csv"),
    (r"C:\Users\me\x.csv", "x.csv"),
    ("C:x.csv", "C_x.csv"),
    ("x.csv:stream", "x.csv_stream"),
    ("a\x00b\nc\x7f.csv", "a_b_c_.csv"),
    ('<a>|"b"?*.csv', "_a___b___.csv"),
    ("\u202evsc.exe", "_vsc.exe"),  # shown as exe.csv
    ("half \ud83d.csv", "half _.csv"),
    (" .hidden. ", "hidden"),
    ("x.csv. . .", "x.csv"),
    ("CON", "_CON"),
    ("nul.csv", "_nul.csv"),
    ("com1.tar.gz", "_com1.tar.gz"),
    ("console.csv", "console.csv"),
    ("", "upload"),
    ("..", "upload"),
    ("../", "upload"),
    ("...", "upload"),
    ("folder/", "upload"),
]


@pytest.mark.parametrize(("name", "safe"), HOSTILE_NAMES)
def test_a_hostile_name_becomes_harmless(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize("letter", ["x", "あ", "🔧"])
def test_a_long_name_keeps_its_ending_and_fits_on_a_disk(tmp_path: Path, letter: str) -> None:
    name = safe_name(letter * 300 + ".csv")
    assert name.endswith(letter * 40 + ".csv")
    write_bytes(tmp_path / name, b"content")
    assert (tmp_path / name).read_bytes() == b"content"


@given(st.text(st.characters()) | st.text('../\\:*"<>| \x00cCoOnN', max_size=12))
def test_any_name_is_one_plain_file_name(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert safe == safe.strip(". ")
    assert not set(safe) & set('/\\:*?"<>|\x00\n')
    assert len(safe.encode()) <= 250
    assert len(safe) <= 121
    assert Path(safe).name == safe
    assert safe_name(safe) == safe


# -- the workspace ------------------------------------------------------------------------------


def test_the_workspace_is_made_where_it_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KASA_HOME, str(tmp_path / "deep" / "workspace"))
    assert workspace() == (tmp_path / "deep" / "workspace").resolve()
    assert list(workspace().iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_DATA_HOME is Linux' way to say where")
def test_without_a_choice_the_workspace_is_in_the_users_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KASA_HOME, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert workspace() == tmp_path.resolve() / "kasa-poc-studio"


def test_a_workspace_that_cannot_be_written_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv(KASA_HOME, str(place))
        with pytest.raises(StoreError) as caught:
            workspace()
        assert caught.value.code == "workspace_not_writable"
        assert str(place) in str(caught.value)
        assert KASA_HOME in caught.value.message("ja")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody can write in")
def test_a_read_only_workspace_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KASA_HOME, "/proc/self")  # a folder that refuses even root
    with pytest.raises(StoreError) as caught:
        workspace()
    assert caught.value.code == "workspace_not_writable"
