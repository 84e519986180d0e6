"""What is seen of a running `up`, again and again: lag, rows, memory a part, files a table."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shutil import which
from types import TracebackType

import dagster as dg
import psutil

from music_lakehouse.cli.standing import Looker
from music_lakehouse.lakehouse.inventory import figures, find_tables
from music_lakehouse_tests.end_to_end.running import Up
from music_lakehouse_tests.soak.processes import SPARK, look

SECONDS_BETWEEN_LOOKS = 5.0
SECONDS_BETWEEN_FILES = 20.0
SECONDS_BETWEEN_COLLECTIONS = 60.0


@dataclass(frozen=True)
class Memory:
    """What the processes of a part hold together, in bytes; `life` is the eldest of them."""

    size: int
    life: int


@dataclass(frozen=True)
class Stored:
    """A table: rows, bytes and data files of its newest version; data files and files of the log that lie there, and
    their bytes."""

    rows: int
    size: int
    files: int
    stored_files: int
    log_files: int
    stored_size: int


@dataclass(frozen=True)
class Sample:
    """What was seen at a moment (epoch seconds). `heap` is what Spark's server holds in its heap once what nobody needs
    was collected; what is empty was not looked at this time."""

    at: float
    unread: int
    behind: int
    rate: float | None
    streams: int
    kafka: str
    memory: dict[str, Memory]
    heap: Memory | None = None
    tables: dict[str, Stored] = field(default_factory=dict)
    home: dict[str, int] = field(default_factory=dict)
    """Bytes of Dagster's instance by what they are, and of Kafka's log."""


class Watch:
    """As a context manager: looks every few seconds, and writes what it sees to `file`, a line of JSON each time."""

    def __init__(self, up: Up, file: Path) -> None:
        self._up, self._file = up, file
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="watch")
        self.troubles: Counter[str] = Counter()
        """Looks that failed, by why."""

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _look_on(self) -> None:
        due_files = due_heap = 0.0
        with dg.DagsterInstance.from_config(str(self._up.home)) as instance, self._file.open("a") as out:
            looker = Looker(self._up.settings, instance)
            while not self._done.wait(SECONDS_BETWEEN_LOOKS):
                now = time.monotonic()
                try:
                    files, heap = now >= due_files, now >= due_heap
                    sample = self._sample(looker, files=files, heap=heap)
                except Exception as error:
                    # Whatever hinders a look, as a file that goes while its directory is read: the next comes soon.
                    self.troubles[type(error).__name__] += 1
                    continue
                due_files = now + SECONDS_BETWEEN_FILES if files else due_files
                due_heap = now + SECONDS_BETWEEN_COLLECTIONS if heap else due_heap
                out.write(json.dumps(asdict(sample)) + "\n")
                out.flush()

    def _sample(self, looker: Looker, *, files: bool, heap: bool) -> Sample:
        memory = memory_by_part(self._up)
        seen = looker.look()
        return Sample(
            at=time.time(),
            unread=seen.unread,
            behind=seen.behind,
            rate=seen.rate,
            streams=seen.streams,
            kafka=seen.kafka,
            memory=memory,
            heap=heap_of(memory[SPARK].life) if heap and SPARK in memory else None,
            tables=tables_of(self._up.lake.root) if files else {},
            home=home_of(self._up) if files else {},
        )


def read_samples(file: Path) -> list[Sample]:
    """What a watch wrote."""
    return list(map(_sample, file.read_text().splitlines()))


def memory_by_part(up: Up) -> dict[str, Memory]:
    """What each part of `up` holds."""
    found: dict[str, list[tuple[int, int]]] = {}
    for process in look([psutil.Process(up.process.pid), *up.children]):
        found.setdefault(process.part, []).append((process.pid, process.memory))
    return {
        part: Memory(sum(size for _, size in processes), min(pid for pid, _ in processes))
        for part, processes in found.items()
    }


def heap_of(pid: int) -> Memory | None:
    """What the JVM holds once everything was collected; None where there is no jcmd to ask by, or it is gone."""
    jcmd = which("jcmd")
    # jcmd knocks by SIGQUIT, of which anything but a JVM dies.
    if jcmd is None or "java" not in psutil.Process(pid).name():
        return None
    for command in ("GC.run", "GC.heap_info"):
        done = subprocess.run([jcmd, str(pid), command], capture_output=True, text=True, check=False)
    used = re.findall(r"total \d+K, used (\d+)K", done.stdout)
    return Memory(sum(map(int, used)) * 1024, pid) if done.returncode == 0 and used else None


def tables_of(root: str) -> dict[str, Stored]:
    """Every table of the lake."""
    found = {}
    for name, uri in find_tables(root).items():
        now = figures(uri)
        if now is not None:
            data, log = Counter[str](), Counter[str]()
            for file in _files(Path(uri)):
                kind = log if "_delta_log" in file.path else data
                kind["files"] += 1
                kind["bytes"] += file.stat().st_size
            found[name] = Stored(
                now.rows, now.size, now.files, data["files"], log["files"], data["bytes"] + log["bytes"]
            )
    return found


def home_of(up: Up) -> dict[str, int]:
    """What Dagster's instance takes on the disk, by the first directory below it, and what Kafka's log does."""
    found = {"dagster": sum(file.stat().st_blocks for file in up.home.iterdir() if file.is_file()) * 512}
    for place in (*(place for place in up.home.iterdir() if place.is_dir()), up.directory / "broker" / "log"):
        found[str(place.relative_to(up.directory))] = disk_use(place)
    return found


def disk_use(place: Path) -> int:
    """What the files below the directory take on the disk, in bytes: Kafka's indexes are long, and empty but for their
    beginning."""
    size = 0
    for file in _files(place):
        with suppress(FileNotFoundError):
            size += file.stat().st_blocks * 512
    return size


def _files(place: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield entry


def _sample(line: str) -> Sample:
    given = json.loads(line)
    memory = {part: Memory(**size) for part, size in given.pop("memory").items()}
    tables = {name: Stored(**stored) for name, stored in given.pop("tables").items()}
    heap = given.pop("heap")
    return Sample(**given, memory=memory, tables=tables, heap=heap and Memory(**heap))
