"""`python -m music_lakehouse.docs` writes the generated pages anew."""

from __future__ import annotations

from music_lakehouse.docs import lineage, tables

PAGES = {tables.PAGE: tables.tables_page, lineage.PAGE: lineage.lineage_page}

if __name__ == "__main__":
    for page, text in PAGES.items():
        page.write_text(text())
        print(f"Wrote {page}")
