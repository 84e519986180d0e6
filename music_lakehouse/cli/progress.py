"""Progress of long work, on stderr: a live line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from music_lakehouse.cli.console import console, note

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Shows that something goes on that can't be counted."""
    screen = console(stderr=True)
    if screen.is_terminal:
        with screen.status(f"{what} ..."):
            yield
    else:
        note(f"{what} ...")
        yield


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """Shows how much was done; the block calls what it gets with the number so far."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _lines(what)
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description} {task.completed:,.0f}, {task.fields[rate]:,.0f} a second,"),
        TimeElapsedColumn(),
    )
    started = time.monotonic()
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task(what, total=None, rate=0)

        def show(number: int) -> None:
            progress.update(task, completed=number, rate=number / max(time.monotonic() - started, 1e-9))

        yield show


def _lines(what: str) -> Callable[[int], None]:
    shown = time.monotonic()

    def show(number: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            note(f"{what} {number:,} ...")

    return show
