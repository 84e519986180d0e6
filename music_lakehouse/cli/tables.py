"""`music-lakehouse tables`: every table of the lake with its figures."""

from __future__ import annotations

from music_lakehouse.cli.console import cell, note, show_table, size

EXAMPLE = "Example: music-lakehouse tables"


def tables() -> None:
    """List the lake's tables: rows, size, version and last change (UTC), from their logs alone."""
    from music_lakehouse.defs.catalog import TABLES
    from music_lakehouse.lakehouse.inventory import figures, find_tables
    from music_lakehouse.settings import Settings

    root = Settings().lake_uri
    there = find_tables(root)
    rows = []
    for name in there:
        found = figures(there[name])
        if found is not None:
            change = f"{cell(found.changed)[:19]}  {found.operation}"
            rows.append((name, found.rows, size(found.size), found.files, found.version, change))
    show_table(
        ("table", "rows", "size", "files", "version", "last change"),
        rows,
        title=f"The lake at {root}",
        right=("rows", "size", "files", "version"),
    )
    missing = [name for name in TABLES if name not in there]
    if missing:
        note(f"Not there yet: {', '.join(missing)}. `music-lakehouse run` with the job of their pipeline makes them.")
