"""The oracle of the heart-rate pipeline: every table and the quarantine, straight from the landed files.

Plain Python that shares no code with the package under test. `tables.tables_of` computes, `compare` reads a lake and
compares. Neither the order in which files landed nor when they were loaded plays a part. The text of a quarantined row
and the names of its reasons aren't compared.
"""
