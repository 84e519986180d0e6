"""Alerts of real runs, posted to a real HTTP server."""

import logging
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin

from music_lakehouse.defs import alerts
from music_lakehouse.defs.alerts import failed_check_alert, run_failure_alert
from music_lakehouse_tests.defs.webhook import Webhook

TOKEN = "s3cret-token"


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with Webhook(f"/hooks/{TOKEN}") as hook:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", hook.url)
        monkeypatch.setattr(alerts, "RUN_AGAIN_SECONDS", (0.01, 0.02))
        yield hook


def counting(checks_pass: bool = True, error: str | None = None) -> dg.Definitions:
    """A code location with the sensors and a job, `counting`, whose asset has two checks that stop nothing and may
    fail."""

    def result(name: str, severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            passed=checks_pass, check_name=name, severity=severity, description=f"what {name} looks at"
        )

    @dg.asset(
        key=["raw", "numbers"],
        check_specs=[dg.AssetCheckSpec(name, asset=["raw", "numbers"]) for name in ("usual", "whole")],
    )
    def numbers() -> dg.MaterializeResult:
        if error:
            raise ValueError(error)
        checks = [result("usual", dg.AssetCheckSeverity.WARN), result("whole", dg.AssetCheckSeverity.ERROR)]
        return dg.MaterializeResult(check_results=checks)

    return dg.Definitions(
        assets=[numbers],
        jobs=[dg.define_asset_job("counting", [numbers])],
        sensors=[run_failure_alert, failed_check_alert],
    )


def ran(instance: dg.DagsterInstance, location: dg.Definitions) -> dg.ExecuteInProcessResult:
    """As the command line runs it: Dagster is told of no location."""
    return location.resolve_job_def("counting").execute_in_process(instance=instance, raise_on_error=False)


def run(checks_pass: bool = True, error: str | None = None) -> None:
    """Run the job, and hand its end to the sensor for it."""
    with dg.DagsterInstance.ephemeral() as instance:
        done = ran(instance, counting(checks_pass, error))
        event = next(event for event in reversed(done.all_events) if event.is_job_event)
        context = dg.build_run_status_sensor_context(
            "test", dagster_event=event, dagster_instance=instance, dagster_run=done.dagster_run
        )
        if done.success:
            failed_check_alert(context)
        else:
            run_failure_alert(context.for_run_failure())


class Daemon:
    """Ticks of a code location's sensors, as Dagster's daemon asks the location for them; cursors are kept."""

    def __init__(self, location: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.repository, self.instance = location.get_repository_def(), instance
        self.cursors: dict[str, str | None] = {}
        self.tick()

    def tick(self) -> list[str]:
        """The runs that the sensors took up, by their ids."""
        taken = []
        for sensor in self.repository.sensor_defs:
            with dg.SensorEvaluationContext(
                None,
                instance=self.instance,
                cursor=self.cursors.get(sensor.name),
                repository_name=self.repository.name,
                repository_def=self.repository,
                sensor_name=sensor.name,
                code_location_origin=GrpcServerCodeLocationOrigin(host="localhost", port=4000, location_name="ours"),
            ) as context:
                told = sensor.evaluate_tick(context)
            self.cursors[sensor.name] = told.cursor
            runs = [reaction.dagster_run for reaction in told.dagster_run_reactions or ()]
            taken += [run.run_id for run in runs if run is not None]
        return taken


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        (counting(error="no room on the disk"), "failed"),
        (counting(checks_pass=False), "succeeded_with_failed_checks"),
    ],
    ids=["a run that failed", "a run whose checks failed"],
)
def test_runs_that_the_command_line_starts_are_posted_once(
    location: dg.Definitions, kind: str, webhook: Webhook, instance: dg.DagsterInstance
) -> None:
    daemon = Daemon(location, instance)
    done = ran(instance, location)
    assert daemon.tick() == [done.run_id]
    assert daemon.tick() == []
    assert [(posted["kind"], posted["run_id"]) for posted in webhook.posted] == [(kind, done.run_id)]


