"""Of what a run's steps failed, as Dagster recorded it, and what may help against it."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

from music_lakehouse.lakehouse.errors import SparkLostError, StorageError
from music_lakehouse.lakehouse.kafka_access import BrokerUnavailableError
from music_lakehouse.lakehouse.locks import LakeLockedError
from music_lakehouse.lakehouse.remote_spark import SparkUnavailableError

# Within the run, what they say is waited for.
RETRIED_ERRORS = (BrokerUnavailableError, LakeLockedError, SparkUnavailableError)
# After these another run may fare better soon.
PASSING_ERRORS = {error.__name__ for error in (*RETRIED_ERRORS, SparkLostError, StorageError)}
# After these, running again over the same input changes nothing.
LASTING_ERRORS = {"DagsterAssetCheckFailedError", "ExpectationFailedError"}
LONGEST_MESSAGE = 500
# Dagster wraps what an asset raises in these.
_WRAPPERS = {"DagsterExecutionStepExecutionError", "RetryRequested"}


@dataclass(frozen=True)
class StepError:
    """What a step raised: the exception's class, and its text on one line."""

    step: str
    class_name: str
    text: str

    def __str__(self) -> str:
        return f"{self.step}: {self.class_name}: {self.text}"


def step_errors(instance: dg.DagsterInstance, run_id: str) -> list[StepError]:
    """The errors of the run's steps that failed, in their order; none of a run that was killed."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    found = []
    for event in (record.event_log_entry.dagster_event for record in records):
        error = event.step_failure_data.error if event is not None else None
        if event is None or error is None:
            continue
        if error.cls_name in _WRAPPERS and error.cause is not None:
            error = error.cause
        name = error.cls_name or "Error"
        # Dagster puts the class with its module before the text.
        text = " ".join(error.message.split()).partition(f"{name}: ")[2]
        found.append(StepError(event.step_key or "", name, text[:LONGEST_MESSAGE]))
    return found
