"""Where files come from."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from pydantic import Field


class ReferenceFiles(dg.ConfigurableResource):
    """The directory of the reference files songs.csv and state_codes.csv."""

    directory: str = Field(description="path of the directory; files that are not there count as empty")

    @property
    def path(self) -> Path:
        return Path(self.directory)


class Landing(dg.ConfigurableResource):
    """The directory below which files land."""

    directory: str = Field(description="path of the directory; what is not there has no files")

    @property
    def path(self) -> Path:
        return Path(self.directory)