def test_runs_of_other_code_locations_on_the_same_instance_are_theirs(
    webhook: Webhook, instance: dg.DagsterInstance
) -> None:
    @dg.job
    def another() -> None:
        pass

    daemon = Daemon(dg.Definitions(jobs=[another], sensors=[run_failure_alert, failed_check_alert]), instance)
    ran(instance, counting(error="no room on the disk"))
    ran(instance, counting(checks_pass=False))
    daemon.tick()
    assert webhook.posted == []


def test_of_several_runs_between_two_ticks_each_is_looked_at(webhook: Webhook, instance: dg.DagsterInstance) -> None:
    daemon = Daemon(counting(), instance)
    runs = [ran(instance, counting(checks_pass)).run_id for checks_pass in (False, True, False)]
    assert daemon.tick() == runs
    assert [posted["run_id"] for posted in webhook.posted] == [runs[0], runs[2]]


def test_a_run_that_failed_is_posted_with_its_error(webhook: Webhook) -> None:
    run(error="no room on the disk\nsecond line")
    (posted,) = webhook.posted
    assert (posted["kind"], posted["job"], posted["failed_checks"]) == ("failed", "counting", [])
    assert posted["errors"] == ["raw__numbers: ValueError: no room on the disk second line"]
    assert posted["text"].startswith(f"counting failed (run {posted['run_id']}): raw__numbers: ValueError: no room")
    assert posted["time"].endswith("+00:00")


def test_checks_that_failed_in_a_run_that_succeeded_are_posted_once(webhook: Webhook) -> None:
    run(checks_pass=False)
    (posted,) = webhook.posted
    assert posted["kind"] == "succeeded_with_failed_checks"
    assert posted["failed_checks"] == [
        {"asset": "raw/numbers", "check": "usual", "severity": "WARN", "description": "what usual looks at"},
        {"asset": "raw/numbers", "check": "whole", "severity": "ERROR", "description": "what whole looks at"},
    ]
    assert "failed checks: raw/numbers usual (WARN), raw/numbers whole (ERROR)" in posted["text"]


def test_a_run_whose_checks_passed_is_no_alert(webhook: Webhook) -> None:
    run()
    assert webhook.posted == []


def test_an_alert_that_the_webhook_refused_is_posted_again_until_it_is_taken(
    webhook: Webhook, capfd: pytest.CaptureFixture[str]
) -> None:
    webhook.refuses = 2
    run(error="no room on the disk")
    assert len(webhook.posted) == 3
    assert "did not reach the webhook" not in capfd.readouterr().err


def test_a_run_whose_alert_was_not_delivered_is_its_ticks_last(webhook: Webhook, instance: dg.DagsterInstance) -> None:
    location = counting(checks_pass=False)
    daemon = Daemon(location, instance)
    runs = [ran(instance, location).run_id for _ in range(3)]
    webhook.refuses = 3
    assert daemon.tick() == runs[:1]
    assert daemon.tick() == runs[1:]
    assert [posted["run_id"] for posted in webhook.posted] == [runs[0]] * 3 + runs[1:]


def test_without_a_webhook_the_alert_is_a_warning_in_the_log(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", "")
    run(error="no room on the disk")
    logged = [line for line in capfd.readouterr().err.splitlines() if "counting failed (run" in line]
    assert len(logged) == 1
    assert "WARNING" in logged[0]
    assert "no room on the disk" in logged[0]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("down", "ConnectionError"),
        ("slow", "ReadTimeout"),
        ("refusing", "it answered 500"),
        ("no URL", "InvalidSchema"),
    ],
)
def test_a_webhook_that_does_not_take_the_alert_breaks_nothing_and_its_url_is_in_no_log(
    fault: str,
    said: str,
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    if fault == "down":
        monkeypatch.setenv("ALERT_WEBHOOK_URL", f"http://127.0.0.1:9/{TOKEN}")
    if fault == "no URL":
        monkeypatch.setenv("ALERT_WEBHOOK_URL", f"hooks:{TOKEN}")
    if fault == "slow":
        monkeypatch.setattr(alerts, "WEBHOOK_SECONDS", 0.2)
        webhook.delay = 0.5
    webhook.status = 500
    run(error="no room on the disk")
    output = capfd.readouterr()
    logged = output.err + output.out + caplog.text
    assert f"did not reach the webhook ({said}): check ALERT_WEBHOOK_URL" in logged
    assert TOKEN not in logged
