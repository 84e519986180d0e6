"""Parts that are kept running together: started in order, restarted where they die, stopped in reverse order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Protocol

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
SECONDS_BETWEEN_LOOKS = 0.5


class Part(Protocol):
    """What is kept running. `start` returns once it is well, or raises; `stop` leaves nothing of it, and is harmless
    where it doesn't run; both may be called again."""

    @property
    def name(self) -> str: ...

    @property
    def ending(self) -> str:
        """How it ended, in a few words; empty where that isn't known."""

    def start(self) -> None: ...

    def is_well(self) -> bool: ...

    def stop(self) -> None: ...


class State(Enum):
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    DIED = "died"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass
class Standing:
    """How a part is: its state, since when (`time.monotonic`), how often it was started again, and why it was last."""

    name: str
    state: State = State.WAITING
    since: float = field(default_factory=time.monotonic)
    restarts: int = 0
    reason: str = ""


class Supervisor:
    """Keeps the parts running. As a context manager: all are well inside, and stopped after it.

    A part that dies is stopped whole, so that nothing of it is left, and started again: after a second, and twice as
    long each time that it doesn't last for `longest_wait` seconds, up to that. `say` is told of what happens, from any
    thread. Others go on meanwhile.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        say: Callable[[str], None],
        *,
        first_wait: float = FIRST_WAIT_SECONDS,
        longest_wait: float = LONGEST_WAIT_SECONDS,
    ) -> None:
        self._parts = list(parts)
        self._say = say
        self._first_wait, self._longest_wait = first_wait, longest_wait
        self._stopping = threading.Event()
        self._watchers: list[threading.Thread] = []
        self.standings = {part.name: Standing(part.name) for part in parts}

    def __enter__(self) -> Supervisor:
        """Start the parts, one after the other. Raises what a part's start raises; those before it are stopped then."""
        try:
            for part in self._parts:
                self._start(part)
        except BaseException:
            self._stop()
            raise
        self._watchers = [threading.Thread(target=self._watch, args=[part], name=part.name) for part in self._parts]
        for watcher in self._watchers:
            watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self, part: Part) -> None:
        self._set(part, State.STARTING)
        part.start()
        self._set(part, State.RUNNING)
        self._say(f"{part.name} is up")

    def _watch(self, part: Part) -> None:
        wait = self._first_wait
        standing = self.standings[part.name]
        while not self._stopping.wait(SECONDS_BETWEEN_LOOKS):
            if standing.state is State.RUNNING and part.is_well():
                continue
            if standing.state is State.RUNNING:
                lasted = time.monotonic() - standing.since
                wait = self._first_wait if lasted >= self._longest_wait else wait
                self._died(part, part.ending or "ended", wait)
            part.stop()
            if self._stopping.wait(wait):
                return
            wait = min(2 * wait, self._longest_wait)
            standing.restarts += 1
            try:
                self._start(part)
            except Exception as error:
                # Whatever it is: said, and tried again later.
                if not self._stopping.is_set():
                    self._died(part, str(error), wait)

    def _died(self, part: Part, reason: str, wait: float) -> None:
        self.standings[part.name].reason = reason
        self._set(part, State.DIED)
        self._say(f"{part.name} {reason}: it is started again in {wait:.0f} s")

    def _stop(self) -> None:
        self._stopping.set()
        for part in reversed(self._parts):
            if self.standings[part.name].state is State.WAITING:
                continue
            self._set(part, State.STOPPING)
            self._say(f"Stopping {part.name} ...")
            part.stop()
            for watcher in self._watchers:
                if watcher.name == part.name:
                    watcher.join()
                    # It may have started it just before.
                    part.stop()
            self._set(part, State.STOPPED)

    def _set(self, part: Part, state: State) -> None:
        standing = self.standings[part.name]
        standing.state, standing.since = state, time.monotonic()
