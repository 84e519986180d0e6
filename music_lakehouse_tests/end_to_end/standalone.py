"""A Spark standalone cluster for tests: a master and workers from PySpark's own jars, each a process of its own."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pyspark
import requests

from music_lakehouse.simulator.broker import free_port

HOST = "127.0.0.1"
_STARTED_WITHIN_SECONDS = 60


class StandaloneCluster:
    """A master and `workers` workers of one core each on the loopback, in `directory`; as a context manager. They
    know nothing of an object store: what their executors need for it comes from the driver."""

    def __init__(self, directory: Path, *, workers: int = 2, memory: str = "1g") -> None:
        self._directory = directory
        self._workers = workers
        self._memory = memory
        self._port, self._ui = free_port(), free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def master(self) -> str:
        """What SPARK_MASTER is for it."""
        return f"spark://{HOST}:{self._port}"

    def state(self) -> dict[str, Any]:
        """What the master says of its workers and applications."""
        found: dict[str, Any] = requests.get(f"http://{HOST}:{self._ui}/json/", timeout=5).json()
        return found

    def __enter__(self) -> StandaloneCluster:
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            self._start("master.Master", "--port", str(self._port), "--webui-port", str(self._ui))
            self._await(lambda: True)
            for number in range(self._workers):
                work = self._directory / f"worker{number}"
                options = ["--cores", "1", "--memory", self._memory, "--webui-port", str(free_port())]
                self._start("worker.Worker", *options, "--work-dir", str(work), self.master)
            self._await(lambda: self.state()["aliveworkers"] == self._workers)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the workers, which end their executors, and then the master."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def _start(self, part: str, *options: str) -> None:
        home = Path(pyspark.__file__).parent
        own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SPARK_"))}
        of_spark = {
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": HOST,
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": "-Dspark.master.rest.enabled=false",
        }
        log = self._directory / f"{part}{len(self._processes)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{part}", "--host", HOST, *options],
                cwd=self._directory,
                env={**own, **of_spark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)

    def _await(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _STARTED_WITHIN_SECONDS
        while not self._answers() or not condition():
            ended = [process.args for process in self._processes if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = "\n".join(log.read_text(errors="replace")[-2000:] for log in self._directory.glob("*.log"))
                raise RuntimeError(f"the Spark cluster at {self.master} doesn't start:\n{logs}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            return "aliveworkers" in self.state()
        except (requests.ConnectionError, requests.Timeout):
            return False
