"""Alerts: what failed, once a run, and what waits too long; in the log and to ALERT_WEBHOOK_URL where it is set."""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

import dagster as dg
import requests
from dagster._core.definitions.run_request import DagsterRunReaction

from music_lakehouse.defs import delays
from music_lakehouse.defs.failures import step_errors
from music_lakehouse.defs.listening.backlogs import find_backlogs
from music_lakehouse.lakehouse.kafka_access import BROKER_ERRORS
from music_lakehouse.resources.kafka import KafkaResource
from music_lakehouse.resources.lakehouse import LakehouseResource
from music_lakehouse.settings import Settings

WEBHOOK_SECONDS = 5.0
# An alert of a run is posted again after so many seconds, and then after so many.
RUN_AGAIN_SECONDS = (1.0, 2.0)
# So long a topic may have more unread messages than usual: a burst passes by itself.
LAG_SECONDS = 300.0
# urllib3 logs the path of each request, which may hold a token.
logging.getLogger("urllib3").setLevel(logging.INFO)


@dataclass(frozen=True)
class FailedCheck:
    """A check that did not pass: of which asset (`raw/listen_events`), and whether it is an ERROR or a WARN."""

    asset: str
    check: str
    severity: str
    description: str


@dataclass(frozen=True)
class Alert:
    """What went wrong in one run; `errors` are its failed steps' errors, a line each. Of what no run is to blame for,
    `job` and `run_id` are empty, and `errors` say what it is."""

    kind: str
    job: str
    run_id: str
    errors: Sequence[str]
    failed_checks: Sequence[FailedCheck]

    @property
    def text(self) -> str:
        """One sentence for people."""
        checks = [f"{check.asset} {check.check} ({check.severity})" for check in self.failed_checks]
        if not self.run_id:
            return f"{self.kind}: {'; '.join(self.errors)}"
        said = [*self.errors, *([f"failed checks: {', '.join(checks)}"] if checks else [])]
        return f"{self.job} {self.kind.replace('_', ' ')} (run {self.run_id}): {'; '.join(said)}"

    def payload(self, now: datetime) -> dict[str, Any]:
        """The alert as JSON: its fields, its `text`, which chat services show, and the `time` in UTC."""
        return {"text": self.text, "time": now.isoformat(), **asdict(self)}


# The command line's runs have no code location, and Dagster matches none of them to a sensor's: so both take all runs,
# and pass over those of others. They skip none: in one tick, Dagster takes skipped and told runs for a mistake.
@dg.run_failure_sensor(
    name="run_failure_alert",
    monitor_all_code_locations=True,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Says which run failed, and of what: in the log, and to ALERT_WEBHOOK_URL where it is set.",
)
def run_failure_alert(context: dg.RunFailureSensorContext) -> DagsterRunReaction | None:
    run = context.dagster_run
    if not _is_ours(context):
        return None
    errors = [str(error) for error in step_errors(context.instance, run.run_id)]
    errors = errors or [context.failure_event.message or "no step failed"]
    failed = failed_checks(context.instance, run.run_id)
    return _tell_of_run(context, Alert("failed", run.job_name, run.run_id, errors, failed))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    name="failed_check_alert",
    monitor_all_code_locations=True,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Says which checks failed in a run that succeeded: in the log, and to ALERT_WEBHOOK_URL where it is "
    "set. Checks that stop nothing leave their run green.",
)
def failed_check_alert(context: dg.RunStatusSensorContext) -> DagsterRunReaction | None:
    run = context.dagster_run
    failed = failed_checks(context.instance, run.run_id) if _is_ours(context) else []
    if not failed:
        return None
    return _tell_of_run(context, Alert("succeeded_with_failed_checks", run.job_name, run.run_id, [], failed))


def _is_ours(context: dg.RunStatusSensorContext) -> bool:
    """Whether the run's job is one of this code location's."""
    return context.repository_def is None or context.repository_def.has_job(context.dagster_run.job_name)


