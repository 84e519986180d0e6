"""The archives of what Java loads at each start: made at set-up, used by the broker and by Spark, missed by neither."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from music_lakehouse import class_archives
from music_lakehouse.class_archives import java_options
from music_lakehouse.jars import JARS, find_java
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port

SESSION = """
from music_lakehouse.resources.spark import SparkResource
resource = SparkResource(master="local[1]", lake_root={lake!r})
print("rows:", resource.spark_session.range(3).count())
resource.close()
"""


def shared(log: Path) -> float:
    """The share of the classes in a JVM's log of them that came from an archive."""
    loaded = log.read_text().splitlines()
    return sum("shared objects file" in line for line in loaded) / len(loaded)


@pytest.mark.kafka
def test_the_broker_takes_its_classes_from_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "classes.log"
    monkeypatch.setenv("JDK_JAVA_OPTIONS", f"-Xlog:class+load:file={log}")

    with EmbeddedBroker(tmp_path / "broker", free_port(), heap="256m"):
        assert shared(log) > 0.7


@pytest.mark.spark
def test_spark_takes_its_classes_from_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "classes.log"
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", f"-Xlog:class+load:file={log}")

    script = SESSION.format(lake=str(tmp_path / "a lake"))
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert "rows: 3" in ran.stdout, ran.stderr
    assert shared(log) > 0.7


def test_where_no_archive_was_made_java_is_given_none(tmp_path: Path) -> None:
    assert java_options("spark", tmp_path) == []
    assert not class_archives.made(tmp_path)


def test_made_archives_are_left_as_they_are() -> None:
    archives = sorted(class_archives.ARCHIVES.iterdir())
    before = [archive.stat().st_mtime_ns for archive in archives]

    assert not class_archives.make()

    assert [archive.name for archive in archives] == ["broker.jsa", "spark.jsa", "stamp"]
    assert [archive.stat().st_mtime_ns for archive in archives] == before


def test_java_says_nothing_of_an_archive_of_other_jars() -> None:
    command = [str(find_java().path), *java_options("broker"), "-cp", str(JARS / "spark" / "*"), "-version"]

    ran = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "warning" not in ran.stdout + ran.stderr


def test_what_a_process_said_that_made_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_archives, "REHEARSALS", {"no such program": class_archives.rehearse_broker})

    with pytest.raises(RuntimeError, match="the classes of no such program could not be made: KeyError"):
        class_archives.make(tmp_path / "classes")

    assert not class_archives.made(tmp_path / "classes")
