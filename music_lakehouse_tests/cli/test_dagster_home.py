from __future__ import annotations

import os
from pathlib import Path

import pytest

from music_lakehouse.cli.dagster_home import CONFIGURATION, prepare_home
from music_lakehouse.settings import Settings


def test_the_default_home_is_made_and_follows_the_projects_configuration(place: Path) -> None:
    home = prepare_home(Settings())

    assert home == place / "data" / "dagster"
    assert os.environ["DAGSTER_HOME"] == str(home)
    assert (home / "dagster.yaml").read_text() == CONFIGURATION.read_text()


def test_a_link_into_a_project_that_moved_is_made_anew_and_a_file_is_left(place: Path) -> None:
    home = place / "data" / "dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").symlink_to(place / "moved" / "dagster.yaml")
    prepare_home(Settings())
    assert (home / "dagster.yaml").resolve() == CONFIGURATION

    (home / "dagster.yaml").unlink()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    os.environ.pop("DAGSTER_HOME")
    prepare_home(Settings())
    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_a_home_that_the_environment_names_is_taken_as_it_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "mine")

    home = prepare_home(Settings())

    assert home == place / "mine"
    assert os.environ["DAGSTER_HOME"] == str(home)
    assert list(home.iterdir()) == []
