"""The embedded Kafka broker: the real Apache Kafka, one KRaft node, run from the jars that `make setup` fetched.

The same class serves the demo, development and the tests, each with a directory and a port of its own. The broker is a
process in its own session: it outlives the program that started it, and that program's Ctrl-C doesn't reach it.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from music_lakehouse.class_archives import java_options
from music_lakehouse.jars import JARS, broker_jars, find_java
from music_lakehouse.lakehouse.kafka import await_topics
from music_lakehouse.lakehouse.processes import Process

HOST = "127.0.0.1"
MAX_MESSAGE_BYTES = 10 * 1024 * 1024
START_SECONDS = 90
STOP_SECONDS = 30
LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ssXXX",
)

# `log.dirs` is relative, as the broker's working directory is its data directory: Kafka reads this file as Latin-1 and
# splits the value at commas, which a path may hold.
SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={log_directory}

auto.create.topics.enable=false
num.partitions=2
message.max.bytes={max_message_bytes}
replica.fetch.max.bytes={max_message_bytes}

# Retention and the rolling of segments go by the records' own times, and a replay sends events of past years: nothing
# expires, no record is refused for its time, and a segment ends by its size only.
log.retention.ms=-1
log.retention.bytes=-1
log.message.timestamp.after.max.ms=9223372036854775807
log.roll.hours=876000

# One node: internal topics have one replica and need one partition.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
"""


class BrokerError(RuntimeError):
    """The embedded broker can't do what was asked; the text is one line with the remedy."""