def _tell_of_run(context: dg.RunStatusSensorContext, alert: Alert) -> DagsterRunReaction | None:
    """Send the alert, if need be several times: Dagster hands in a run only once. One that was not delivered is the
    tick's last, of which a webhook that doesn't answer would else take more time than Dagster gives it."""
    if send(context.log, alert, again_after=RUN_AGAIN_SECONDS):
        return None
    return DagsterRunReaction(context.dagster_run, run_status=context.dagster_run.status)


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Says which topics have had more than ALERT_LAG_MESSAGES unread messages for five minutes: in the log, "
    "and to ALERT_WEBHOOK_URL where it is set. Once, and again every day.",
)
def lag_alert(context: dg.SensorEvaluationContext, kafka: KafkaResource, lakehouse: LakehouseResource) -> dg.SkipReason:
    try:
        backlogs, _ = find_backlogs(lakehouse.paths, kafka.settings)
    except BROKER_ERRORS as error:
        # How much waits there nobody knows; that it doesn't answer is for freshness_alert to say.
        return dg.SkipReason(str(error))
    return _tell_overdue(context, "lag", delays.of_topics(backlogs, Settings().alert_lag_messages), LAG_SECONDS)


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Says which messages and rows have waited for ALERT_FRESHNESS_MINUTES without any progress, or that no "
    "broker has answered for so long: in the log, and to ALERT_WEBHOOK_URL where it is set. Once, and again every day.",
)
def freshness_alert(
    context: dg.SensorEvaluationContext, kafka: KafkaResource, lakehouse: LakehouseResource
) -> dg.SkipReason:
    waiting = delays.of_lake(lakehouse.paths, kafka.settings)
    return _tell_overdue(context, "freshness", waiting, Settings().alert_freshness_minutes * 60)


def _tell_overdue(
    context: dg.SensorEvaluationContext, kind: str, waiting: Sequence[delays.Delay], patience: float
) -> dg.SkipReason:
    """Sends one alert of what has waited for longer than `patience` seconds; the cursor has what the last tick saw, and
    what was told. What was not delivered the next tick sends again."""
    now = time.time()
    seen, due = delays.overdue(waiting, delays.loads(context.cursor), now, patience)
    delivered = not due or send(context.log, Alert(kind, "", "", list(due.values()), []))
    context.update_cursor(delays.dumps(delays.told(seen, due, now) if delivered else seen))
    if not delivered:
        return dg.SkipReason(f"an alert of {len(due)} delays was not delivered: it is sent again")
    if due:
        return dg.SkipReason(f"an alert of {len(due)} delays was sent")
    return dg.SkipReason(f"{len(waiting)} delays, none of which is due to be told" if waiting else "nothing waits")


def failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[FailedCheck]:
    """The checks that did not pass in the run, in the order of their evaluation."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    events = [record.event_log_entry.dagster_event for record in records]
    evaluations = [event.asset_check_evaluation_data for event in events if event is not None]
    return [
        FailedCheck(
            evaluation.asset_key.to_user_string(),
            evaluation.check_name,
            evaluation.severity.value,
            evaluation.description or "",
        )
        for evaluation in evaluations
        if not evaluation.passed
    ]


def post(alert: Alert, url: str) -> str | None:
    """Post the alert; None where it was taken within five seconds, else why not, without the URL."""
    try:
        answer = requests.post(url, json=alert.payload(datetime.now(timezone.utc)), timeout=WEBHOOK_SECONDS)
    except requests.RequestException as error:
        # Its text names the URL.
        return type(error).__name__
    return None if answer.ok else f"it answered {answer.status_code}"


def send(log: logging.Logger, alert: Alert, *, again_after: Sequence[float] = ()) -> bool:
    """Write the alert to the log, and post it where ALERT_WEBHOOK_URL is set; one that isn't taken again after each of
    these seconds. Says whether it was delivered: without a webhook it is, as the log has it."""
    log.warning(alert.text)
    url = Settings().alert_webhook_url
    if url is None:
        return True
    for seconds in (0.0, *again_after):
        time.sleep(seconds)
        problem = post(alert, url.get_secret_value())
        if problem is None:
            return True
    log.warning(f"the alert {alert.kind} {alert.run_id} did not reach the webhook ({problem}): check ALERT_WEBHOOK_URL")
    return False
