"""Tests that wait for what happens beside them."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(look: Callable[[], bool], what: str, seconds: float = 15) -> None:
    """Wait until it is so; fail, saying what should be, where it isn't within the seconds."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
