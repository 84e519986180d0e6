"""A lake, its topics and its runs, for tests that break things."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from music_lakehouse.defs.catalog import find_table
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.kafka import Topic, describe_topics, ensure_topics
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.locks import current_holder
from music_lakehouse.resources.build import build_resources
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.config import SimulatorConfig
from music_lakehouse.simulator.customers.config import CustomersConfig
from music_lakehouse.simulator.customers.simulation import land_customers
from music_lakehouse.simulator.heart_rate.config import HeartRateConfig
from music_lakehouse.simulator.heart_rate.simulation import land_heart_rates
from music_lakehouse.simulator.reference import write_reference
from music_lakehouse.simulator.simulation import simulate
from music_lakehouse.simulator.sinks import to_kafka
from music_lakehouse_tests.chaos.runner import FAULT_VARIABLE, Fault, commits, data_files, execute
from music_lakehouse_tests.defs.catalogue.databases import Catalogue
from music_lakehouse_tests.oracle.catalogue.compare import assert_lake_equals_oracle as assert_catalogue_equals_oracle
from music_lakehouse_tests.oracle.compare import assert_lake_equals_oracle, messages_from_kafka
from music_lakehouse_tests.oracle.customers.compare import assert_lake_equals_oracle as assert_customers_equal_oracle
from music_lakehouse_tests.oracle.heart_rate.compare import assert_lake_equals_oracle as assert_heart_rates_equal_oracle
from music_lakehouse_tests.oracle.lake import read_table
from music_lakehouse_tests.oracle.messages import Message

RUN_SECONDS = 400
DEAD_WITHIN_SECONDS = 30
MOST_SONGS = 300
START = datetime(2024, 2, 26, 7, 30, 0, 123000, tzinfo=timezone.utc)


@dataclass(frozen=True)
class RunResult:
    """How a run ended: its exit code (negative: the signal that killed it), errors, retries, the
    problems of reference files, and what it printed."""

    code: int
    success: bool = False
    errors: list[str] = field(default_factory=list)
    retries: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    output: str = ""

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


class RunningPipeline:
    """A run in a process (and process group) of its own."""

    def __init__(self, process: subprocess.Popen[bytes], report: Path, log: Path) -> None:
        self.process = process
        self._report = report
        self._log = log

    def result(self, seconds: float = RUN_SECONDS) -> RunResult:
        """Wait for its end."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the run did not end within {seconds:.0f} s:\n{self._tail()}") from None
        report = json.loads(self._report.read_text()) if self._report.exists() else {}
        return RunResult(code, output=self._tail(), **report)

    def kill(self) -> None:
        """SIGKILL to everything of it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-6000:]


class Runs:
    """The runs of one job on one lake, each in a process of its own, and what came of them."""

    def __init__(self, directory: Path, settings: Settings, job: str) -> None:
        self.directory, self.settings, self.job = directory, settings, job
        self.root = Path(settings.lakehouse_root)
        self.lake = LakePaths(settings.lake_uri)
        self._runs: list[RunningPipeline] = []

    # --- runs

    def start(self, *tables: str, fault: Fault | None = None, **environment: str) -> RunningPipeline:
        """Start a run in a process group of its own."""
        name = f"run{len(self._runs) + 1}"
        report, log = self.directory / f"{name}.json", self.directory / f"{name}.log"
        inherited = {key: value for key, value in os.environ.items() if key != FAULT_VARIABLE}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "music_lakehouse_tests.chaos.runner", str(report), self.job, *tables],
                env={
                    **inherited,
                    "LAKEHOUSE_ROOT": self.settings.lakehouse_root,
                    "REFERENCE_ROOT": str(self.settings.reference_root),
                    "LANDING_ROOT": str(self.settings.landing_root),
                    "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
                    "KAFKA_TOPIC_PREFIX": self.settings.kafka_topic_prefix,
                    "CATALOGUE_DATABASE_URL": self.settings.catalogue_database_url.get_secret_value(),
                    "SPARK_MASTER": self.settings.spark_master,
                    **(fault.to_environment() if fault else {}),
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._runs.append(RunningPipeline(process, report, log))
        return self._runs[-1]

    def end_runs(self) -> None:
        """Kill what still runs."""
        for run in self._runs:
            run.kill()

    def run(self, *tables: str, fault: Fault | None = None, **environment: str) -> RunResult:
        """A run in a process of its own, to its end."""
        return self.start(*tables, fault=fault, **environment).result()

    def forget(self, *names: str) -> None:
        """Delete tables (`layer.table`) or directories of the lake, as nobody should."""
        for name in names:
            shutil.rmtree(self.root.joinpath(*name.split(".")), ignore_errors=True)

    # --- what came of it

    def rows(self, full_name: str) -> int:
        """Rows of `layer.table`."""
        return self.lake.rows(find_table(full_name))

    def read_all(self) -> None:
        """Fail unless every table that exists can be read to the last row."""
        for log in self.root.glob("*/*/_delta_log"):
            if delta.open_table(str(log.parent)) is not None:
                read_table(self.root, f"{log.parent.parent.name}.{log.parent.name}")

    def unnamed_files(self, full_name: str) -> set[Path]:
        """The data files of `layer.table` that no version of it names: what a killed write left."""
        table = self.root.joinpath(*full_name.split("."))
        log = "".join(commit.read_text() for commit in commits(table))
        return {file for file in data_files(table) if file.name not in log}


def kill_at(lab: Runs, fault: Fault) -> None:
    """A run that is killed at the fault; see that it was, and that a lake it held is not held for good."""
    known = lab.unnamed_files(fault.table) if fault.table else set()
    result = lab.run(fault=fault)
    if fault.victim == "jvm":
        assert result.code == 1, f"{fault}: {result.output}"
        assert "Spark's process ended during the run" in " ".join(result.errors), f"{fault}: {result.errors}"
    else:
        assert result.killed, f"{fault} was not reached: {result.output}"
    if fault.moment == "at_file" and fault.table:
        assert lab.unnamed_files(fault.table) > known, f"{fault} came when what was written had been committed"
    if fault.victim == "group":
        # The JVM, whose memory has to be given back, may be gone a little later than Python.
        deadline = time.monotonic() + DEAD_WITHIN_SECONDS
        while current_holder(lab.lake.root) is not None:
            assert time.monotonic() < deadline, f"{fault}: the lake is held by {current_holder(lab.lake.root)}"
            time.sleep(0.1)


def wait_for(path: Path, seconds: float) -> None:
    """Until the file or directory is there."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


