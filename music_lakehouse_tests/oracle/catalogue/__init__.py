"""The oracle of the catalogue pipeline: every silver and gold table and the quarantine, straight from the landed files,
and silver straight from the database.

Plain Python that shares no code with the package under test. `tables.tables_of` computes from files, `database` from
what a database holds, `compare` reads a lake and compares, and `laws` says what has to hold over the dimensions of any
lake. The text of a quarantined row isn't compared.
"""
