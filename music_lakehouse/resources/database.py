"""The operational SQL database of a run."""

import dagster as dg
from pydantic import Field

from music_lakehouse.lakehouse.database import Database, DatabaseError
from music_lakehouse.settings import Settings


class CatalogueDatabase(dg.ConfigurableResource):
    """The database that CATALOGUE_DATABASE_URL names. The URL, which may hold a password, is read from the environment
    at use, never from Dagster's configuration."""

    patience_seconds: float = Field(default=30.0, description="how long to wait for a lock of another program")

    @property
    def database(self) -> Database:
        """Raises DatabaseError where the URL makes no sense, or names a file that isn't there."""
        found = Database(
            Settings().catalogue_database_url, setting="CATALOGUE_DATABASE_URL", patience=self.patience_seconds
        )
        if found.file is not None and not found.file.exists():
            raise DatabaseError(
                f"there is no catalogue database {found.file}: `music-lakehouse simulate catalogue` makes one, or set "
                "CATALOGUE_DATABASE_URL to yours",
                retriable=False,
            )
        return found
