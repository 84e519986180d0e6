"""A Spark Connect server of our own: one JVM that many runs share, each with a session of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import pyspark

from music_lakehouse.lakehouse.remote_spark import is_listening
from music_lakehouse.resources.spark import driver_settings, session_settings
from music_lakehouse.supervisor.program import Program, ProgramError, environment

HOST = "127.0.0.1"
_MAIN = "org.apache.spark.sql.connect.service.SparkConnectServer"
START_SECONDS = 120.0


class ConnectServer(Program):
    """The server on a port of the loopback, from PySpark's own jars, with what a lake needs of its driver.

    `directory` gets its log and is where it runs; `settings` go before the lake's own. Whoever reaches the port can do
    with the server what its user may: it listens on 127.0.0.1 only. As a context manager: running inside, ended after.
    """

    def __init__(
        self, directory: Path, port: int, *, master: str = "local[*]", settings: Mapping[str, str] | None = None
    ) -> None:
        self.port = port
        self._home = directory.absolute()
        home = Path(pyspark.__file__).parent
        given = {
            **session_settings(),
            **driver_settings(),
            "spark.connect.grpc.binding.address": HOST,
            "spark.connect.grpc.binding.port": str(port),
            **(settings or {}),
        }
        options = [part for name, value in given.items() for part in ("--conf", f"{name}={value}")]
        super().__init__(
            "Spark",
            [str(home / "bin" / "spark-submit"), "--master", master, "--class", _MAIN, *options, "spark-internal"],
            log=self._home / "spark.log",
            answers=lambda: is_listening(HOST, port),
            # A server that were told of another one would try to be its client.
            environment=environment(
                {
                    "SPARK_REMOTE": None,
                    "SPARK_CONNECT_MODE_ENABLED": None,
                    "SPARK_HOME": str(home),
                    "PYSPARK_PYTHON": sys.executable,
                }
            ),
            directory=self._home,
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
        self._home.mkdir(parents=True, exist_ok=True)
        super().start()

    def __enter__(self) -> ConnectServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
