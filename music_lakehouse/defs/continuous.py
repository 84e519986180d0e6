"""What continuous mode is made of: micro-batches that are reported to Dagster, a loop that starts again what died, and
an end in order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import dagster as dg

from music_lakehouse.defs.alerts import Alert, FailedCheck, send
from music_lakehouse.defs.shell import noted
from music_lakehouse.lakehouse.expectations import ExpectationFailedError
from music_lakehouse.lakehouse.kafka_access import BrokerAccessError
from music_lakehouse.lakehouse.kafka_positions import MessagesLostError

# What is tried again comes out the same.
LASTING_ERRORS = (dg.Failure, ExpectationFailedError, MessagesLostError, BrokerAccessError)
LONGEST_WAIT_SECONDS = 30.0
# As of delays, there is an alert of a check that fails once, and again after a day: micro-batches are of any size, and
# what compares them may fail and pass by turns.
ALERT_AGAIN_SECONDS = 24 * 3600.0
# An alert that was not delivered is sent again after so long: each try holds up the micro-batch.
UNDELIVERED_AGAIN_SECONDS = 60.0


@dataclass(frozen=True)
class Batch:
    """The `Context` of one micro-batch: the tables and checks that it takes, in a run that goes on behind it."""

    run: dg.DagsterRun
    log: dg.DagsterLogManager
    selected_asset_keys: AbstractSet[dg.AssetKey]
    selected_asset_check_keys: AbstractSet[dg.AssetCheckKey]


@dataclass
class Reporter:
    """Tells Dagster what micro-batches wrote.

    Its events belong to no run, but name theirs: Dagster keeps one evaluation of a check a run, and the page of a run
    loads all of its events, of which a day of micro-batches makes hundreds of thousands. A table is reported each time
    that it was written. A check is reported where it fares otherwise than it did, and again after `check_seconds`:
    there are ten times as many of them as tables, and all of their evaluations are in `metrics.expectations`. Of those
    that only warn there is an alert when they fail, and again after a day; of others the run fails.
    """

    instance: dg.DagsterInstance
    run: dg.DagsterRun
    log: dg.DagsterLogManager
    check_seconds: float
    _checks: dict[tuple[dg.AssetKey, str], tuple[bool, float]] = field(default_factory=dict)
    _told: dict[FailedCheck, float] = field(default_factory=dict)
    _untold: dict[FailedCheck, None] = field(default_factory=dict)
    _next_alert: float = 0.0

    def report(self, results: Iterable[dg.MaterializeResult]) -> list[str]:
        """Report the tables of a stage as they come, with their checks. Out: of each that was written a line for the
        log. Raises Failure, once all are reported, where a check that stops what is downstream is not passed."""
        written, broken, warned = [], [], []
        for result in results:
            key, figures = result.asset_key, dict(result.metadata or {})
            if key is None:
                raise ValueError(f"what a micro-batch reports names its table: {result}")
            if figures.get("versions_written") != 0:
                figures["run"] = dg.MetadataValue.dagster_run(self.run.run_id)
                self.instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=figures))
                written.append(_line(key, figures))
            for check in result.check_results or ():
                self._report_check(key, check)
                if check.passed:
                    continue
                if check.severity is not dg.AssetCheckSeverity.ERROR:
                    warned.append(_failed(key, check))
                else:
                    broken.append(f"{'.'.join(key.path)}: {check.check_name} ({check.description})")
        self._alert(warned)
        if broken:
            raise dg.Failure(
                f"not passed: {'; '.join(broken)}. What is downstream was not written: look at the checks' figures; "
                "docs/tables.md says what they mean",
                allow_retries=False,
            )
        return written

    def _alert(self, warned: Iterable[FailedCheck]) -> None:
        """An alert that is not delivered is sent again later, with what came since."""
        now = time.monotonic()
        due = (one for one in warned if now - self._told.get(one, -ALERT_AGAIN_SECONDS) >= ALERT_AGAIN_SECONDS)
        self._untold |= dict.fromkeys(due)
        if not self._untold or now < self._next_alert:
            return
        if send(self.log, Alert("failed_checks", self.run.job_name, self.run.run_id, [], list(self._untold))):
            self._told |= dict.fromkeys(self._untold, now)
            self._untold.clear()
        else:
            self._next_alert = now + UNDELIVERED_AGAIN_SECONDS

    def _report_check(self, key: dg.AssetKey, check: dg.AssetCheckResult) -> None:
        if check.check_name is None:
            raise ValueError(f"what a micro-batch reports names its checks: {check}")
        now, last = time.monotonic(), self._checks.get((key, check.check_name))
        if last is not None and last[0] == check.passed and now - last[1] < self.check_seconds:
            return
        self._checks[key, check.check_name] = (check.passed, now)
        self.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=check.check_name,
                passed=check.passed,
                severity=check.severity,
                description=check.description,
                metadata={**check.metadata, "run": dg.MetadataValue.dagster_run(self.run.run_id)},
            )
        )


def _failed(key: dg.AssetKey, check: dg.AssetCheckResult) -> FailedCheck:
    return FailedCheck(key.to_user_string(), check.check_name or "", check.severity.value, check.description or "")


def _line(key: dg.AssetKey, figures: Mapping[str, Any]) -> str:
    counted = {kind: figures.get(f"rows_{kind}") for kind in ("inserted", "updated", "deleted", "quarantined")}
    return f"{'.'.join(key.path)} {', '.join(f'{n:,} {kind}' for kind, n in counted.items() if n) or 'written'}"


class DiedTooOftenError(RuntimeError):
    """What was started again died each time."""


@dataclass(frozen=True)
class Restarts:
    """How often in a row micro-batches may die, and how many seconds the first waits to be tried again: twice as long
    each time, half a minute at most."""

    most: int
    first_wait: float

    def wait(self, deaths: int) -> float:
        return min(self.first_wait * 2 ** (deaths - 1), LONGEST_WAIT_SECONDS)


def repeat(
    take: Callable[[], bool],
    stop: threading.Event,
    restarts: Restarts,
    *,
    trigger_seconds: float,
    idle_seconds: float,
    recover: Callable[[Exception], Exception],
    log: dg.DagsterLogManager,
) -> None:
    """Call `take` until `stop` is set, every `trigger_seconds` while it says that it did something, and every
    `idle_seconds` while there is nothing to do.

    Where it raises, `recover` puts right what it can and gives the error in words; then it is tried again, later each
    time. Raises DiedTooOftenError, with the tables that the error is of, after so many deaths in a row, and at once
    what would come out the same.
    """
    deaths = 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            busy = take()
        except LASTING_ERRORS:
            raise
        except Exception as error:
            deaths += 1
            cause = recover(error)
            where = f"the query of {', '.join(noted(error))}" if noted(error) else "the micro-batch"
            told = f"{where} died: {type(cause).__name__}: {cause}"
            if isinstance(cause, LASTING_ERRORS):
                raise cause from error
            if deaths >= restarts.most:
                raise DiedTooOftenError(
                    f"{told} ({deaths} deaths in a row; what was committed stays, and the next run goes on from there)"
                ) from error
            seconds = restarts.wait(deaths)
            log.warning(f"{told}; it goes on from its checkpoint in {seconds:.0f} s")
            stop.wait(seconds)
        else:
            deaths = 0
            left = began + (trigger_seconds if busy else idle_seconds) - time.monotonic()
            if left > 0:
                stop.wait(left)


class StopSignals:
    """SIGINT and SIGTERM as a wish to stop, so that what is in hand can be brought to its end; a second one interrupts
    it. As a context manager; in a thread that can't have signals there are none."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        self.listen()
        return self

    def listen(self) -> None:
        """Take the signals, again where somebody else has taken them since: PySpark does when it starts."""
        if threading.current_thread() is threading.main_thread():
            for one in (signal.SIGINT, signal.SIGTERM):
                handler = signal.signal(one, self._ask)
                self._before.setdefault(one, handler)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def _ask(self, number: int, frame: object) -> None:
        del number, frame
        if self.stop.is_set():
            raise KeyboardInterrupt
        self.stop.set()