class SourceLab(Runs, ABC):
    """A source of another kind than Kafka, and runs of the pipeline that takes it into a lake of the test's own."""

    job_name: ClassVar[str]

    def __init__(self, directory: Path, *, lake_root: str | None = None, master: str = "local[2]") -> None:
        settings = Settings(
            lakehouse_root=lake_root or str(directory / "lake"),
            landing_root=directory / "landing",
            catalogue_database_url=SecretStr(f"sqlite:///{directory}/catalogue.db"),
            spark_master=master,
        )
        super().__init__(directory, settings, self.job_name)

    @abstractmethod
    def fill(self, seed: int, *, more: bool = False) -> None:
        """Fill the source; with `more`, add to what it holds, and change it."""

    @abstractmethod
    def compare(self) -> None:
        """Fail unless every table is what the oracle makes of the source."""


class CustomersLab(SourceLab):
    """Customers, orders and line items, one row in twenty with a fault."""

    job_name = "customers_pipeline"

    def fill(self, seed: int, *, more: bool = False) -> None:
        start = START + timedelta(days=30) if more else START
        config = CustomersConfig(scale=0.001, chunks=3, seed=seed + more, start=start, dirty=0.05)
        land_customers(self.settings.landing_root, config)

    def compare(self) -> None:
        assert_customers_equal_oracle(self.lake.root, self.settings.landing_root)


class HeartRateLab(SourceLab):
    """Recordings, one in twenty with a fault; one person more is known from the second landing on."""

    job_name = "heart_rate_pipeline"

    def fill(self, seed: int, *, more: bool = False) -> None:
        start = None if more else START.replace(tzinfo=None)
        config = HeartRateConfig(files=3, recordings=100, seed=seed, start=start, dirty=0.05)
        land_heart_rates(self.settings.landing_root, config)

    def compare(self) -> None:
        assert_heart_rates_equal_oracle(self.lake.root, self.settings.landing_root)


