"""Tests that wait for what happens beside them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from music_lakehouse.lakehouse.locks import LakeLock, is_wanted, lock_file


def eventually(look: Callable[[], bool], what: str, seconds: float = 15) -> None:
    """Wait until it is so; fail, saying what should be, where it isn't within the seconds."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextmanager
def lent(root: str, run_id: str) -> Iterator[None]:
    """The lake is held by a run that lends it, to the first who waits, as continuous mode does."""
    lock, ended = LakeLock(root), threading.Event()

    def lend() -> None:
        while not ended.wait(0.05):
            if is_wanted(lock_file(root)):
                lock.release()
                return

    lock.acquire(run_id, lends=True)
    lender = threading.Thread(target=lend)
    lender.start()
    try:
        yield
    finally:
        ended.set()
        lender.join()
        lock.release()
