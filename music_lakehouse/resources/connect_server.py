"""A Spark Connect server of our own: one JVM that many runs share, each with a session of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from music_lakehouse.lakehouse.remote_spark import is_listening
from music_lakehouse.resources.connect_command import LOOPBACK, SERVER_ENVIRONMENT, command_line
from music_lakehouse.supervisor.program import Program, ProgramError, environment

HOST = LOOPBACK
START_SECONDS = 120.0


class ConnectServer(Program):
    """The server on a port of the loopback, from PySpark's own jars, with what the lake at `lake_root` needs of its
    driver.

    `directory` gets its log and is where it runs; `settings` go before the lake's own. Whoever reaches the port can do
    with the server what its user may: it listens on 127.0.0.1 only. As a context manager: running inside, ended after.
    """

    def __init__(
        self,
        directory: Path,
        port: int,
        *,
        master: str = "local[*]",
        lake_root: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        super().__init__(
            "Spark",
            command_line(port, master=master, lake_root=lake_root, settings=settings),
            log=directory.absolute() / "spark.log",
            answers=lambda: is_listening(HOST, port),
            environment=environment(SERVER_ENVIRONMENT),
            directory=directory.absolute(),
            start_seconds=START_SECONDS,
        )

    @property
    def remote(self) -> str:
        """What SPARK_REMOTE is for it: `sc://127.0.0.1:PORT`."""
        return f"sc://{HOST}:{self.port}"

    def start(self) -> None:
        """As of any program. Raises ProgramError too where something else listens on the port."""
        if not self.is_well() and is_listening(HOST, self.port):
            raise ProgramError(f"something listens on port {self.port} of {HOST} already: choose another for Spark")
        super().start()

    def __enter__(self) -> ConnectServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
