"""What a run's record says of the errors of its steps."""

import dagster as dg

from music_lakehouse.defs.failures import LASTING_ERRORS, PASSING_ERRORS, StepError, step_errors
from music_lakehouse.lakehouse.errors import StorageError
from music_lakehouse.lakehouse.expectations import ExpectationFailedError
from music_lakehouse.lakehouse.kafka_access import BrokerUnavailableError


class BrokenError(RuntimeError):
    """What an asset raises."""


@dg.asset
def raising() -> None:
    try:
        raise OSError("the disk")
    except OSError as error:
        raise BrokenError("no room\n  left") from error


def giving_up(name: str, cause: Exception) -> dg.AssetsDefinition:
    """An asset that tries again for this cause until it may no more."""

    @dg.asset(name=name)
    def asset() -> None:
        raise dg.RetryRequested(max_retries=1, seconds_to_wait=0) from cause

    return asset


retrying = giving_up("retrying", BrokenError("still down"))
without_a_broker = giving_up("without_a_broker", BrokerUnavailableError("no broker answers"))


@dg.asset
def on_a_full_disk() -> None:
    raise StorageError("the disk is full")


@dg.asset
def breaking_a_rule() -> None:
    raise ExpectationFailedError("1 of 2 rows break the rule")


@dg.asset(check_specs=[dg.AssetCheckSpec("whole", asset="failing_its_check", blocking=True)])
def failing_its_check() -> dg.MaterializeResult:
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=False, check_name="whole")])


def errors_of(*assets: dg.AssetsDefinition) -> dict[str, StepError]:
    job = dg.Definitions(assets=assets, jobs=[dg.define_asset_job("all")]).resolve_job_def("all")
    with dg.DagsterInstance.ephemeral() as instance:
        done = job.execute_in_process(instance=instance, raise_on_error=False)
        return {error.step: error for error in step_errors(instance, done.run_id)}


def test_an_error_is_what_the_asset_raised() -> None:
    errors = errors_of(raising, retrying)
    assert errors["raising"] == StepError("raising", "BrokenError", "no room left")
    assert str(errors["raising"]) == "raising: BrokenError: no room left"
    assert errors["retrying"] == StepError("retrying", "BrokenError", "still down")


def test_a_broken_rule_and_a_blocking_check_are_errors_that_last() -> None:
    errors = errors_of(breaking_a_rule, failing_its_check)
    assert {error.class_name for error in errors.values()} == LASTING_ERRORS


def test_a_broker_that_is_down_and_a_full_disk_are_errors_that_pass() -> None:
    errors = errors_of(without_a_broker, on_a_full_disk)
    assert len(errors) == 2
    assert {error.class_name for error in errors.values()} <= PASSING_ERRORS
