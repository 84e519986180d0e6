"""Archives of the classes that Spark and the embedded broker load at each start: with them a JVM reads, checks and lays
out some 16,000 classes once, when it is set up, rather than each time.

They are Java's own (class data sharing, https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html), which
notes what a JVM has loaded as it ends. `python -m music_lakehouse.class_archives` makes them once, beside the jars. All
works without them, more slowly: Java passes over an archive that was made by another Java or of other jars.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from music_lakehouse.jars import IVY_FILE, JARS, JavaError, find_java

ARCHIVES = JARS.with_name("classes")

# Of an archive that can't be used Java would tell at each start.
_SILENT = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off")


def java_options(program: str, root: Path = ARCHIVES) -> list[str]:
    """The options by which a JVM of `program` ("spark" or "broker") takes its classes from the archive; none where that
    was not made."""
    archive = root / f"{program}.jsa"
    return [*_SILENT, f"-XX:SharedArchiveFile={archive}"] if archive.is_file() else []


def made(root: Path = ARCHIVES) -> bool:
    """Whether `root` holds the archives of this Java, these jars and this PySpark."""
    stamp = root / "stamp"
    return stamp.is_file() and stamp.read_text() == _stamp()


def make(root: Path = ARCHIVES) -> bool:
    """Makes the archives in `root`, a process each, side by side; returns False, at once, where they are there already.

    The stamp is written last, and each archive put in its place once it is whole. Raises `JavaError`, and RuntimeError
    with the last line of what a process said that failed.
    """
    if made(root):
        return False
    # A JVM that takes its classes from an archive can't write one.
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    rehearsals = {program: _rehearse(program, root) for program in REHEARSALS}
    said = {program: process.communicate()[0] for program, process in rehearsals.items()}
    for program in REHEARSALS:
        archive = _unfinished(program, root)
        if rehearsals[program].returncode != 0 or not archive.is_file():
            last = (said[program].strip().splitlines() or ["it said nothing"])[-1]
            raise RuntimeError(f"Java's archive of the classes of {program} could not be made: {last}")
        archive.replace(root / f"{program}.jsa")
    (root / "stamp").write_text(_stamp())
    return True


def _rehearse(program: str, root: Path) -> subprocess.Popen[str]:
    option = f"-XX:ArchiveClassesAtExit={_unfinished(program, root)}"
    return subprocess.Popen(
        [sys.executable, "-m", "music_lakehouse.class_archives", program],
        # Spark's launcher passes the one on to the driver; the other is Java's own, and would reach the launcher too.
        env=os.environ | {"SPARK_SUBMIT_OPTS" if program == "spark" else "JDK_JAVA_OPTIONS": option},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _unfinished(program: str, root: Path) -> Path:
    return root / f"{program}.jsa.new"


def _stamp() -> str:
    import pyspark

    java = subprocess.run([find_java().path, "-version"], capture_output=True, check=True).stderr
    return hashlib.sha256(java + IVY_FILE.read_bytes() + pyspark.__version__.encode()).hexdigest()


def rehearse_spark() -> None:
    """What each run does: a session, a Delta table that is written, read and merged into."""
    from pyspark import SparkContext

    from music_lakehouse.resources.spark import SparkResource

    with TemporaryDirectory() as lake:
        resource = SparkResource(lake_root=lake)
        resource.expect_little()
        spark = resource.spark_session
        table = f"delta.`{lake}/rehearsal`"
        spark.range(100).selectExpr("id", "CAST(id AS STRING) AS name").write.format("delta").save(f"{lake}/rehearsal")
        spark.sql(
            f"MERGE INTO {table} AS kept USING (SELECT id + 50 AS id, name FROM {table}) AS new ON kept.id = new.id "
            "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        )
        gateway = SparkContext._gateway
        assert gateway is not None
        resource.close()
    # The JVM ends with its standard input, and writes the archive then.
    gateway.proc.stdin.close()
    gateway.proc.wait()


def rehearse_broker() -> None:
    """A broker that starts, has a topic made, and ends, writing the archive."""
    from music_lakehouse.simulator.broker import EmbeddedBroker, free_port

    with TemporaryDirectory() as data, EmbeddedBroker(Path(data) / "broker", free_port()) as broker:
        broker.create_topics(["rehearsal"])


REHEARSALS: dict[str, Callable[[], None]] = {"spark": rehearse_spark, "broker": rehearse_broker}


def main(program: str | None = None) -> int:
    """Makes the archives; or rehearses a `program`, for the JVM to write one. What is wrong is one line."""
    if program is not None:
        REHEARSALS[program]()
        return 0
    try:
        if not made():
            print("Preparing what Java loads at each start (about a minute) ...", flush=True)
            make()
    except (JavaError, RuntimeError) as error:
        print(f"{error}; all works without it, more slowly", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
