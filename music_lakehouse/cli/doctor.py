"""`music-lakehouse doctor`: is everything there that the platform needs, and if not, what to do."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from music_lakehouse.cli.console import say, show_table, size
from music_lakehouse.cli.errors import CliError, one_line

if TYPE_CHECKING:
    from music_lakehouse.settings import Settings

EXAMPLE = "Example: music-lakehouse doctor"
LEAST_ROOM, GOOD_ROOM = 1e9, 5e9
OK, WARNING, MISSING = "ok", "warning", "missing"
_STYLES = {OK: "green", WARNING: "yellow", MISSING: "bold red"}


@dataclass(frozen=True)
class Finding:
    """What was found of one part, and what to do where it isn't well."""

    part: str
    state: str
    detail: str
    remedy: str = ""


def doctor() -> None:
    """Look at Java, jars, broker, lake, disk and Dagster's home. Exit code 1 where something needed is missing."""
    from music_lakehouse.settings import Settings

    findings = list(examine(Settings()))
    rows = [
        (found.part, Text(found.state, style=_STYLES[found.state]), found.detail, found.remedy) for found in findings
    ]
    show_table(("part", "state", "found", "remedy"), rows)
    missing = [found.part for found in findings if found.state == MISSING]
    if missing:
        say(f"Missing: {', '.join(missing)}")
        raise typer.Exit(1)
    say("All that is needed is there")


def examine(settings: Settings) -> Iterator[Finding]:
    """The findings, one after the other; nothing is changed and no JVM started but to ask Java for its version."""
    yield _java()
    yield _jars()
    yield _broker(settings)
    yield _lake(settings)
    yield _holder(settings)
    yield _room(settings)
    yield _dagster_home(settings)


def _java() -> Finding:
    from music_lakehouse.jars import JavaError, find_java

    try:
        java = find_java()
    except JavaError as error:
        found, _, remedy = str(error).partition("; ")
        return Finding("Java", MISSING, found, remedy)
    if not java.tested:
        return Finding("Java", WARNING, f"Java {java.major} at {java.path}", "not tested: Java 17 or 21 is")
    return Finding("Java", OK, f"Java {java.major} at {java.path}")


def _jars() -> Finding:
    from music_lakehouse.jars import JARS, JarsError, broker_jars, spark_jars

    try:
        return Finding("jars", OK, f"{len(spark_jars())} of Spark and {len(broker_jars())} of Kafka in {JARS}")
    except JarsError as error:
        found, _, remedy = str(error).partition(": ")
        return Finding("jars", MISSING, found, remedy)


def _broker(settings: Settings) -> Finding:
    from music_lakehouse.cli.embedded import loopback_port, require_broker
    from music_lakehouse.lakehouse.kafka import describe_topics
    from music_lakehouse.lakehouse.kafka_access import BrokerAccessError, BrokerUnavailableError

    servers = settings.kafka_bootstrap_servers
    try:
        require_broker(settings)
        there = describe_topics(settings, settings.topics.values())
    except (CliError, BrokerUnavailableError):
        embedded = loopback_port(settings) is not None
        remedy = "music-lakehouse broker start" if embedded else "start it, or set KAFKA_BOOTSTRAP_SERVERS"
        return Finding("broker", MISSING, f"none answers at {servers}", remedy)
    except BrokerAccessError as error:
        found, _, remedy = str(error).rpartition(": ")
        return Finding("broker", MISSING, found, remedy)
    missing = [name for name in settings.topics.values() if name not in there]
    if missing:
        detail = f"answers at {servers}; not there: {', '.join(missing)}"
        return Finding("broker", WARNING, detail, "the first run makes the topics, where it may")
    return Finding("broker", OK, f"answers at {servers}, all {len(there)} topics are there")


def _lake(settings: Settings) -> Finding:
    from music_lakehouse.lakehouse.inventory import find_tables

    root = settings.lake_uri
    try:
        tables = len(find_tables(root))
        if "://" not in root:
            _try_to_write(Path(root))
    except Exception as error:
        return Finding(
            "lake", MISSING, f"{root}: {one_line(error)}", "make it readable and writable, or set LAKEHOUSE_ROOT"
        )
    return Finding("lake", OK, f"{root}, {tables} tables")


def _holder(settings: Settings) -> Finding:
    from music_lakehouse.lakehouse.locks import current_holder

    try:
        holder = current_holder(settings.lake_uri)
    except OSError as error:
        return Finding("lock", MISSING, one_line(error), "as for the lake")
    return Finding("lock", OK, f"held by {holder}" if holder else "free: no run writes the lake")


def _room(settings: Settings) -> Finding:
    path = _nearest(Path(settings.lake_uri) if "://" not in settings.lake_uri else settings.broker_data)
    free = shutil.disk_usage(path).free
    state = MISSING if free < LEAST_ROOM else WARNING if free < GOOD_ROOM else OK
    remedy = "" if state == OK else f"make room: {size(GOOD_ROOM)} are good to have"
    return Finding("disk", state, f"{size(free)} free at {path}", remedy)


def _dagster_home(settings: Settings) -> Finding:
    home = settings.dagster_home
    source = "DAGSTER_HOME" if os.environ.get("DAGSTER_HOME") else "the default"
    try:
        _try_to_write(home)
    except OSError as error:
        return Finding("Dagster", MISSING, f"{home}: {one_line(error)}", "make it writable, or set DAGSTER_HOME")
    if os.environ.get("DAGSTER_HOME") and not home.is_absolute():
        remedy = f"export DAGSTER_HOME={home.absolute()}"
        return Finding("Dagster", WARNING, f"{home} is relative, which Dagster's own commands refuse", remedy)
    return Finding("Dagster", OK, f"instance in {home.absolute()} ({source})")


def _try_to_write(directory: Path) -> None:
    """Writes a file that has no name, in the directory or, where it isn't there yet, where it would be made."""
    with tempfile.TemporaryFile(dir=_nearest(directory)) as file:
        file.write(b"x")


def _nearest(path: Path) -> Path:
    """The path, or the nearest of its parents that is there."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
