"""Continuous mode's loop and what it tells Dagster, without Spark or Kafka."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import dagster as dg
import pytest

from music_lakehouse.defs import continuous
from music_lakehouse.defs.continuous import DiedTooOftenError, Reporter, Restarts, StopSignals, repeat
from music_lakehouse.defs.shell import note
from music_lakehouse.lakehouse.kafka_positions import MessagesLostError
from music_lakehouse_tests.defs.webhook import Webhook

TABLE = dg.AssetKey(["gold", "some_streams"])


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def log() -> dg.DagsterLogManager:
    return dg.build_op_context().log


class Script:
    """What `take` does call by call: returns, or raises; the last entry stops the loop."""

    def __init__(self, *steps: bool | Exception) -> None:
        self.stop = threading.Event()
        self.calls: list[float] = []
        self.recovered: list[str] = []
        self._steps = list(steps)

    def take(self) -> bool:
        self.calls.append(time.monotonic())
        step = self._steps.pop(0)
        if not self._steps:
            self.stop.set()
        if isinstance(step, Exception):
            raise step
        return step

    def recover(self, error: Exception) -> Exception:
        self.recovered.append(str(error))
        return error

    def run(self, *, most: int = 3, trigger: float = 0.0, idle: float = 0.0) -> None:
        repeat(
            self.take,
            self.stop,
            Restarts(most, 0.01),
            trigger_seconds=trigger,
            idle_seconds=idle,
            recover=self.recover,
            log=log(),
        )

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.calls, self.calls[1:], strict=False)]


def died(table: str) -> Exception:
    error = RuntimeError("the stream is broken")
    note(error, table)
    return error


def test_micro_batches_follow_each_other_at_the_trigger_and_looks_at_nothing_as_often_as_told() -> None:
    script = Script(True, False, False)
    script.run(trigger=1.5, idle=0.1)
    busy, idle = script.gaps
    assert 0.1 <= idle < 1.5 <= busy


def test_what_died_is_started_again_and_a_success_forgets_its_deaths() -> None:
    script = Script(died("raw.a"), died("raw.a"), True, died("raw.a"), died("raw.a"), True)
    script.run(most=3)
    assert len(script.calls) == 6
    assert script.recovered == ["the stream is broken"] * 4


def test_what_dies_again_and_again_ends_the_run_with_its_query_and_its_error() -> None:
    script = Script(died("raw.listen_events"), died("raw.listen_events"), died("raw.listen_events"), True)
    with pytest.raises(
        DiedTooOftenError, match=r"query of raw\.listen_events died: RuntimeError: the stream is broken \(3 deaths"
    ):
        script.run(most=3)
    assert len(script.calls) == 3


def test_it_waits_longer_each_time_half_a_minute_at_most() -> None:
    restarts = Restarts(most=10, first_wait=1.0)
    assert [restarts.wait(deaths) for deaths in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("error", [MessagesLostError("offsets 1 to 3 are gone"), dg.Failure("a check is not passed")])
def test_what_would_come_out_the_same_is_not_tried_again(error: Exception) -> None:
    script = Script(error, True)
    with pytest.raises(type(error)):
        script.run()
    assert len(script.calls) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_micro_batch_in_hand_come_to_its_end(number: signal.Signals) -> None:
    ended = []
    before = signal.getsignal(number)
    with StopSignals() as signals:
        stop = signals.stop

        def take() -> bool:
            os.kill(os.getpid(), number)
            time.sleep(0.05)
            ended.append(stop.is_set())
            return True

        repeat(
            take, stop, Restarts(1, 0.0), trigger_seconds=60, idle_seconds=60, recover=lambda error: error, log=log()
        )
    assert ended == [True]
    assert signal.getsignal(number) is before


def test_a_handler_that_spark_puts_in_its_place_is_replaced_again() -> None:
    with StopSignals() as signals:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signals.listen()
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.stop.is_set()


def test_a_second_signal_interrupts_it() -> None:
    with StopSignals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def reporter_of(instance: dg.DagsterInstance, check_seconds: float = 60) -> Reporter:
    return Reporter(instance, dg.DagsterRun("continuous_pipeline", run_id="the-run"), log(), check_seconds)


def result(*checks: dg.AssetCheckResult, versions: int = 1) -> dg.MaterializeResult:
    figures = {"versions_written": versions, "rows_inserted": 1200, "rows_updated": 0}
    return dg.MaterializeResult(asset_key=TABLE, metadata=figures, check_results=checks)


def checked(*, passed: bool, error: bool = False, name: str = "key_is_unique") -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if error else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        passed=passed, asset_key=TABLE, check_name=name, severity=severity, description="one row a key"
    )


def materializations(instance: dg.DagsterInstance) -> list[dg.AssetMaterialization]:
    records = instance.fetch_materializations(TABLE, limit=100).records
    return [record.asset_materialization for record in records if record.asset_materialization is not None]


def evaluations(instance: dg.DagsterInstance, name: str = "key_is_unique") -> list[bool]:
    """Newest first."""
    key = dg.AssetCheckKey(TABLE, name)
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    found = [record.event.dagster_event for record in history if record.event is not None]
    return [event.asset_check_evaluation_data.passed for event in found if event is not None]


def test_a_table_that_was_written_is_reported_with_its_figures_and_its_run(instance: dg.DagsterInstance) -> None:
    lines = reporter_of(instance).report([result(), result(versions=0)])
    assert lines == ["gold.some_streams 1,200 inserted"]
    (one,) = materializations(instance)
    assert one.metadata["rows_inserted"].value == 1200
    assert one.metadata["run"] == dg.MetadataValue.dagster_run("the-run")


def test_a_check_is_reported_where_it_fares_otherwise_and_again_after_a_while(instance: dg.DagsterInstance) -> None:
    reporter = reporter_of(instance)
    for passed in (True, True, False, False, True):
        reporter.report([result(checked(passed=passed))])
    assert evaluations(instance) == [True, False, True]
    often = reporter_of(instance, 0)
    for _ in range(2):
        often.report([result(checked(passed=True, name="row_for_row"), versions=0)])
    assert evaluations(instance, "row_for_row") == [True, True]


def test_a_check_that_stops_what_is_downstream_fails_the_run_once_its_stage_is_reported(
    instance: dg.DagsterInstance,
) -> None:
    stage = [result(checked(passed=False, error=True)), result(checked(passed=True, name="row_for_row"))]
    with pytest.raises(dg.Failure, match=r"not passed: gold\.some_streams: key_is_unique \(one row a key\)"):
        reporter_of(instance).report(stage)
    assert len(materializations(instance)) == 2
    assert (evaluations(instance), evaluations(instance, "row_for_row")) == ([False], [True])


def test_a_check_that_warns_lets_it_go_on_and_alerts_once_a_day(
    instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = reporter_of(instance)
    for passed in (False, False, True, False):
        reporter.report([result(checked(passed=passed))])
    assert evaluations(instance) == [False, True, False]
    alert = "continuous_pipeline failed checks (run the-run): failed checks: gold/some_streams key_is_unique (WARN)"
    assert capsys.readouterr().err.count(alert) == 1
    monkeypatch.setattr(continuous, "ALERT_AGAIN_SECONDS", 0.0)
    reporter.report([result(checked(passed=False))])
    assert capsys.readouterr().err.count(alert) == 1


def test_an_alert_that_is_not_delivered_is_sent_again_a_while_later_though_the_check_passes_by_then(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = reporter_of(instance)
    with Webhook("/hooks") as webhook:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", webhook.url)
        webhook.refuses = 1
        for passed in (False, False, True):
            reporter.report([result(checked(passed=passed))])
        assert len(webhook.posted) == 1, "a minute has not passed"
        monkeypatch.setattr(reporter, "_next_alert", 0.0)
        for passed in (True, False):
            reporter.report([result(checked(passed=passed))])
    assert [posted["failed_checks"][0]["check"] for posted in webhook.posted] == ["key_is_unique"] * 2