class CatalogueLab(SourceLab):
    """A database; what is compared is what landed of it, and that every stream did."""

    job_name = "catalogue_pipeline"

    @cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue(self.settings.catalogue_database_url, self.settings.landing_root)

    def fill(self, seed: int, *, more: bool = False) -> None:
        self.catalogue.simulate(streams=300, seed=seed, rounds=3 if more else 0)

    def compare(self) -> None:
        assert_catalogue_equals_oracle(self.lake.root, self.settings.landing_root)
        count = sa.text('SELECT count(*) FROM "FactStream"')
        streams = self.catalogue.database.read("FactStream", lambda connection: connection.execute(count).scalar_one())
        assert self.rows("gold.catalogue_fact_stream") == streams


class Lab(Runs):
    """One lake in a directory of its own, with four topics of its own on a broker, and runs of `streaming_pipeline`."""

    def __init__(
        self,
        directory: Path,
        bootstrap_servers: str,
        topic_prefix: str,
        *,
        lake_root: str | None = None,
        master: str = "local[2]",
    ) -> None:
        settings = Settings(
            lakehouse_root=lake_root or str(directory / "lake"),
            reference_root=directory / "reference",
            kafka_bootstrap_servers=bootstrap_servers,
            kafka_topic_prefix=topic_prefix,
            spark_master=master,
        )
        super().__init__(directory, settings, "streaming_pipeline")
        # Kept, as futures end with their client.
        self.admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})

    # --- input

    def send(self, messages: int, seed: int, *, days: float = 14) -> None:
        """Send simulated messages, one in twenty with a fault. The same users' numbers and times whatever the seed, so
        that what is sent later touches what was there; their names are others."""
        config = SimulatorConfig(users=40, start=START, days=days, seed=seed, dirty=0.05, extra_level_changes=0.1)
        to_kafka(islice(simulate(config), messages), self.settings)

    def write_reference(self) -> None:
        """The reference files, songs.csv with its first songs only: what is left out only events know."""
        songs = write_reference(self.settings.reference_root, overwrite=True)[0]
        lines = songs.read_text(encoding="utf-8").splitlines(keepends=True)
        songs.write_text("".join(lines[: MOST_SONGS + 1]), encoding="utf-8")

    def create_topics(self) -> None:
        ensure_topics(self.settings, self.settings.topics.values())

    def topic(self, event: str) -> Topic:
        name = self.settings.topics[event]
        return describe_topics(self.settings, [name])[name]

    def expire(self, event: str, offsets: dict[int, int]) -> None:
        """Let the broker forget the messages before these offsets, as its retention would."""
        name = self.settings.topics[event]
        wanted = [TopicPartition(name, partition, offset) for partition, offset in offsets.items()]
        for future in self.admin.delete_records(wanted).values():
            future.result(30)

    def delete_topic(self, event: str) -> None:
        for future in self.admin.delete_topics([self.settings.topics[event]], operation_timeout=30).values():
            future.result(30)

    # --- runs in this process

    def run_here(self, *tables: str, **kafka: Any) -> RunResult:
        """A run in this process and its Spark session: faster, but nobody can be killed. `kafka` are fields of the
        Kafka resource."""
        resources = build_resources(self.settings)
        resources["kafka"] = resources["kafka"].model_copy(update=kafka)
        result = execute(resources, self.job, tables)
        return RunResult(code=0 if result["success"] else 1, **result)

    # --- what came of it

    def messages(self) -> list[Message]:
        """Every message that the broker holds now."""
        return messages_from_kafka(self.settings.kafka_bootstrap_servers, self.settings.topics)

    def compare(self, *, gone: list[Message] | None = None) -> None:
        """Fail unless every table is what the oracle makes of the broker's messages, and of those that were read before
        the broker lost them."""
        messages = {(m.topic_id, m.partition, m.offset): m for m in [*(gone or []), *self.messages()]}
        assert_lake_equals_oracle(self.lake.root, messages.values(), self.settings.reference_root)
