"""Pure functions: DataFrame to DataFrame, no Dagster, nothing read or written."""
