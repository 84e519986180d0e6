"""What a newcomer sets up by: the lock, the example of the settings, Dagster's own files."""

from __future__ import annotations

import re
from importlib.metadata import requires, version
from pathlib import Path

import dagster as dg
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import SecretStr

from music_lakehouse.settings import Settings

REPOSITORY = Path(__file__).parents[1]


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
