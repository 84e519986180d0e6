"""Pure functions from DataFrames to DataFrames: no Dagster, no reading, no writing."""
