"""What the launcher says, in English and Japanese, and which of the two this computer speaks.

Standard library only, in syntax that Python 3.8 parses: it is read before anything is installed.
Every error is one sentence or two: what happened, the likely cause, what to do.
"""

from __future__ import annotations

import locale
import os
import sys

TEXTS = {  # key -> (English, Japanese): what happened, the likely cause, what to do
    "wrong_python": (
        "This is Python {found}, but KaSA PoC Studio needs Python 3.11 or newer; install one from "
        "python.org and start again, for example with `python3.11 -m app` (Windows: `py -3.11 -m app`).",
        "今の Python は {found} ですが、KaSA PoC Studio には Python 3.11 以上が必要です。python.org から"
        "インストールし、`python3.11 -m app`（Windows は `py -3.11 -m app`）などで起動し直してください。",
    ),
    "no_space": (
        "There is not enough disk space: setting up needs about {need:.1f} GB and {folder} has "
        "{free:.1f} GB free; make room there (or in the temporary folder) and start again.",
        "ディスクの空きが足りません。準備に約 {need:.1f} GB 必要ですが、{folder} の空きは {free:.1f} GB "
        "です。そこ（または一時フォルダー）の空きを増やしてから、もう一度起動してください。",
    ),
    "no_venv": (
        "This Python cannot make virtual environments because its venv or ensurepip module is missing "
        "(Debian and Ubuntu package it apart); run `sudo apt install python3-venv` and start again.",
        "この Python には venv または ensurepip がなく、仮想環境を作れません（Debian と Ubuntu では別"
        "パッケージです）。`sudo apt install python3-venv` を実行してから、もう一度起動してください。",
    ),
    "no_write": (
        "Nothing can be written in {folder} ({detail}), probably because the folder belongs to somebody "
        "else or a program there is still running; close it, or copy the project to your own folder.",
        "{folder} に書き込めません（{detail}）。他の人のフォルダーか、そこのプログラムがまだ動いている"
        "ためと思われます。プログラムを閉じるか、プロジェクトを自分のフォルダーにコピーしてください。",
    ),
    "busy": (
        "Another window (process {pid}) is setting up this same folder right now; wait until it is done "
        "and start again.",
        "別のウィンドウ（プロセス {pid}）が同じフォルダーを準備中です。終わるのを待ってから、もう一度"
        "起動してください。",
    ),
    "no_network": (
        "The packages could not be downloaded because the package index did not answer; check the network "
        "and, behind a company proxy, set HTTPS_PROXY, then start again. (Details: {log})",
        "パッケージの配布元に接続できず、ダウンロードできませんでした。ネットワークを確認し、社内プロキシ"
        "がある場合は HTTPS_PROXY を設定してから、もう一度起動してください。（詳細: {log}）",
    ),
    "pip_failed": (
        "pip could not install the packages; its last lines below name the cause, the whole log is {log}, "
        "and the next start tries again.\n{lines}",
        "pip がパッケージをインストールできませんでした。原因は下の最後の数行に、全記録は {log} にあり"
        "ます。次の起動でやり直します。\n{lines}",
    ),
    "port_taken": (
        "Port {port} cannot be used: another program holds it or the system reserves it; choose another "
        "one, for example `python -m app --port {other}`.",
        "ポート {port} は使えません。別のプログラムが使用中か、システムが予約しています。"
        "`python -m app --port {other}` のように別の番号を指定してください。",
    ),
    "already_running": (
        "A studio is already running on this port: {url} (for a second one add `--port {other}`).",
        "このポートでスタジオがすでに動いています: {url} （もう一つ起動するには `--port {other}`）",
    ),
    "server_failed": (
        "The server ended before it answered (exit code {code}); the lines above name the cause, and "
        "deleting the .venv folder makes the next start set everything up afresh.",
        "サーバーが応答する前に終了しました（終了コード {code}）。原因は上の行にあります。.venv フォルダー"
        "を削除すると、次の起動で最初から準備し直します。",
    ),
    "interrupted": (
        "Stopped; a half-made installation is repaired by the next start.",
        "中断しました。途中のインストールは次の起動で修復されます。",
    ),
    "making": ("Making the environment in {folder}", "環境を作成しています: {folder}"),
    "repairing": (
        "The last installation was cut off; building it again.",
        "前回のインストールが途中で終わったため、作り直します。",
    ),
    "installing": (
        "Installing packages (the first time takes some minutes)",
        "パッケージをインストールしています（初回は数分かかります）",
    ),
    "unpacking": ("  Unpacking {count} packages", "  {count} 個のパッケージを展開しています"),
    "compiling": (
        "Preparing the packages for a quick start",
        "すばやく起動できるように準備しています",
    ),
    "installed": ("The environment is ready.", "環境の準備ができました。"),
    "open": ("Open {url}   (Ctrl-C ends the studio)", "Open {url}   （Ctrl-C で終了します）"),
    "about": (
        "Set up and open KaSA PoC Studio in the browser.",
        "KaSA PoC Studio を準備し、ブラウザーで開きます。",
    ),
    "about_test": (
        "`python -m app test [pytest options]` runs the tests.",
        "`python -m app test [pytest のオプション]` でテストを実行します。",
    ),
    "about_port": ("the port to serve on (8501)", "使うポート番号（8501）"),
    "about_no_browser": ("open no browser window", "ブラウザーを開かない"),
    "stopped": ("The studio has ended.", "スタジオを終了しました。"),
}


def language() -> str:
    """Return "ja" where the user's system speaks Japanese, else "en"."""
    if sys.platform == "win32":
        import ctypes

        primary, japanese = 0x3FF, 0x11
        spoken = ctypes.windll.kernel32.GetUserDefaultUILanguage() & primary
        return "ja" if spoken == japanese else "en"
    names = [os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG")]
    name = next((name for name in names if name), None) or locale.getlocale()[0] or ""
    return "ja" if name.lower().startswith("ja") else "en"


def text(key: str, **values: object) -> str:
    return TEXTS[key][language() == "ja"].format(**values)


class Stop(Exception):  # noqa: N818 - it ends the launcher with one of TEXTS; not every end is an error
    """End the launcher with the text `key`."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key)
        self.key, self.values = key, values


def say(key: str, **values: object) -> None:
    print(text(key, **values), flush=True)
