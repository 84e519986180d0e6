"""Dagster's instance: where it is, and that it is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from music_lakehouse.settings import Settings

CONFIGURATION = Path(__file__).parents[2] / "dagster.yaml"


def prepare_home(settings: Settings) -> Path:
    """Makes the instance's directory and puts it into DAGSTER_HOME as an absolute path, for this process and those that
    it starts.

    One that the environment names is the user's own and is taken as it is; the default one follows the project's
    dagster.yaml, unless it has a file of that name.
    """
    chosen = bool(os.environ.get("DAGSTER_HOME"))
    home = settings.dagster_home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    configuration = home / "dagster.yaml"
    if not chosen and not configuration.is_file() and CONFIGURATION.is_file():
        # The project may have been moved since: then the link points nowhere.
        configuration.unlink(missing_ok=True)
        configuration.symlink_to(CONFIGURATION)
    os.environ["DAGSTER_HOME"] = str(home)
    return home
