"""The oracle of the customers pipeline: every silver and gold table and the quarantine, straight from the landed files.

Plain Python that shares no code with the package under test. `tables.tables_of` computes, `compare` reads a lake and
compares, `laws` says what has to hold over the dimension of any lake, and `tpch` has DuckDB answer TPC-H's queries 1, 3
and 6 from the files, as a second yardstick, and from the gold tables.

What a pipeline decides by itself isn't foreseen. `date_added` is an input: the files' modification times, unless the
lake's bronze tables say otherwise. A version's `dim_customer_id` is compared up to renaming: here it is the text of
(c_custkey, start_date), which a lake's own numbers are replaced by. `hash_value`, the text of a quarantined row and the
names of its reasons aren't compared.
"""
