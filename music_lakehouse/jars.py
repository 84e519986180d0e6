"""The jars of Spark and of the embedded Kafka broker, and the Java that runs them.

`ivy.xml` declares the jars, one configuration each; `python -m music_lakehouse.jars` fetches them once into the virtual
environment, so that neither a session's start nor a broker's start resolves or downloads anything.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

IVY_FILE = Path(__file__).parents[1] / "ivy.xml"
JARS = Path(sys.prefix) / "share" / "music-lakehouse" / "jars"
TESTED_JAVA = (17, 21)
PAUSES = (2.0, 10.0, None)
"""Seconds between tries to fetch the jars."""
INSTALL_JAVA = (
    "apt-get install openjdk-17-jre-headless | dnf install java-17-openjdk-headless | brew install openjdk@17"
)


class JavaError(RuntimeError):
    """There is no Java, or one that Spark can't run on; the text is one line with the install commands."""


class JarsError(RuntimeError):
    """The jars are missing, belong to another `ivy.xml`, or could not be fetched; the text has the remedy."""


@dataclass(frozen=True)
class Java:
    """A Java launcher and its major version, for example 17."""

    path: Path
    major: int

    @property
    def tested(self) -> bool:
        """Whether the project is tested on this version; a newer one may work."""
        return self.major in TESTED_JAVA


def find_java() -> Java:
    """The Java of `JAVA_HOME`, or else of `PATH`: the order in which Spark looks.

    Raises `JavaError` where there is none, or one older than 17.
    """
    home = os.environ.get("JAVA_HOME")
    launcher = shutil.which("java", path=f"{home}/bin" if home else None)
    if launcher is None:
        place = f"JAVA_HOME ({home})" if home else "PATH"
        raise JavaError(f"No Java in {place}; Java 17 or 21 is needed: {INSTALL_JAVA}")
    report = subprocess.run([launcher, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', report)
    if version is None:
        raise JavaError(f"{launcher} -version doesn't answer; Java 17 or 21 is needed: {INSTALL_JAVA}")
    java = Java(Path(launcher), int(version[1]))
    if java.major < min(TESTED_JAVA):
        raise JavaError(f"{launcher} is Java {java.major}; Java 17 or 21 is needed: {INSTALL_JAVA}")
    return java


def spark_jars(root: Path = JARS) -> list[Path]:
    """The jars for `spark.jars`, sorted. Raises `JarsError` where they were not fetched."""
    return _jars(root, "spark")


def s3_jars(root: Path = JARS) -> list[Path]:
    """The jars for `spark.jars` of a Spark that reaches S3, beside `spark_jars`. Raises `JarsError` where they were not
    fetched."""
    return _jars(root, "s3")


def broker_jars(root: Path = JARS) -> list[Path]:
    """The class path of the embedded Kafka broker, sorted. Raises `JarsError` where they were not fetched."""
    return _jars(root, "broker")


def fetched(root: Path = JARS, ivy_file: Path = IVY_FILE) -> bool:
    """Whether `root` holds the jars of exactly this `ivy_file`."""
    stamp = root / "ivy.sha256"
    return stamp.is_file() and stamp.read_text() == _digest(ivy_file)


def fetch(root: Path = JARS, ivy_file: Path = IVY_FILE) -> bool:
    """Downloads the jars that `ivy_file` declares into `root/spark`, `root/s3` and `root/broker`.

    Returns False, at once, where they are there already. The stamp is removed first and written last, so that a fetch
    that was interrupted is repeated; what it had downloaded is kept. Raises `JavaError`, and `JarsError` with Ivy's own
    words where a jar can't be had at the third try.
    """
    if fetched(root, ivy_file):
        return False
    java = find_java()
    root.mkdir(parents=True, exist_ok=True)
    (root / "ivy.sha256").unlink(missing_ok=True)
    cache = root.with_name("ivy-cache")
    # -sync makes root hold these jars and nothing else: those of an earlier ivy.xml go.
    command = [str(java.path), "-jar", str(_ivy()), "-ivy", str(ivy_file), "-cache", str(cache)]
    command += ["-retrieve", f"{root}/[conf]/[artifact]-[revision].[ext]", "-types", "jar", "bundle", "-sync"]
    for pause in PAUSES:
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if run.returncode == 0 or pause is None:
            break
        # What was downloaded is kept: most often a repository didn't answer once.
        time.sleep(pause)
    if run.returncode != 0:
        telling = re.findall(r"(?:not found: |access error at url |FAILED +\] ).+", run.stdout)
        detail = telling[0] if telling else (run.stdout + run.stderr).strip()[-300:]
        raise JarsError(f"The jars of {ivy_file} could not be fetched ({detail}): check the network, then `make setup`")
    shutil.rmtree(cache)
    (root / "ivy.sha256").write_text(_digest(ivy_file))
    return True


def _jars(root: Path, configuration: str) -> list[Path]:
    if not fetched(root):
        raise JarsError(f"The jars of {IVY_FILE} are not in {root}: run `make setup`")
    return sorted((root / configuration).glob("*.jar"))


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _ivy() -> Path:
    import pyspark

    return next((Path(pyspark.__file__).parent / "jars").glob("ivy-*.jar"))


def main(task: str = "fetch") -> int:
    """Fetches the jars, or where `task` is "java" only looks for Java; what is wrong is one line, and exit code 1."""
    try:
        java = find_java()
        if task == "java":
            return 0
        if not java.tested:
            print(f"{java.path} is Java {java.major}; the project is tested on 17 and 21", file=sys.stderr)
        if not fetched():
            print("Fetching the jars of Spark and Kafka (80 MB, about a minute) ...", flush=True)
            fetch()
    except (JavaError, JarsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
