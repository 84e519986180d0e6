"""Where files come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dagster as dg
from pydantic import Field

from music_lakehouse.lakehouse.file_ingest import FileSource


class ReferenceFiles(dg.ConfigurableResource):
    """The directory of the reference files songs.csv and state_codes.csv."""

    directory: str = Field(description="path of the directory; files that are not there count as empty")

    @property
    def path(self) -> Path:
        return Path(self.directory)


class Landing(dg.ConfigurableResource):
    """The directory below which files land."""

    directory: str = Field(description="path of the directory; what is not there has no files")
    most_files: dict[str, int] = Field(
        default_factory=dict, description="most files that one commit takes, by directory, instead of the source's own"
    )

    @property
    def path(self) -> Path:
        return Path(self.directory)

    def limited(self, source: FileSource) -> FileSource:
        """The source with the number of files a commit that was chosen for its directory."""
        return replace(source, most_files=self.most_files.get(source.directory, source.most_files))
