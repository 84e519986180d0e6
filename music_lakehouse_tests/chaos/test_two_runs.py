"""Two processes that run the pipeline on one lake."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from music_lakehouse.lakehouse.locks import current_holder, lock_file, read_holder
from music_lakehouse_tests.chaos.lab import Lab, wait_for
from music_lakehouse_tests.chaos.runner import Fault

pytestmark = [pytest.mark.chaos, pytest.mark.spark, pytest.mark.kafka]

PAGE_VIEWS = "raw.page_view_events"


def test_a_second_run_says_who_holds_the_lake_or_waits_until_its_python_and_jvm_have_ended(
    lab: Lab, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    lab.send(400, seed=1)
    first = lab.start(PAGE_VIEWS, fault=Fault("ingest_batches", table=PAGE_VIEWS, victim="nobody", gate=str(gate)))
    wait_for(gate, 180)
    holder = read_holder(lock_file(lab.lake.root))
    assert holder is not None
    python, jvm = (psutil.Process(process.pid) for process in holder.processes)
    assert python.pid == first.process.pid

    hasty = lab.run("raw.auth_events", LOCK_WAIT_SECONDS="0", MOST_RETRIES="0")

    assert hasty.code == 1
    assert (
        f"the lake is held by run {holder.run_id} on {holder.host} (processes {python.pid}, {jvm.pid})"
        in hasty.errors[0]
    )

    patient = lab.start(PAGE_VIEWS, LOCK_WAIT_SECONDS="120")
    jvm.suspend()
    python.kill()
    first.result()
    time.sleep(5)

    assert current_holder(lab.lake.root) is not None, "the JVM, which may still commit, holds the lake"
    assert patient.process.poll() is None
    jvm.kill()
    second = patient.result()
    assert second.success, second.errors
    assert lab.rows(PAGE_VIEWS) == sum(lab.topic("page_view_events").end_offsets.values())
