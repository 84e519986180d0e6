"""A disk that is full, and directories that can't be written."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.defs import shell
from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse_tests.chaos.lab import Lab

pytestmark = [pytest.mark.chaos, pytest.mark.spark, pytest.mark.kafka]

ALL_RAW = tuple(table.full_name for table in RAW.values())
DISK_BYTES = 64 * 1024 * 1024


@pytest.fixture(autouse=True)
def _soon_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "FIRST_RETRY_SECONDS", 0.1)


def as_root(*words: str) -> bool:
    """Whether the command succeeds, as root where we are or may be: in GitHub's runners by a sudo that asks nothing."""
    command = words if os.geteuid() == 0 or not shutil.which("sudo") else ("sudo", "-n", *words)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 64 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not as_root("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)):
        pytest.skip("mounting a file system needs root")
    yield disk
    as_root("umount", "--lazy", str(disk))


@pytest.fixture
def lab(small_disk: Path, broker: EmbeddedBroker, topic_prefix: str) -> Lab:
    """A lab on the small disk."""
    return Lab(small_disk, broker.bootstrap_servers, topic_prefix)


def fill(disk: Path, *, leave: int) -> None:
    """Write a file that leaves so many bytes of the disk free."""
    free = os.statvfs(disk)
    size = free.f_bavail * free.f_frsize - leave
    with (disk / "ballast").open("wb") as file:
        file.write(b"\0" * size)


@contextmanager
def unwritable(directory: Path) -> Iterator[None]:
    """Nobody, root neither, can make or remove a file in the directory."""
    if not as_root("chattr", "+i", str(directory)):
        pytest.skip("making a directory immutable needs root, and a file system that knows it")
    try:
        yield
    finally:
        as_root("chattr", "-i", str(directory))


@pytest.mark.timeout(1200)
def test_a_full_disk_is_said_and_leaves_whole_tables_that_go_on_once_there_is_room(
    lab: Lab, small_disk: Path, spark: SparkSession
) -> None:
    lab.send(400, seed=1)
    for leave in (16_000, 64_000, 500_000):
        fill(small_disk, leave=leave)

        full = lab.run_here()

        assert not full.success, f"{leave} bytes were enough"
        assert all("is full: make room, then run again" in error for error in full.errors), full.errors
        assert all("\n" not in error for error in full.errors)
        assert full.retries == []
        lab.read_all()
        (small_disk / "ballast").unlink()

    assert lab.run_here().success
    lab.compare()


def test_a_file_system_that_turns_read_only_is_said(lab: Lab, small_disk: Path, spark: SparkSession) -> None:
    lab.send(50, seed=1)
    lab.run_here(*ALL_RAW[:1])
    lab.send(50, seed=2)
    assert as_root("mount", "-o", "remount,ro", str(small_disk))

    refused = lab.run_here(*ALL_RAW[:1])

    assert len(refused.errors) == 1
    assert "cannot be written" in refused.errors[0]
    assert "Read-only file system" in refused.errors[0]
    assert as_root("mount", "-o", "remount,rw", str(small_disk))
    assert lab.run_here(*ALL_RAW).success
    assert sum(lab.lake.rows(table) for table in RAW.values()) == len(lab.messages())


def test_a_table_directory_that_cannot_be_written_is_said(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str, spark: SparkSession
) -> None:
    lab = Lab(tmp_path, broker.bootstrap_servers, topic_prefix)
    lab.send(100, seed=1)
    table = RAW["page_view_events"]
    assert lab.run_here(table.full_name).success
    before = lab.lake.rows(table)
    lab.send(100, seed=2)
    with unwritable(Path(lab.lake.path(table))):
        refused = lab.run_here(table.full_name)

    assert len(refused.errors) == 1
    assert "cannot be written" in refused.errors[0]
    assert "Operation not permitted" in refused.errors[0]
    assert lab.lake.rows(table) == before
    with unwritable(Path(lab.lake.path(table)) / "_delta_log"):
        refused = lab.run_here(table.full_name)
    assert "cannot be written" in refused.errors[0]
    assert lab.lake.rows(table) == before
    assert lab.run_here(*ALL_RAW).success
    assert sum(lab.lake.rows(table) for table in RAW.values()) == len(lab.messages())
