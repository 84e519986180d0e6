"""All tables of all pipelines, by their full names; the rules of their rows, and their checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from music_lakehouse.defs.catalogue.checks import CHECKS as CATALOGUE_CHECKS
from music_lakehouse.defs.catalogue.tables import TABLES as CATALOGUE_TABLES
from music_lakehouse.defs.catalogue.transforms.rows import RULES as CATALOGUE_RULES
from music_lakehouse.defs.customers.checks import CHECKS as CUSTOMERS_CHECKS
from music_lakehouse.defs.customers.tables import TABLES as CUSTOMERS_TABLES
from music_lakehouse.defs.customers.transforms.rows import RULES as CUSTOMERS_RULES
from music_lakehouse.defs.heart_rate.checks import CHECKS as HEART_RATE_CHECKS
from music_lakehouse.defs.heart_rate.tables import TABLES as HEART_RATE_TABLES
from music_lakehouse.defs.heart_rate.transforms.recordings import RULES as HEART_RATE_RULES
from music_lakehouse.defs.listening.catalog import TABLES as LISTENING_TABLES
from music_lakehouse.defs.listening.checks import CHECKS as LISTENING_CHECKS
from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE
from music_lakehouse.defs.listening.transforms.events import rules
from music_lakehouse.lakehouse.checks import Check
from music_lakehouse.lakehouse.expectations import EXPECTATIONS, Rule
from music_lakehouse.lakehouse.file_ledger import FILES
from music_lakehouse.lakehouse.kafka_positions import ACCEPTED_LOSS, ERASED
from music_lakehouse.lakehouse.tables import Table

TABLES: dict[str, Table] = {**LISTENING_TABLES, **CUSTOMERS_TABLES, **HEART_RATE_TABLES, **CATALOGUE_TABLES}
LANDED_PIPELINES: Mapping[str, Mapping[str, Table]] = {
    "customers": CUSTOMERS_TABLES,
    "heart_rate": HEART_RATE_TABLES,
    "catalogue": CATALOGUE_TABLES,
}
"""The tables of the pipelines whose whole source is still there after it was read, by pipeline: they can be removed and
made anew by themselves."""
PIPELINES: Mapping[str, Mapping[str, Table]] = {"streaming": LISTENING_TABLES, **LANDED_PIPELINES}
"""The tables of each pipeline, by pipeline."""
QUARANTINES: Mapping[str, Table] = {
    pipeline: table
    for pipeline, tables in PIPELINES.items()
    for table in tables.values()
    if "reasons" in table.column_names
}
"""The table of what each pipeline refused, by pipeline."""
# By what the refused rows of a pipeline name their source: the topic, the table, the directory of the file.
_REFUSED_SOURCES = {
    "topic": "topic",
    "table": '"table"',
    "source_filename": "regexp_replace(source_filename, '/[^/]*$', '')",
}
WRITTEN_WITH: Mapping[Table, Sequence[Table]] = {QUARANTINE: tuple(BRONZE.values())}
"""The tables that are written with others, by the steps of these."""
CHECKS: Mapping[Table, Sequence[Check]] = {
    **LISTENING_CHECKS,
    **CUSTOMERS_CHECKS,
    **HEART_RATE_CHECKS,
    **CATALOGUE_CHECKS,
}
RULES: Mapping[Table, Sequence[Rule]] = {
    **{table: rules(name) for name, table in BRONZE.items()},
    **CUSTOMERS_RULES,
    **HEART_RATE_RULES,
    **CATALOGUE_RULES,
}
# What checks read beside: how checks fared before, what became of landed files, which messages were erased or lost.
_READ_BY_CHECKS = {table.full_name: table for table in (EXPECTATIONS, FILES, ERASED, ACCEPTED_LOSS)}


def refused_source(table: Table) -> str:
    """What names the source of a quarantine table's rows, as SQL: the topic, the table, the directory of the file."""
    return next((sql for name, sql in _REFUSED_SOURCES.items() if name in table.column_names), f"'{table.full_name}'")


def find_table(full_name: str) -> Table:
    """The declaration of `layer.name`, one of these tables or of the bookkeeping that checks read.

    Raises LookupError where there is no such table.
    """
    found = TABLES.get(full_name) or _READ_BY_CHECKS.get(full_name)
    if found is None:
        raise LookupError(f"there is no table {full_name}: tables are {', '.join(TABLES)}")
    return found
