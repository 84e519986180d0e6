from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from music_lakehouse.lakehouse import locks, remote_spark
from music_lakehouse.lakehouse.locks import (
    Holder,
    LakeLock,
    LakeLockedError,
    current_holder,
    is_wanted,
    lock_file,
    read_holder,
)
from music_lakehouse.lakehouse.processes import Process
from music_lakehouse.lakehouse.remote_spark import RemoteSession
from music_lakehouse.simulator.broker import free_port

pytestmark = pytest.mark.thorough

SESSION_ID = "00112233-4455-6677-8899-aabbccddeeff"

HOLD = """
import subprocess, sys, time
from music_lakehouse.lakehouse.locks import LakeLock
lock = LakeLock(sys.argv[1])
lock.acquire("the other run")
if len(sys.argv) > 2:
    for main_class in ("org.apache.spark.deploy.SparkSubmit", "kafka.Kafka"):
        subprocess.Popen([sys.argv[2], "-c", "import time; time.sleep(60)", main_class])
    time.sleep(1)
    lock.add_children()
print("held", flush=True)
time.sleep(300)
"""


def hold(root: Path, *more: str) -> subprocess.Popen[str]:
    """Another process that holds the lake's lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(root), *more], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def test_of_two_processes_one_holds_the_lake_and_the_other_is_told_who(tmp_path: Path) -> None:
    other = hold(tmp_path)
    try:
        holder = current_holder(str(tmp_path))
        assert holder is not None
        assert (holder.run_id, [process.pid for process in holder.processes]) == ("the other run", [other.pid])
        with pytest.raises(LakeLockedError, match=rf"run the other run on .* \(processes {other.pid}\)"):
            LakeLock(str(tmp_path)).acquire("mine")
    finally:
        kill(other)


def test_a_lock_that_is_lent_says_so_and_is_wanted_while_another_run_waits_for_it(tmp_path: Path) -> None:
    first, second = LakeLock(str(tmp_path)), LakeLock(str(tmp_path))
    first.acquire("first", lends=True)
    holder = current_holder(str(tmp_path))
    assert holder is not None
    assert holder.lends
    with pytest.raises(LakeLockedError):
        second.acquire("who doesn't wait")
    assert not is_wanted(lock_file(str(tmp_path)))
    with pytest.raises(LakeLockedError):
        second.acquire("second", wait_seconds=0.6)
    assert is_wanted(lock_file(str(tmp_path)))
    first.release()
    second.acquire("second", wait_seconds=0.6)
    assert not is_wanted(lock_file(str(tmp_path)))


def test_a_second_run_waits_until_the_first_has_ended(tmp_path: Path) -> None:
    first, second = LakeLock(str(tmp_path)), LakeLock(str(tmp_path))
    first.acquire("first")
    with pytest.raises(LakeLockedError, match="first"):
        second.acquire("second", wait_seconds=0.6)
    first.release()
    second.acquire("second", wait_seconds=0.6)
    assert current_holder(str(tmp_path)) is not None
    second.release()
    assert current_holder(str(tmp_path)) is None
    assert not lock_file(str(tmp_path)).exists()


def test_a_killed_run_blocks_nothing(tmp_path: Path) -> None:
    kill(hold(tmp_path))
    assert current_holder(str(tmp_path)) is None
    lock = LakeLock(str(tmp_path))
    lock.acquire("mine")
    lock.release()


def test_a_run_whose_jvm_outlives_it_still_holds_the_lake_which_a_broker_that_it_started_does_not(
    tmp_path: Path,
) -> None:
    java = tmp_path / "java"
    java.symlink_to(Path(sys.executable).resolve())
    other = hold(tmp_path / "lake", str(java))
    _, broker = sorted(psutil.Process(other.pid).children(), key=lambda child: "SparkSubmit" not in child.cmdline()[-1])
    holder = current_holder(str(tmp_path / "lake"))
    assert holder is not None
    python, java_process = holder.processes
    assert python.pid == other.pid
    jvm = psutil.Process(java_process.pid)
    try:
        kill(other)
        with pytest.raises(LakeLockedError, match=str(jvm.pid)):
            LakeLock(str(tmp_path / "lake")).acquire("mine")
    finally:
        jvm.send_signal(signal.SIGKILL)
    jvm.wait(10)
    assert broker.is_running()
    lock = LakeLock(str(tmp_path / "lake"))
    lock.acquire("mine", wait_seconds=5)
    lock.release()
    broker.kill()


def test_another_host_is_judged_by_its_heartbeat(tmp_path: Path) -> None:
    file = lock_file(str(tmp_path))
    here = (Process.of(os.getpid()),)
    fresh = Holder("far", "another-host", "its-boot", here, time.time() - locks.STALE_SECONDS + 30)
    file.write_text(json.dumps(asdict(fresh)))
    with pytest.raises(LakeLockedError, match="run far on another-host"):
        LakeLock(str(tmp_path)).acquire("mine")
    file.write_text(json.dumps({**asdict(fresh), "heartbeat": time.time() - locks.STALE_SECONDS - 1}))
    lock = LakeLock(str(tmp_path))
    lock.acquire("mine")
    lock.release()


def test_another_boot_or_a_later_process_with_the_same_id_is_dead(tmp_path: Path) -> None:
    here = Holder("run", os.uname().nodename, locks._boot(), (Process.of(os.getpid()),))
    assert here.alive
    assert not Holder("run", here.host, "an earlier boot", here.processes).alive
    assert not Process(os.getpid(), here.processes[0].started - 60).alive
    assert not Process(2**22 + 1, 0.0).alive


def test_the_heartbeat_goes_on_while_the_lake_is_held_and_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.001)
    for number in range(100):
        lock = LakeLock(str(tmp_path))
        lock.acquire(f"run {number}")
        first = current_holder(str(tmp_path))
        if number == 0:
            time.sleep(0.1)
            later = current_holder(str(tmp_path))
            assert first is not None
            assert later is not None
            assert later.heartbeat > first.heartbeat
        lock.release()
        time.sleep(0.002)
        assert not lock_file(str(tmp_path)).exists(), f"held again after release {number}"


def test_a_lake_in_an_object_store_is_locked_on_this_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert lock_file("s3a://bucket/lake").parent == tmp_path
    assert lock_file("s3a://bucket/lake") != lock_file("s3a://bucket/other")
    assert lock_file("s3a://bucket/lake") == lock_file("s3://bucket/lake")


def test_a_lock_names_its_sessions_and_is_taken_over_where_their_server_is_gone(tmp_path: Path) -> None:
    gone = RemoteSession("127.0.0.1", free_port(), SESSION_ID, "somebody")
    first = LakeLock(str(tmp_path))
    first.acquire("first")
    first.add_session(gone)
    holder = current_holder(str(tmp_path))
    assert holder is not None
    assert holder.sessions == (gone,)
    dead = replace(holder, boot="another boot")
    lock_file(str(tmp_path)).write_text(json.dumps(asdict(dead)))
    second = LakeLock(str(tmp_path))
    second.acquire("second")
    second.release()


def test_a_lock_is_not_taken_over_where_a_server_does_not_say_that_the_killed_runs_session_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_spark, "ANSWER_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        session = RemoteSession(
            "127.0.0.1", silent.getsockname()[1], "00112233-4455-6677-8899-aabbccddeeff", "somebody"
        )
        dead = Holder("killed", socket.gethostname(), "another boot", (), sessions=(session,))
        lock_file(str(tmp_path)).write_text(json.dumps(asdict(dead)))
        with pytest.raises(LakeLockedError, match=f"killed, and {session} .*may still be writing"):
            LakeLock(str(tmp_path)).acquire("next")
    assert read_holder(lock_file(str(tmp_path))) == dead


def test_who_waits_for_a_lock_waits_for_the_killed_runs_session_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_spark, "ANSWER_SECONDS", 0.5)
    silent = socket.create_server(("127.0.0.1", 0))
    session = RemoteSession("127.0.0.1", silent.getsockname()[1], "00112233-4455-6677-8899-aabbccddeeff", "somebody")
    dead = Holder("killed", socket.gethostname(), "another boot", (), sessions=(session,))
    lock_file(str(tmp_path)).write_text(json.dumps(asdict(dead)))
    threading.Timer(2, silent.close).start()
    lock = LakeLock(str(tmp_path))

    lock.acquire("next", wait_seconds=60)

    holder = current_holder(str(tmp_path))
    assert holder is not None
    assert holder.run_id == "next"
    lock.release()
