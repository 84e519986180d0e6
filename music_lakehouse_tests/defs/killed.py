"""Processes that end between two writes, in process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


class Killed(BaseException):
    """The process ends here."""


def killed_after(write: Callable[..., Any], counter: Iterator[int], at: int) -> Callable[..., Any]:
    """The write, after which the process ends where it is the one that the counter numbers `at`."""

    def call(*arguments: Any, **more: Any) -> Any:
        result = write(*arguments, **more)
        if next(counter) == at:
            raise Killed
        return result

    return call
