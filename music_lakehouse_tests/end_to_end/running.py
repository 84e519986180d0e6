"""`music-lakehouse up` as a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from music_lakehouse.defs.listening.gold_tables import WIDE_STREAMS
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import free_port

REPOSITORY = Path(__file__).parents[2]
SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"


class Up:
    """The command with these options, in a directory of its own, with ports of its own."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.lake = LakePaths(str(directory / "lake"))
        self.kafka, self.ui, self.spark, self.metrics = (free_port() for _ in range(4))
        self.log = directory / "up.log"
        self.settings = Settings(
            lakehouse_root=self.lake.root,
            reference_root=directory / "reference",
            kafka_bootstrap_servers=f"127.0.0.1:{self.kafka}",
        )
        self.home = directory / "dagster"
        self.home.mkdir()
        shutil.copy(REPOSITORY / "dagster.yaml", self.home)
        given = {
            "LAKEHOUSE_ROOT": self.settings.lakehouse_root,
            "REFERENCE_ROOT": str(self.settings.reference_root),
            "LANDING_ROOT": str(directory / "landing"),
            "CATALOGUE_DATABASE_URL": f"sqlite:///{directory}/catalogue.db",
            "BROKER_DATA": str(directory / "broker"),
            "DAGSTER_HOME": str(self.home),
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
            "SPARK_MASTER": "local[2]",
            "PYTHONPATH": str(REPOSITORY),
        }
        self.environment = {name: value for name, value in os.environ.items() if name != "SPARK_REMOTE"} | given
        ports = ["--port", str(self.ui), "--spark-port", str(self.spark), "--metrics-port", str(self.metrics)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "music_lakehouse.cli.main", "up", *options, *ports],
                cwd=directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    @property
    def streams(self) -> int:
        return self.lake.rows(WIDE_STREAMS)

    def spark_server(self) -> psutil.Process | None:
        """The JVM of the Spark Connect server."""
        for child in self.children:
            with suppress(psutil.Error):
                if SERVER in child.cmdline() and "java" in child.name():
                    return child
        return None

    def wait_for(self, look: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not look():
            assert self.process.poll() is None, f"it ended:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"{what} within {seconds} s:\n{self.log.read_text()[-4000:]}"
            time.sleep(0.5)

    def listening(self) -> list[int]:
        """Those of its ports that are open."""
        found = []
        for port in (self.kafka, self.ui, self.spark, self.metrics):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                found.append(port)
        return found

    def stop(self) -> None:
        """Ctrl-C, and wait for its end."""
        self.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(120)
        self.process.kill()
