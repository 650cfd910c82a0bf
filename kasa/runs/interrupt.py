"""How a worker hears "stop" while no step of its own asks: in imports, loading, evaluating."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from kasa.errors import KasaError
from kasa.runs.job import Job, JobCancelled

POLL_SECONDS = 0.5
# A job that asks by itself, between two steps, ends more cleanly.
OWN_SECONDS = 2.0


@contextmanager
def hearing_stop(job: Job) -> Iterator[None]:
    """Raise `JobCancelled` inside the block, wherever it is, soon after the run was asked to stop.

    Checkpoints and results are written in one step, so every moment is as good as another. Only
    a main thread can be interrupted; elsewhere the job must ask by itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    over = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if not over.is_set():
            raise JobCancelled

    before = signal.signal(signal.SIGINT, interrupt)
    threading.Thread(target=_listen, args=(job, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.signal(signal.SIGINT, before)


def _listen(job: Job, over: threading.Event) -> None:
    asked = False
    while not over.wait(POLL_SECONDS):
        if not asked:
            with suppress(KasaError):  # the database is busy: the next look will tell
                asked = job.should_stop()
            if asked and over.wait(OWN_SECONDS):
                return
        if asked:
            # Again and again: a library may swallow an exception that it does not expect.
            _thread.interrupt_main()
