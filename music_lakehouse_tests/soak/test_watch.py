from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from music_lakehouse.defs.listening.gold_tables import WIDE_STREAMS
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse_tests.soak.disk import Disk, may_mount
from music_lakehouse_tests.soak.record import Death, commits_of, deaths_in
from music_lakehouse_tests.soak.watch import Memory, Sample, Stored, heap_of, read_samples, tables_of

NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


def test_a_table_is_counted_with_what_only_its_history_needs(tmp_path: Path) -> None:
    place = tmp_path / "gold" / "notes"
    for n in (1, 2):
        write_deltalake(place, pa.table({"n": [n]}), mode="overwrite")
    [(name, stored)] = tables_of(str(tmp_path)).items()
    files = list(place.glob("*.parquet"))
    assert name == "gold.notes"
    assert (stored.rows, stored.files, stored.stored_files, stored.log_files) == (1, 1, 2, 2)
    assert stored.size in {file.stat().st_size for file in files}
    assert stored.stored_size == sum(file.stat().st_size for file in place.rglob("*") if file.is_file())


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    sample = Sample(1.0, 2, 3, None, 4, "", {"Kafka": Memory(5, 6)}, Memory(7, 8), {"t": Stored(1, 2, 3, 4, 5, 6)})
    plain = Sample(2.0, 2, 3, 4.5, 4, "gone", {})
    file = tmp_path / "samples"
    file.write_text("".join(json.dumps(one, default=vars) + "\n" for one in map(vars, (sample, plain))))
    assert read_samples(file) == [sample, plain]


@pytest.mark.kafka
def test_what_a_jvm_holds_is_asked_of_itself(broker: EmbeddedBroker) -> None:
    pid = json.loads((broker.data / "broker.json").read_text())["pid"]
    heap = heap_of(pid)
    assert heap is not None, "there is no jcmd"
    assert 1_000_000 < heap.size < psutil.Process(pid).memory_info().rss
    assert heap.life == pid


def test_of_a_process_that_is_no_jvm_no_heap_is_known() -> None:
    assert heap_of(os.getpid()) is None


def test_commits_tell_how_old_the_streams_were_that_they_brought(tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path))
    now = datetime.now(timezone.utc)
    for seconds in ((10, 20, 30), (100,)):
        rows = [
            dict.fromkeys(WIDE_STREAMS.column_names)
            | {"event_id": str(age), "timestamp": now - timedelta(seconds=age), "date_part": now.date()}
            for age in seconds
        ]
        write_deltalake(
            lake.path(WIDE_STREAMS),
            pa.Table.from_pylist(rows, schema=WIDE_STREAMS.arrow_schema),
            mode="append",
            configuration={"delta.enableChangeDataFeed": "true"},
        )
    first, second = commits_of(lake)
    assert (first.streams, second.streams) == (3, 1)
    assert first.median == pytest.approx(20, abs=5)
    assert first.slow == pytest.approx(29, abs=5)
    assert second.median == pytest.approx(100, abs=5)
    assert commits_of(LakePaths(str(tmp_path / "nowhere"))) == []


def test_deaths_are_read_from_what_up_printed_also_past_midnight(tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    log.write_text(
        "12:00:01 Kafka is up\n"
        "12:00:05 Spark ended by SIGKILL: it is started again in 1 s\n"
        "23:59:59 Dagster ended with exit code 1: it is started again in 2 s\n"
        "00:00:10 Kafka ended: it is started again in 1 s\n"
    )
    assert deaths_in(log, NOON.timestamp() + 0.5) == [
        Death(NOON.timestamp() + 5, "Spark ended by SIGKILL"),
        Death(NOON.timestamp() + 12 * 3600 - 1, "Dagster ended with exit code 1"),
        Death(NOON.timestamp() + 12 * 3600 + 10, "Kafka ended"),
    ]


@pytest.mark.skipif(not may_mount(), reason="mounting a file system needs root, or user namespaces")
def test_a_disk_is_full_for_a_while_and_has_room_again(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("this process can't enter a user namespace of its own")
    with Disk(tmp_path / "disk").mounted() as disk:
        (disk.place / "before").write_bytes(b"x" * 100_000)
        with disk.full(leave=64_000):
            with pytest.raises(OSError, match="No space left"):
                (disk.place / "more").write_bytes(b"x" * 200_000)
            (disk.place / "more").unlink()
        (disk.place / "more").write_bytes(b"x" * 200_000)
        assert (disk.place / "before").read_bytes() == b"x" * 100_000
    assert not any((tmp_path / "disk").iterdir())
