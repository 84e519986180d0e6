"""What silver should be by the database alone."""

from __future__ import annotations

import sqlalchemy as sa

from music_lakehouse_tests.oracle.catalogue.files import reasons, typed
from music_lakehouse_tests.oracle.catalogue.schema import SOURCES
from music_lakehouse_tests.oracle.values import Tables


def silver_of(url: str) -> Tables:
    """The valid rows of the database's five tables, by the silver table that they should make."""
    driver = url.replace("postgresql://", "postgresql+psycopg2://", 1)
    engine = sa.create_engine(driver, poolclass=sa.pool.NullPool)
    tables: Tables = {}
    with engine.connect() as connection:
        for source in SOURCES:
            found = connection.exec_driver_sql(f'SELECT * FROM "{source.name}"').mappings().all()
            rows = [typed(dict(row), source) for row in found]
            tables[f"silver.{source.table}"] = [row for row in rows if not reasons(row, source)]
    return tables
