"""One writer a lake: a lock that names its holder's processes, and outlives none of them."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import psutil

from music_lakehouse.lakehouse.delta import native_uri
from music_lakehouse.lakehouse.processes import Process
from music_lakehouse.lakehouse.remote_spark import RemoteSession, SessionNotEndedError

HEARTBEAT_SECONDS = 20.0
# A holder on another host can only be judged by its heartbeat.
STALE_SECONDS = 180.0
SECONDS_BETWEEN_LOOKS = 0.5
# Whoever waits for a lock that is lent says so at each look.
WANTED_SECONDS = 10.0
_SPARK = "org.apache.spark.deploy.SparkSubmit"


class LakeLockedError(RuntimeError):
    """Another run holds the lake."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lake: the run, its host and boot, and its processes: Python's, and the JVM's, which may still commit
    when Python was killed; and its sessions of Spark Connect servers, which may too."""

    run_id: str
    host: str
    boot: str
    processes: tuple[Process, ...]
    heartbeat: float = field(default_factory=time.time)
    sessions: tuple[RemoteSession, ...] = ()
    lends: bool = False
    """Whether it gives the lake to whoever waits for it, now and then, and takes it back afterwards."""

    @property
    def alive(self) -> bool:
        if self.host != socket.gethostname():
            return time.time() - self.heartbeat < STALE_SECONDS
        return self.boot == _boot() and any(process.alive for process in self.processes)

    def __str__(self) -> str:
        pids = ", ".join(str(process.pid) for process in self.processes)
        return f"run {self.run_id} on {self.host} (processes {pids})"


class LakeLock:
    """The lock of the lake at `root`, held by this process for one run at a time.

    On a local disk it lies in the lake, as `_lock`. For a lake in an object store it lies on this host only, beside
    Dagster's instance or in the temporary directory, and holds off no other host: in S3, Spark's commits of two hosts
    can overwrite each other.
    """

    def __init__(self, root: str) -> None:
        self._file = lock_file(root)
        self._held: Holder | None = None
        self._stop = threading.Event()

    def acquire(self, run_id: str, *, wait_seconds: float = 0.0, lends: bool = False) -> None:
        """Take the lock. Of a holder that was killed, what it asked a Spark Connect server for is ended first. `lends`
        says that others may have it when they ask (`is_wanted`).

        Raises LakeLockedError, naming the holder, where the lock isn't free within `wait_seconds`.
        """
        deadline = time.monotonic() + wait_seconds
        mine = Holder(run_id, socket.gethostname(), _boot(), (Process.of(os.getpid()),), lends=lends)
        while True:
            try:
                with self._guarded():
                    other = self._read()
                    if other is None or not other.alive:
                        _end_sessions(other)
                        self._write(mine)
                        break
                    if wait_seconds and other.lends:
                        wanted_file(self._file).touch()
                    raise LakeLockedError(
                        f"the lake is held by {other}: wait until it has ended, or stop it; "
                        f"its lock is {self._file} and lapses with its processes"
                    )
            except LakeLockedError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(SECONDS_BETWEEN_LOOKS)
        wanted_file(self._file).unlink(missing_ok=True)
        self._held = mine
        self._stop.clear()
        threading.Thread(target=self._beat, name="lake-lock-heartbeat", daemon=True).start()

    @contextmanager
    def held(self, run_id: str, *, wait_seconds: float = 0.0) -> Iterator[None]:
        """Take the lock, and give it back at the end. Raises as `acquire`."""
        self.acquire(run_id, wait_seconds=wait_seconds)
        try:
            yield
        finally:
            self.release()

    def add_children(self) -> None:
        """Name this process's Spark drivers too: the lock is theirs as well until they end."""
        self._renew([Process(child.pid, child.create_time()) for child in spark_children()])

    def add_session(self, session: RemoteSession) -> None:
        """Name the session of a Spark Connect server that this process asks to write: whoever takes the lock over ends
        it first."""
        self._renew([], [session])

    def release(self) -> None:
        """Give the lock back; harmless where it isn't held."""
        self._stop.set()
        if self._held is None:
            return
        with self._guarded():
            current = self._read()
            if current is not None and current.run_id == self._held.run_id:
                self._file.unlink(missing_ok=True)
            self._held = None

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                self._renew([])
            except OSError as error:
                # As where the disk is full: the next beat may succeed, and one that is missed does no harm.
                logging.getLogger(__name__).warning("the lake's lock %s was not renewed: %s", self._file, error)

    def _renew(self, more: list[Process], sessions: Sequence[RemoteSession] = ()) -> None:
        with self._guarded():
            # Looked at under the guard: the lock may have been given back meanwhile.
            if self._held is not None:
                known = self._held.processes
                processes = (*known, *(process for process in more if process not in known))
                sessions = (*self._held.sessions, *(one for one in sessions if one not in self._held.sessions))
                self._held = replace(self._held, processes=processes, sessions=sessions, heartbeat=time.time())
                self._write(self._held)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_name(self._file.name + "_guard").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield

    def _read(self) -> Holder | None:
        return read_holder(self._file)

    def _write(self, holder: Holder) -> None:
        draft = self._file.with_name(self._file.name + "_draft")
        draft.write_text(json.dumps(asdict(holder)))
        draft.replace(self._file)


def _end_sessions(killed: Holder | None) -> None:
    for session in () if killed is None else killed.sessions:
        try:
            session.end()
        except SessionNotEndedError as error:
            raise LakeLockedError(
                f"the lake was held by {killed}, which was killed, and {error}: wait, or stop that server"
            ) from error


def spark_children() -> list[psutil.Process]:
    """The JVMs of Spark that this process started and that live; other Java children, a Kafka broker, are none."""
    return [child for child in psutil.Process().children(recursive=True) if _is_spark(child)]


def _is_spark(process: psutil.Process) -> bool:
    try:
        return "java" in process.name() and _SPARK in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def current_holder(root: str) -> Holder | None:
    """Who holds the lake now; None where nobody does, or nobody who is alive."""
    holder = read_holder(lock_file(root))
    return holder if holder is not None and holder.alive else None


def read_holder(file: Path) -> Holder | None:
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    processes = tuple(Process(**process) for process in content.pop("processes"))
    sessions = tuple(RemoteSession(**session) for session in content.pop("sessions", ()))
    return Holder(**content, processes=processes, sessions=sessions)


def lock_file(root: str) -> Path:
    if "://" not in root:
        return Path(root) / "_lock"
    home = Path(os.environ.get("DAGSTER_HOME", os.environ.get("TMPDIR", "/tmp")))
    return home / f"lake-{sha256(native_uri(root).encode()).hexdigest()[:16]}_lock"


def wanted_file(lock: Path) -> Path:
    """What those touch who wait for a lock that is lent."""
    return lock.with_name(lock.name + "_wanted")


def is_wanted(lock: Path) -> bool:
    """Whether somebody waits for the lock that is lent."""
    try:
        return time.time() - wanted_file(lock).stat().st_mtime < WANTED_SECONDS
    except FileNotFoundError:
        return False


def _boot() -> str:
    """What tells one boot of this host from another."""
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    return boot_id.read_text().strip() if boot_id.exists() else str(int(psutil.boot_time()))
