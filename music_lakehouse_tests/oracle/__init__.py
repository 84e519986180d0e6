"""The oracle: every bronze decision, silver and gold table computed straight from the Kafka messages.

Plain Python that shares no code with the package under test. `tables.tables_of` computes, `compare` reads a lake and
compares cell by cell, `laws.laws` says which of the lake's laws a set of tables breaks.
"""
