from __future__ import annotations

import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyspark
import pytest

from music_lakehouse import jars

SMALL_IVY = """\
<ivy-module version="2.0">
  <info organisation="music-lakehouse" module="test"/>
  <configurations><conf name="spark" transitive="false"/></configurations>
  <dependencies defaultconfmapping="*->default">{dependencies}</dependencies>
</ivy-module>
"""


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `java` that a test writes, and the only one that JAVA_HOME and PATH lead to."""
    launcher = tmp_path / "home" / "bin" / "java"
    launcher.parent.mkdir(parents=True)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    return launcher


def write_java(launcher: Path, version: str) -> None:
    launcher.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("version", "major", "tested"),
    [("17.0.15", 17, True), ("21", 21, True), ("21-ea", 21, True), ("25.0.1", 25, False)],
)
def test_java_is_found_with_its_major_version(fake_java: Path, version: str, major: int, tested: bool) -> None:
    write_java(fake_java, version)

    java = jars.find_java()

    assert (java.path, java.major, java.tested) == (fake_java, major, tested)


@pytest.mark.parametrize(("version", "major"), [("1.8.0_402", 8), ("11.0.22", 11)])
def test_an_old_java_is_refused_by_name_and_version(fake_java: Path, version: str, major: int) -> None:
    write_java(fake_java, version)

    with pytest.raises(jars.JavaError, match=f"{fake_java} is Java {major}; Java 17 or 21 is needed"):
        jars.find_java()


def test_where_there_is_no_java_one_line_has_the_install_commands(fake_java: Path) -> None:
    with pytest.raises(jars.JavaError) as caught:
        jars.find_java()

    text = str(caught.value)
    assert "\n" not in text
    assert all(command in text for command in ("apt-get install", "dnf install", "brew install"))


def test_spark_gets_delta_and_kafka_and_nothing_that_it_ships_itself() -> None:
    names = {jar.name.rsplit("-", 1)[0] for jar in jars.spark_jars()}

    assert names == {
        "commons-pool2",
        "delta-kernel-api",
        "delta-kernel-defaults",
        "delta-kernel-unitycatalog",
        "delta-spark_4.2_2.13",
        "delta-storage",
        "kafka-clients",
        "scala-parallel-collections_2.13",
        "spark-sql-kafka-0-10_2.13",
        "spark-token-provider-kafka-0-10_2.13",
        "unitycatalog-client",
        "unitycatalog-hadoop",
    }


def test_the_broker_gets_kafka_with_a_client_of_the_same_version() -> None:
    names = {jar.name for jar in jars.broker_jars()}

    assert {"kafka_2.13-4.1.1.jar", "kafka-clients-4.1.1.jar", "slf4j-simple-1.7.36.jar"} <= names


def test_what_reaches_s3_is_of_the_version_that_spark_ships_and_brings_nothing_that_it_ships() -> None:
    shipped = {jar.name for jar in (Path(pyspark.__file__).parent / "jars").glob("*.jar")}
    names = {jar.name for jar in jars.s3_jars()}

    [client] = [name for name in shipped if name.startswith("hadoop-client-api-")]
    assert client.replace("client-api", "aws") in names
    ours = {re.sub(r"-[0-9].*", "", name) for name in names}
    assert {"s3", "s3-transfer-manager", "sts"} <= ours
    assert not ours & {re.sub(r"-[0-9].*", "", name) for name in shipped}


@pytest.mark.parametrize("configuration", [jars.spark_jars, jars.s3_jars, jars.broker_jars])
def test_jars_that_were_never_fetched_are_missed_with_the_remedy(
    tmp_path: Path, configuration: Callable[[Path], list[Path]]
) -> None:
    with pytest.raises(jars.JarsError, match=f"not in {tmp_path}: run `make setup`"):
        configuration(tmp_path)


def test_a_fetch_that_is_done_costs_nothing() -> None:
    began = time.monotonic()
    run = subprocess.run([sys.executable, "-m", "music_lakehouse.jars"], capture_output=True, text=True, check=True)

    assert run.stdout == ""
    assert time.monotonic() - began < 1


def test_a_repository_that_does_not_answer_once_is_asked_again(
    fake_java: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "PAUSES", (0.0, 0.0, None))
    root, ivy_file, calls = tmp_path / "jars", tmp_path / "ivy.xml", tmp_path / "calls"
    ivy_file.write_text(SMALL_IVY.format(dependencies=""))
    (tmp_path / "ivy-cache").mkdir()

    def write_ivy(successful_call: int) -> None:
        calls.write_text("")
        fake_java.write_text(
            "#!/bin/sh\n"
            '[ "$1" = -jar ] || { echo \'openjdk version "17" 2025-01-01\' >&2; exit 0; }\n'
            f"echo call >>{calls}\n"
            f"n=0; while read -r _; do n=$((n + 1)); done <{calls}\n"
            f"[ $n -ge {successful_call} ] || {{ echo 'access error at url somewhere'; exit 1; }}\n"
        )
        fake_java.chmod(fake_java.stat().st_mode | stat.S_IXUSR)

    write_ivy(successful_call=4)
    with pytest.raises(jars.JarsError, match="access error at url somewhere"):
        jars.fetch(root, ivy_file)
    assert calls.read_text().split() == ["call"] * 3
    write_ivy(successful_call=2)
    assert jars.fetch(root, ivy_file)
    assert calls.read_text().split() == ["call"] * 2


@pytest.mark.slow
def test_a_changed_ivy_file_replaces_the_jars(tmp_path: Path) -> None:
    root, ivy_file = tmp_path / "share" / "jars", tmp_path / "ivy.xml"
    storage = '<dependency org="io.delta" name="delta-storage" rev="4.4.0" conf="spark"/>'
    pool = '<dependency org="org.apache.commons" name="commons-pool2" rev="2.13.1" conf="spark"/>'

    ivy_file.write_text(SMALL_IVY.format(dependencies=storage))
    assert jars.fetch(root, ivy_file)
    assert not jars.fetch(root, ivy_file)
    assert [jar.name for jar in (root / "spark").iterdir()] == ["delta-storage-4.4.0.jar"]

    ivy_file.write_text(SMALL_IVY.format(dependencies=pool))
    assert not jars.fetched(root, ivy_file)
    assert jars.fetch(root, ivy_file)
    assert [jar.name for jar in (root / "spark").iterdir()] == ["commons-pool2-2.13.1.jar"]


@pytest.mark.slow
def test_a_jar_that_does_not_exist_is_named(tmp_path: Path) -> None:
    ivy_file = tmp_path / "ivy.xml"
    nowhere = '<dependency org="io.delta" name="delta-storage" rev="0.0.0" conf="spark"/>'
    ivy_file.write_text(SMALL_IVY.format(dependencies=nowhere))

    with pytest.raises(jars.JarsError, match=r"delta-storage;0\.0\.0"):
        jars.fetch(tmp_path / "jars", ivy_file)
    assert not jars.fetched(tmp_path / "jars", ivy_file)
