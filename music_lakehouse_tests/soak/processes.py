"""Which of the processes below `up` is which of its parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from music_lakehouse_tests.end_to_end.running import SERVER

UP, SPARK, KAFKA, WEBSERVER, DAEMON, CODE, RUN, METRICS, DASHBOARD, OTHER = (
    *("up", "Spark's server", "Kafka", "Dagster's webserver", "Dagster's daemon", "code server", "run"),
    *("/metrics", "dashboard", "keepers and others"),
)
# The first that is found among a command's words says which part it is.
_WORDS = (
    ("music_lakehouse.supervisor.keeper", OTHER),
    (SERVER, SPARK),
    ("kafka.Kafka", KAFKA),
    ("dagster_webserver", WEBSERVER),
    ("dagster._daemon", DAEMON),
    ("streamlit", DASHBOARD),
    ("--serve", METRICS),
    ("grpc", CODE),
    ("up", UP),
)

_FORKS = "from multiprocessing.forkserver import main"


@dataclass(frozen=True)
class Found:
    """A process of a part, and the memory that it holds, in bytes (resident set size)."""

    part: str
    pid: int
    memory: int


def part_of(command: Sequence[str], parent: Sequence[str] = ()) -> str:
    """The part that a command line is of. A run's process is forked from one that waits, and has its command line."""
    if any(word.startswith(_FORKS) for word in command):
        return RUN if parent == command else OTHER
    return next((part for word, part in _WORDS if word in command), OTHER)


def look(processes: Iterable[psutil.Process]) -> Iterator[Found]:
    """Those of the processes that still live."""
    for process in processes:
        with suppress(psutil.Error):
            parent = process.parent()
            command_of_parent = [] if parent is None else parent.cmdline()
            yield Found(part_of(process.cmdline(), command_of_parent), process.pid, process.memory_info().rss)
