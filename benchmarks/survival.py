"""Runs killed (-9) at random moments: none lost, none counted twice, and each ends as if undisturbed.

A tiny BERT with dropout is tuned with KaSA and LoRA on the CPU in fp32, first undisturbed, then again
and again while one process after the other is killed: the worker, the studio's server, the dispatcher,
or several at once; half of them at any moment, half while they train. What a person would do follows:
the server is started again, a page is opened, and a run that was interrupted is started again. Every
result is held against that of the undisturbed run.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from common import ROOT, conditions
from safetensors.torch import load_file
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from torch import Tensor
from websockets.sync.client import connect

from kasa.runs.process import alive
from kasa.runs.records import FinishedRun, RunRecord
from kasa.runs.store import Store
from kasa.study import Arm, Protocol
from tests.small_studies import NOTES, ONE_THREAD, small_study
from tests.tiny_models import run_folder, write_tiny_bert

KINDS = {
    "worker": ("worker",),
    "server": ("server",),
    "worker and server": ("worker", "server"),
    "dispatcher": ("dispatcher",),
    "all three": ("dispatcher", "worker", "server"),
}
ARMS = (Arm("kasa", rank=4), Arm("lora", rank=4))
PATIENCE_SECONDS = 600.0
TOLERANCE = 1e-6
Results = dict[tuple[str, int], FinishedRun]  # by arm and seed


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], step: Callable[[], object] = lambda: None) -> None:
    """Wait for a condition, with a step in between."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("It did not happen in time.")
        step()
        time.sleep(0.1)


@dataclass
class Server:
    """The studio's server on a workspace, and the page that somebody opens in it."""

    home: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "streamlit", "run", "app/main.py"]
        command += ["--server.port", str(self.port), "--server.headless", "true"]
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        wait_until(self._answers)

    def _answers(self) -> bool:
        health = f"http://127.0.0.1:{self.port}/_stcore/health"
        with suppress(OSError), urllib.request.urlopen(health, timeout=2) as reply:
            return bool(reply.status == 200)
        return False

    def open_page(self) -> None:
        """Draw the studio's first page once, as a browser does; it looks after the queue."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        address = f"ws://127.0.0.1:{self.port}/_stcore/stream"
        with connect(address, subprotocols=["streamlit"], max_size=None) as page:
            page.send(BackMsg(rerun_script={"query_string": "lang=en"}).SerializeToString())
            while True:
                message = ForwardMsg.FromString(page.recv(timeout=60))
                if message.WhichOneof("type") == "script_finished":
                    return

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Survival:
    """One workspace, its server, and what was killed when."""

    def __init__(self, home: Path, seeds: int, seed: int) -> None:
        """Make the workspace with a tiny model, fp32 chosen for it."""
        run_folder(home, "none")
        self.store = Store(home)
        self.server = Server(home)
        self.random = random.Random(seed)
        texts = [
            f"{note} {row} in hall" for kind in NOTES.values() for note in kind for row in range(30)
        ]
        model = write_tiny_bert(home / "model", texts, hidden_dropout_prob=0.1)
        protocol = Protocol(
            "quick",
            epochs=6,
            learning_rates=(1e-3, 2e-2),
            batch_size=8,
            max_length=32,
            seeds=tuple(range(seeds)),
        )
        self.study = replace(small_study(home, ARMS, protocol), model=str(model.folder))
        self.kinds: dict[str, str] = {}

    def look_after(self) -> None:
        """Do what a person does: open the page where nothing answers, start interrupted runs again."""
        for run_id in self.kinds:
            if self.store.run(run_id).status in {"failed", "lost"}:
                self.store.retry(run_id)
        place = self.dispatcher()
        if place is None or not alive(*place):
            self.server.open_page()

    def dispatcher(self) -> tuple[int, float] | None:
        """Return the dispatcher's process as the workspace knows it."""
        with self.store.connect() as db:
            row = db.execute("SELECT pid, pid_created FROM dispatcher").fetchone()
        return None if row is None else (row["pid"], row["pid_created"])

    def start(self) -> list[RunRecord]:
        """Start the study once more, from the page."""
        runs = self.store.start_study(self.store.create_study(self.study))
        self.server.open_page()
        return runs

    def undisturbed(self) -> Results:
        """Return the results of runs that nobody disturbs, by arm and seed."""
        runs = self.start()
        wait_until(lambda: self._all_finished(runs), self.look_after)
        return {(r.arm, r.seed): r for r in self.store.finished_runs(str(runs[0].study_id))}

    def seconds(self, run: FinishedRun) -> float:
        """Return how long a run's process worked."""
        return self.store.run(run.id).seconds or 0.0

    def round(self, kinds: list[str], wanted: Results) -> str:
        """Carry the study out once, each run killed once while there are kinds left."""
        runs = self.start()
        while kinds:
            wait_until(lambda: self._untouched(runs) or self._all_finished(runs), self.look_after)
            run = self._untouched(runs)
            if run is None:
                break
            self._kill(run, kinds, wanted[str(run.arm), int(run.seed or 0)])
        wait_until(lambda: self._all_finished(runs), self.look_after)
        return str(runs[0].study_id)

    def _all_finished(self, runs: list[RunRecord]) -> bool:
        return all(self.store.run(run.id).status == "finished" for run in runs)

    def _untouched(self, runs: list[RunRecord]) -> RunRecord | None:
        now = [self.store.run(run.id) for run in runs if run.id not in self.kinds]
        return next(
            (run for run in now if run.status == "running" and self.store.process(run.id)), None
        )

    def _kill(self, run: RunRecord, kinds: list[str], wanted: FinishedRun) -> None:
        if self.random.random() < 0.5:  # starting takes longer than training here
            wait_until(lambda: self._trains(run.id) or not self.store.run(run.id).active)
            time.sleep(self.random.uniform(0.0, sum(t["train_seconds"] for t in wanted.trials)))
        else:
            time.sleep(self.random.uniform(0.0, self.seconds(wanted)))
        worker, dispatcher = self.store.process(run.id), self.dispatcher()
        if not self.store.run(run.id).active or worker is None:
            return  # it was too quick; another one is killed in its place
        kind = kinds.pop()
        self.kinds[run.id] = kind
        places = {"worker": worker, "dispatcher": dispatcher}
        for name in KINDS[kind]:
            place = places.get(name)
            if name == "server":
                self.server.kill()
            elif place is not None and alive(*place):
                os.kill(place[0], signal.SIGKILL)

    def _trains(self, run_id: str) -> bool:
        return any("loss" in event for event in self.store.events(run_id))

    def close(self) -> None:
        """End the server and the dispatcher."""
        self.server.kill()
        place = self.dispatcher()
        if place is not None and alive(*place):
            os.kill(place[0], signal.SIGKILL)


