"""What `up` shows: a screen on a terminal; elsewhere a line for what happens, and now and then for how it stands."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timezone
from types import TracebackType
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from music_lakehouse.cli.console import console
from music_lakehouse.supervisor.supervisor import Standing, State

if TYPE_CHECKING:
    from music_lakehouse.cli.standing import Seen

SECONDS_BETWEEN_LINES = 30.0
LINES_KEPT = 8
MOST_CHECKS = 5
_STYLES = {State.RUNNING: "green", State.DIED: "red", State.STOPPED: "dim"}


class Screen:
    """As a context manager; `say` may be called from any thread. `places` is where each part is, by its name."""

    def __init__(self, places: Mapping[str, str], *, out: Console | None = None) -> None:
        self._out = out or console()
        self._places = places
        self._standings: Mapping[str, Standing] = {}
        self._seen: Seen | None = None
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._last_line = 0.0
        self._printing = threading.Lock()
        self._live = (
            Live(console=self._out, get_renderable=self.render, refresh_per_second=2, transient=False)
            if self._out.is_terminal
            else None
        )

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def watch(self, standings: Mapping[str, Standing]) -> None:
        """Show these from now on; they change as the parts do."""
        self._standings = standings

    def say(self, text: str) -> None:
        """Something happened."""
        line = f"{datetime.now(timezone.utc):%H:%M:%S} {text}"
        self._lines.append(line)
        if self._live is None:
            self._print(line)

    def show(self, seen: Seen) -> None:
        """How it stands now."""
        self._seen = seen
        if self._live is None and time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            for line in _facts(seen):
                self._print(f"{datetime.now(timezone.utc):%H:%M:%S} {line}")

    def render(self) -> RenderableType:
        """The whole screen."""
        parts = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("part", "state", "for", "restarts", "at"):
            parts.add_column(column, justify="right" if column in ("for", "restarts") else "left")
        for name, standing in list(self._standings.items()):
            age = _age(time.monotonic() - standing.since)
            why = f": {standing.reason}" if standing.state is State.DIED else ""
            state = Text(standing.state.value + why, style=_STYLES.get(standing.state, "yellow"))
            parts.add_row(Text(name), state, age, str(standing.restarts or ""), Text(self._places.get(name, "")))
        facts = [Text(line) for line in _facts(self._seen)] if self._seen else []
        happened = [Text(line, style="dim") for line in list(self._lines)]
        return Group(parts, *facts, Text(), *happened, Text("Ctrl-C stops everything", style="bold"))

    def _print(self, line: str) -> None:
        with self._printing:
            self._out.print(Text(line), soft_wrap=True)
            self._out.file.flush()


def _facts(seen: Seen) -> list[str]:
    rate = "" if seen.rate is None else f"{seen.rate:,.1f} events a second; "
    lag = f"{seen.unread:,} messages that raw lacks, {seen.behind:,} listens that gold lacks; {seen.streams:,} streams"
    checks = list(seen.failing[:MOST_CHECKS])
    more = len(seen.failing) - len(checks)
    told = ", ".join(checks) + (f" and {more} more" if more > 0 else "")
    return [
        f"Kafka: {seen.kafka}" if seen.kafka else f"{rate}{lag}",
        f"Last run: {seen.run or 'none yet'}",
        f"Checks not passed: {told or 'none'}",
    ]


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