def free_port() -> int:
    """A TCP port on the loopback that nobody listens on at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class EmbeddedBroker:
    """One Kafka node on 127.0.0.1, its log and its process file in one directory.

    `data` is created where it's missing and belongs to one broker; `port` is the clients' port; `heap` the JVM's, as in
    `-Xmx`. As a context manager: running inside, stopped after it.
    """

    def __init__(self, data: Path, port: int, *, heap: str = "512m") -> None:
        self.data = data.absolute()
        self.port = port
        self.heap = heap
        self.log_file = self.data / "broker.log"
        self._process_file = self.data / "broker.json"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """What clients connect to, `127.0.0.1:PORT`."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Starts the broker and returns once it answers metadata requests; does nothing where it does already.

        What it held before is there again, also after a kill. Raises `BrokerError` where the port is taken, where this
        directory's broker runs on another port, or where the broker ends or doesn't answer within 90 seconds (and is
        stopped, if this call started it); `JavaError` or `JarsError` where what it runs on is missing.
        """
        with self._lock():
            running = self._process()
            if running is not None:
                self._require_same_port()
                self._await_answer(running)
                return
            self._require_free_port()
            launched = self._launch()
            try:
                self._await_answer(launched)
            except BaseException:
                self._terminate(launched)
                raise

    def stop(self) -> bool:
        """Ends the broker, by SIGKILL where it hasn't ended within 30 seconds, and returns whether it ran."""
        if not self.data.is_dir():
            return False
        with self._lock():
            process = self._process()
            if process is not None:
                self._terminate(process)
            self._process_file.unlink(missing_ok=True)
            return process is not None

    def is_running(self) -> bool:
        """Whether this directory's broker process is alive; it may not answer yet."""
        return self._process() is not None

    def create_topics(self, names: Iterable[str], partitions: int = 2) -> list[str]:
        """Creates the topics that are missing, leaves the others as they are, and returns those that it created.

        Raises `BrokerError` where the broker doesn't answer or refuses a name.
        """
        admin = self._admin()
        futures = admin.create_topics([NewTopic(name, partitions) for name in names], operation_timeout=30)
        created = []
        for name, future in futures.items():
            try:
                future.result(timeout=60)
                created.append(name)
            except KafkaException as error:
                reason: KafkaError = error.args[0]
                if reason.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise BrokerError(
                        f"Topic {name} was not created on {self.bootstrap_servers}: {reason.str()}"
                    ) from error
        try:
            await_topics(admin, created, time.monotonic() + START_SECONDS)
        except (KafkaException, TimeoutError) as error:
            raise BrokerError(f"{self.bootstrap_servers} doesn't tell of new topics: see {self.log_file}") from error
        return created

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Held while the broker is started or stopped, so that of two commands at once the second sees the first's."""
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _process(self) -> Process | None:
        """The broker's process. A process file whose process has ended, or whose id another process has now, counts for
        nothing."""
        try:
            recorded = json.loads(self._process_file.read_text())
            process = Process(recorded["pid"], recorded["started"])
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return process if process.alive else None

    def _require_same_port(self) -> None:
        port = json.loads(self._process_file.read_text())["port"]
        if port != self.port:
            raise BrokerError(
                f"The broker of {self.data} runs on port {port}, not {self.port}: stop it first, "
                f"or put {HOST}:{port} in KAFKA_BOOTSTRAP_SERVERS"
            )

    def _require_free_port(self) -> None:
        with closing(socket.socket()) as probe:
            # As the JVM does: a connection that lingers after the last broker's end doesn't count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self.port))
            except OSError as error:
                raise BrokerError(
                    f"Port {self.port} can't be had ({error.strerror}): stop the program that listens on it, "
                    "or choose another port in KAFKA_BOOTSTRAP_SERVERS"
                ) from error

    def _launch(self) -> Process:
        if not (self.data / "log").exists():
            self._format()
        self._write_properties("server.properties", "log")
        command = self._java(f"-Xmx{self.heap}", "kafka.Kafka", "server.properties")
        with self.log_file.open("ab") as log:
            self._child = subprocess.Popen(
                command,
                cwd=self.data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = Process.of(self._child.pid)
        self._process_file.write_text(json.dumps({**asdict(process), "port": self.port}))
        return process

    def _format(self) -> None:
        """Formats the storage beside its place and moves it there, so that an interrupt leaves none or a whole one."""
        shutil.rmtree(self.data / "log.new", ignore_errors=True)
        self._write_properties("format.properties", "log.new")
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        run = subprocess.run(
            self._java("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", "format.properties")
            + self._format_options(),
            cwd=self.data,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0:
            raise BrokerError(f"Kafka can't format {self.data / 'log.new'}: {(run.stdout + run.stderr).strip()[-500:]}")
        (self.data / "log.new").rename(self.data / "log")
        (self.data / "format.properties").unlink()

    def _write_properties(self, name: str, log_directory: str) -> None:
        text = SERVER_PROPERTIES.format(
            host=HOST,
            port=self.port,
            controller_port=free_port(),
            log_directory=log_directory,
            max_message_bytes=MAX_MESSAGE_BYTES,
        )
        (self.data / name).write_text(self._secured(text))

    def _secured(self, properties: str) -> str:
        """The server's properties, with what a broker that asks its clients for more than their address adds."""
        return properties

    def _format_options(self) -> list[str]:
        """Further options of the storage's format: users that such a broker knows from the start."""
        return []

    def _java(self, *arguments: str) -> list[str]:
        broker_jars()
        class_path = str(JARS / "broker" / "*")
        options = ["-XX:+UseSerialGC", *java_options("broker"), *LOGGING]
        return [str(find_java().path), *options, "-cp", class_path, *arguments]

    def _await_answer(self, process: Process) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not process.alive:
                raise BrokerError(f"The broker ended while it started: see {self.log_file}")
            # The connection first, as librdkafka would wait out its own back-off after a refused one.
            with (
                suppress(OSError, KafkaException),
                closing(socket.create_connection((HOST, self.port), timeout=1)),
            ):
                if self._admin().list_topics(timeout=5).brokers:
                    return
            time.sleep(0.1)
        raise BrokerError(f"The broker didn't answer on port {self.port} within {START_SECONDS} s: see {self.log_file}")

    def _admin(self) -> AdminClient:
        # Silent: what goes wrong comes as an exception, and librdkafka would log it to stderr as well.
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})

    def _terminate(self, process: Process) -> None:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            if process.ends_within(STOP_SECONDS):
                break
        if self._child is not None:
            self._child.wait()
