"""What a newcomer sets up by: the script, the lock, the example of the settings, Dagster's own files."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import requires, version
from pathlib import Path

import dagster as dg
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import SecretStr

from music_lakehouse import jars
from music_lakehouse.settings import Settings

REPOSITORY = Path(__file__).parents[1]
SET_UP = REPOSITORY / ".venv"


def set_up(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script of the directory, with nothing in its environment but this."""
    script = str(directory / "scripts" / "setup.sh")
    bash = shutil.which("bash")
    assert bash is not None
    return subprocess.run(
        [bash, script], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with the script and the package, where nothing is set up."""
    place = tmp_path / "place"
    (place / "scripts").mkdir(parents=True)
    shutil.copy(REPOSITORY / "scripts" / "setup.sh", place / "scripts")
    (place / "music_lakehouse").symlink_to(REPOSITORY / "music_lakehouse")
    return place


def path_with(directory: Path, tools: Sequence[str]) -> str:
    """A PATH of one directory that has these tools only: neither Java nor what could install it."""
    directory.mkdir()
    for tool in tools:
        found = shutil.which(tool)
        assert found is not None, f"there is no {tool} here"
        (directory / tool).symlink_to(found)
    return str(directory)


def test_without_java_one_line_has_the_install_commands_and_nothing_is_installed(place: Path, tmp_path: Path) -> None:
    # An environment as the script takes one for its own.
    (place / ".venv" / "bin").mkdir(parents=True)
    (place / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (place / ".venv" / "bin" / "pip").write_text(f"#!{place}/.venv/bin/python\n")

    ran = set_up(place, PATH=path_with(tmp_path / "bin", ("dirname", "grep", "id")))

    assert ran.returncode == 1
    [line] = ran.stderr.splitlines()
    assert line.startswith("No Java in PATH; Java 17 or 21 is needed: ")
    assert all(command in line for command in ("apt-get install", "dnf install", "brew install"))
    assert ran.stdout == ""
    assert not (place / ".venv" / "installed").exists()


def test_without_python_one_line_has_the_install_commands(place: Path, tmp_path: Path) -> None:
    ran = set_up(place, PATH=path_with(tmp_path / "bin", ("dirname",)))

    assert ran.returncode == 1
    [line] = ran.stderr.splitlines()
    assert line.startswith("Python 3.10 to 3.13 is needed, 3.11 preferred: ")
    assert all(command in line for command in ("apt-get install", "dnf install", "brew install"))
    assert not (place / ".venv").exists()


def is_set_up() -> bool:
    """Whether this directory is set up, so that the script has nothing to install."""
    files = ["requirements.lock", "pyproject.toml"]
    sums = subprocess.run(["cksum", *files], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    stamp, scripts = SET_UP / "installed", SET_UP / "bin" / "pip"
    return (
        stamp.is_file()
        and stamp.read_text() == sums
        and f"{SET_UP}/bin/python" in scripts.read_text()
        and jars.fetched(SET_UP / "share" / "music-lakehouse" / "jars")
    )


def test_where_everything_is_set_up_the_script_does_nothing_in_two_seconds_of_processor_time() -> None:
    if not is_set_up():
        pytest.skip(f"{SET_UP} is not what scripts/setup.sh makes: run `make setup`")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON"}

    ran = set_up(REPOSITORY, **environment)

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


@pytest.fixture(scope="module")
def lock() -> str:
    return (REPOSITORY / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def pins(lock: str) -> dict[str, str]:
    """Version by name of what the lock pins for the Python that runs this."""
    entries = [Requirement(line.rstrip("\\ ")) for line in lock.splitlines() if re.match(r"[a-z0-9]", line)]
    here = [entry for entry in entries if entry.marker is None or entry.marker.evaluate()]
    return {canonicalize_name(entry.name): str(entry.specifier).removeprefix("==") for entry in here}


def test_the_lock_pins_every_dependency_within_what_the_package_allows(pins: dict[str, str]) -> None:
    wanted = [Requirement(text) for text in requires("music-lakehouse") or []]

    assert len(wanted) > 20
    assert [str(one) for one in wanted if not one.specifier.contains(pins.get(canonicalize_name(one.name), "0"))] == []


def test_the_environment_is_what_the_lock_says(pins: dict[str, str]) -> None:
    assert {name: version(name) for name in pins} == pins


def test_the_lock_has_hashes_and_names_no_host(lock: str) -> None:
    entries = re.findall(r"^[a-z0-9].*(?:\n +.*)+", lock, re.MULTILINE)

    assert len(entries) > 100
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in lock
    assert not re.search(r"--(index|extra-index|find-links|trusted)", lock)


def test_the_example_lists_every_setting_and_what_compose_takes_with_their_defaults() -> None:
    text = (REPOSITORY / ".env.example").read_text()
    listed = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", text, re.MULTILINE))

    defaults = {}
    for name, field in Settings.model_fields.items():
        default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        defaults[name.upper()] = "" if default is None else str(default)
    compose = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", (REPOSITORY / "docker-compose.yml").read_text()))
    others = {name: default for name, default in compose.items() if name not in defaults}
    assert listed == defaults | others


def test_dagster_takes_the_instance_configuration(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_monitoring_enabled
        assert not instance.telemetry_enabled
        assert instance.global_op_concurrency_default_limit == 1


def test_the_workspace_names_the_code_location() -> None:
    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())

    assert workspace["load_from"][0]["python_module"]["module_name"] == "music_lakehouse.definitions"
