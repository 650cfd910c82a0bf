"""Who is alive: a process is its pid and the moment it began, since pids are used again."""

from __future__ import annotations

import sys
import time

import psutil


def born(process: psutil.Process) -> float:
    """Return the moment a process began, in seconds; setting the clock does not change it.

    Linux counts from its own start and psutil adds the clock's time of that, which moves with the
    clock; other systems keep the time that the clock showed then.
    """
    created = process.create_time()
    return created - psutil.boot_time() if sys.platform == "linux" else created


def age(process: psutil.Process) -> float:
    """Return how many seconds ago a process began, to a hundredth.

    Not the clock less psutil's time of day: Linux tells its own start in whole seconds only.
    """
    now = time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.time()
    return now - born(process)


def alive(pid: int, began: float) -> bool:
    """Say whether the very process (pid and moment) still works; a zombie does not."""
    try:
        process = psutil.Process(pid)
        same = abs(born(process) - began) < 0.005
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
