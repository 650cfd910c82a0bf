from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

from kasa.runs.process import age, alive, born


def test_the_age_of_a_process_is_the_time_since_it_was_started() -> None:
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = psutil.Process(child.pid)
        started = time.perf_counter()
        for wait in (0.0, 0.35):
            time.sleep(wait)
            before = time.perf_counter()
            found = age(process)
            # The system counts in hundredths.
            assert before - started - 0.02 <= found <= time.perf_counter() - began + 0.02
        assert alive(child.pid, born(process))
        child.communicate(b"\n")
    assert not alive(child.pid, 0.0)
    with pytest.raises(psutil.NoSuchProcess):
        psutil.Process(child.pid)
