"""The lake's lock, as commands take it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from music_lakehouse.cli.progress import waiting

WAIT_SECONDS = 60.0
"""So long a command waits for the lake: continuous mode lends it to who waits, behind the micro-batch in hand."""


@contextmanager
def held(root: str, what: str) -> Iterator[None]:
    """The lock of the lake at `root`, for what a command does. Says who holds it where it has to be waited for, and
    raises LakeLockedError where that takes longer than a minute."""
    from music_lakehouse.lakehouse.locks import LakeLock, current_holder

    lock, holder = LakeLock(root), current_holder(root)
    if holder is None:
        lock.acquire(what, wait_seconds=WAIT_SECONDS)
    else:
        with waiting(f"Waiting for the lake, which is held by {holder}"):
            lock.acquire(what, wait_seconds=WAIT_SECONDS)
    try:
        yield
    finally:
        lock.release()
