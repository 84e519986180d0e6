"""Alerts of real runs, posted to a real HTTP server."""

import logging
from collections.abc import Iterator

import dagster as dg
import pytest

from music_lakehouse.defs import alerts
from music_lakehouse.defs.alerts import failed_check_alert, run_failure_alert
from music_lakehouse_tests.defs.webhook import Webhook

TOKEN = "s3cret-token"


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with Webhook(f"/hooks/{TOKEN}") as hook:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", hook.url)
        yield hook


def run(checks_pass: bool = True, error: str | None = None) -> dg.SkipReason | None:
    """Run a job whose asset has two checks that stop nothing and may fail, and hand its end to the sensor for it."""

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

    job = dg.Definitions(assets=[numbers], jobs=[dg.define_asset_job("counting")]).resolve_job_def("counting")
    with dg.DagsterInstance.ephemeral() as instance:
        done = job.execute_in_process(instance=instance, raise_on_error=False)
        event = next(event for event in reversed(done.all_events) if event.is_job_event)
        context = dg.build_run_status_sensor_context(
            "test", dagster_event=event, dagster_instance=instance, dagster_run=done.dagster_run
        )
        returned = failed_check_alert(context) if done.success else run_failure_alert(context.for_run_failure())
    assert returned is None or isinstance(returned, dg.SkipReason)
    return returned


def test_a_run_that_failed_is_posted_with_its_error(webhook: Webhook) -> None:
    run(error="no room on the disk\nsecond line")
    (posted,) = webhook.posted
    assert (posted["kind"], posted["job"], posted["failed_checks"]) == ("failed", "counting", [])
    assert posted["errors"] == ["raw__numbers: ValueError: no room on the disk second line"]
    assert posted["text"].startswith(f"counting failed (run {posted['run_id']}): raw__numbers: ValueError: no room")
    assert posted["time"].endswith("+00:00")


def test_checks_that_failed_in_a_run_that_succeeded_are_posted_once(webhook: Webhook) -> None:
    assert run(checks_pass=False) is None
    (posted,) = webhook.posted
    assert posted["kind"] == "succeeded_with_failed_checks"
    assert posted["failed_checks"] == [
        {"asset": "raw/numbers", "check": "usual", "severity": "WARN", "description": "what usual looks at"},
        {"asset": "raw/numbers", "check": "whole", "severity": "ERROR", "description": "what whole looks at"},
    ]
    assert "failed checks: raw/numbers usual (WARN), raw/numbers whole (ERROR)" in posted["text"]


def test_a_run_whose_checks_passed_is_no_alert(webhook: Webhook) -> None:
    skipped = run()
    assert skipped is not None
    assert "all checks of run" in (skipped.skip_message or "")
    assert webhook.posted == []


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
