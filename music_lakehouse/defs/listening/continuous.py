"""Continuous mode: one run that takes messages from Kafka to gold, micro-batch by micro-batch, until it is stopped."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import dagster as dg
from pydantic import Field

from music_lakehouse.defs.continuous import Batch, Reporter, Restarts, StopSignals, repeat
from music_lakehouse.defs.listening.assets import (
    ASSETS,
    REFERENCES,
    STAGES_OF_STEPS,
    load_references,
    look_at_quarantine,
    parse_messages,
    take_messages,
)
from music_lakehouse.defs.listening.tables import QUARANTINE
from music_lakehouse.defs.shell import in_words, version_of
from music_lakehouse.defs.stages import keep_stage
from music_lakehouse.lakehouse.errors import SparkLostError
from music_lakehouse.lakehouse.kafka import Topic
from music_lakehouse.lakehouse.locks import LakeLockedError
from music_lakehouse.lakehouse.reference import is_outdated
from music_lakehouse.resources.files import ReferenceFiles
from music_lakehouse.resources.kafka import KafkaResource
from music_lakehouse.resources.lakehouse import LakehouseResource
from music_lakehouse.settings import TOPICS

_WRITTEN = [asset for asset in ASSETS if isinstance(asset, dg.AssetsDefinition)]
_TABLES = frozenset(key for asset in _WRITTEN for key in asset.keys)
_CHECKS = frozenset(key for asset in _WRITTEN for key in asset.check_keys)
SECONDS_BETWEEN_LOOKS_AT_RUN = 15.0


class Continuous(dg.Config):
    """How micro-batches follow each other."""

    trigger_seconds: float = Field(
        default=2.0, ge=0, description="the least time from the beginning of one micro-batch to the next"
    )
    poll_seconds: float = Field(default=0.5, gt=0, description="how often Kafka is asked while nothing is new")
    file_seconds: float = Field(default=60.0, gt=0, description="how often the reference files are looked at")
    check_seconds: float = Field(
        default=300.0, ge=0, description="how often a check that fares as before is reported to Dagster"
    )
    most_deaths: int = Field(default=6, ge=1, description="the run fails after a query died so often in a row")
    first_wait_seconds: float = Field(
        default=1.0, ge=0, description="a query that died waits so long, then twice as long, up to half a minute"
    )


@dataclass
class _Follower:
    """Takes what is new, where anything is."""

    context: dg.OpExecutionContext
    config: Continuous
    lakehouse: LakehouseResource
    kafka: KafkaResource
    reference_files: ReferenceFiles
    reporter: Reporter
    signals: StopSignals
    _taken: Mapping[str, Topic] | None = field(default=None, init=False)
    """The topics as they were when the last micro-batch began that came to its end; None: nobody knows what waits."""
    _files_seen: float = field(default=0.0, init=False)
    _run_seen: float = field(default=0.0, init=False)

    def take(self) -> bool:
        """One micro-batch, where something waits; says whether something did. Others who wait for the lake get it
        first."""
        if self.lakehouse.lend():
            self.context.log.info("the lake is lent to a run that waits for it")
            self._taken = None
        if self._is_ended() or not self._holds():
            return False
        topics = self.kafka.topics(TOPICS)
        if topics == self._taken and not self._files_changed():
            return False
        # What has never come to its end is all looked at.
        idle, self._taken = self._taken is None, None
        _ = self.lakehouse.lake
        self.signals.listen()
        began = time.monotonic()
        written = [line for stage in self._stages(idle=idle) for line in self.reporter.report(stage())]
        self.lakehouse.between_batches()
        self._taken = topics
        if written:
            self.context.log.info(f"{time.monotonic() - began:.1f} s: {'; '.join(written)}")
        return True

    def _is_ended(self) -> bool:
        """Whether Dagster has ended the run meanwhile, without a word to this process: then it stops."""
        if time.monotonic() - self._run_seen >= SECONDS_BETWEEN_LOOKS_AT_RUN:
            self._run_seen = time.monotonic()
            run = self.context.instance.get_run_by_id(self.context.run_id)
            if run is None or run.is_finished:
                self.signals.stop.set()
        return self.signals.stop.is_set()

    def _holds(self) -> bool:
        try:
            self.lakehouse.hold(lends=True)
        except LakeLockedError as error:
            self.context.log.info(f"waiting: {error}")
            return False
        return True

    def recover(self, error: Exception) -> Exception:
        """What the error means, once what it broke can be used again."""
        self._taken = None
        cause = in_words(error, root=self.lakehouse.root, brokers=self.kafka.bootstrap_servers)
        self.lakehouse.begin_again(with_spark=isinstance(cause, SparkLostError))
        return cause

    def _stages(self, *, idle: bool) -> Iterator[Callable[[], Iterator[dg.MaterializeResult]]]:
        batch = Batch(self.context.run, self.context.log, _TABLES, _CHECKS)
        lakehouse = self.lakehouse
        yield partial(load_references, batch, lakehouse, self.reference_files, idle=idle)
        yield partial(take_messages, batch, lakehouse, self.kafka, idle=idle, lasting=True)
        refused = version_of(lakehouse.lake, QUARANTINE)
        yield partial(parse_messages, batch, lakehouse, idle=idle)
        if idle or version_of(lakehouse.lake, QUARANTINE) != refused:
            yield lambda: iter([look_at_quarantine(batch, lakehouse.lake, before=refused)])
        for steps in STAGES_OF_STEPS.values():
            yield partial(keep_stage, batch, lakehouse, steps, idle=idle)

    def _files_changed(self) -> bool:
        if time.monotonic() - self._files_seen < self.config.file_seconds:
            return False
        self._files_seen = time.monotonic()
        return any(is_outdated(self.lakehouse.paths, r, self.reference_files.path) for r in REFERENCES)


@dg.op(
    description="Takes messages from Kafka to gold, micro-batch by micro-batch, until the run is terminated: the "
    "micro-batch in hand comes to its end then."
)
def follow_topics(
    context: dg.OpExecutionContext,
    config: Continuous,
    lakehouse: LakehouseResource,
    kafka: KafkaResource,
    reference_files: ReferenceFiles,
) -> None:
    reporter = Reporter(context.instance, context.run, context.log, config.check_seconds)
    with StopSignals() as signals:
        follower = _Follower(context, config, lakehouse, kafka, reference_files, reporter, signals)
        repeat(
            follower.take,
            signals.stop,
            Restarts(config.most_deaths, config.first_wait_seconds),
            trigger_seconds=config.trigger_seconds,
            idle_seconds=config.poll_seconds,
            recover=follower.recover,
            log=context.log,
        )
        context.log.info("stopped as asked: the last micro-batch has come to its end")


@dg.job(
    name="continuous_pipeline",
    description="Everything from Kafka to gold, continuously: micro-batch by micro-batch in one Spark application, "
    "until it is terminated. Each is reported to the tables that it writes. The sensor steps aside meanwhile.",
    executor_def=dg.in_process_executor,
)
def continuous_pipeline() -> None:
    follow_topics()