def weights(run: FinishedRun, store: Store) -> dict[str, Tensor]:
    """Return the tuned weights that a run left."""
    folder = store.run_folder(run.id)
    adapter = load_file(folder / "adapter" / "adapter_model.safetensors")
    return adapter | load_file(folder / "head.safetensors")


def difference(run: FinishedRun, wanted: FinishedRun, store: Store) -> float:
    """Return the largest absolute difference of metrics, probabilities and tuned weights."""
    pairs = [(run.metrics[name], value) for name, value in wanted.metrics.items()]
    pairs += [(run.validation[name], value) for name, value in wanted.validation.items()]
    pairs += zip(run.predictions["confidence"], wanted.predictions["confidence"], strict=True)
    tuned, expected = weights(run, store), weights(wanted, store)
    gaps = [float((tuned[name] - expected[name]).abs().max()) for name in expected]
    same = list(run.predictions["predicted"]) == list(wanted.predictions["predicted"])
    return max(*(abs(a - b) for a, b in pairs), *gaps) if same else float("inf")


def pieces(run: FinishedRun, store: Store) -> int:
    """Return how many processes worked on a run."""
    return sum(event.get("phase") == "prepare" for event in store.events(run.id))


def table(survival: Survival, studies: list[str], wanted: Results) -> bool:
    """Print a row for each kind of kill; True where every run came through."""
    store = survival.store
    runs = [run for study_id in studies for run in store.runs(study_id)]
    done = [run for study_id in studies for run in store.finished_runs(study_id)]
    print("| killed | runs | worked on | from a checkpoint | from the start | largest difference |")
    print("|---|---|---|---|---|---|")
    worst = 0.0
    for kind in KINDS:
        chosen = [run for run in done if survival.kinds.get(run.id) == kind]
        whole = sum(pieces(run, store) == 1 for run in chosen)
        resumed = sum(run.conditions["resumed"] > 0 for run in chosen)
        gaps = [difference(run, wanted[run.arm, run.seed], store) for run in chosen]
        worst = max([worst, *gaps])
        print(
            f"| {kind} | {len(chosen)} | {whole} | {resumed} | {len(chosen) - whole - resumed} |"
            f" {max(gaps, default=0.0):.1e} |"
        )
    lost = sum(run.status != "finished" for run in runs)
    twice = len(done) - len({(s, r.arm, r.seed) for s in studies for r in store.finished_runs(s)})
    print(f"Killed: {len(survival.kinds)}. Lost: {lost}. Counted twice: {twice}.")
    print(f"Largest difference from the undisturbed runs: {worst:.1e}.")
    return lost == 0 and twice == 0 and len(done) == len(runs) and worst <= TOLERANCE


def main() -> int:
    """Print the table; the exit code says whether every run came through."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50, help="how many runs are killed")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of the study that is repeated")
    parser.add_argument("--seed", type=int, default=0, help="decides the moments")
    options = parser.parse_args()
    os.environ.update(ONE_THREAD)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        os.environ["KASA_HOME"] = name
        survival = Survival(Path(name), options.seeds, options.seed)
        try:
            wanted = survival.undisturbed()
            seconds = statistics.median(survival.seconds(run) for run in wanted.values())
            print(f"{len(wanted)} undisturbed runs, {seconds:.1f} s each.", flush=True)
            kinds = [list(KINDS)[number % len(KINDS)] for number in range(options.runs)]
            survival.random.shuffle(kinds)
            studies = []
            while kinds:
                studies.append(survival.round(kinds, wanted))
                print(f"Still to be killed: {len(kinds)}.", flush=True)
            well = table(survival, studies, wanted)
        finally:
            survival.close()
    print(f"{time.perf_counter() - started:.0f} s in all.")
    print(conditions("torch", "transformers", "peft", "safetensors"))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
