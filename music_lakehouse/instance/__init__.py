"""What dagster.yaml names: how Dagster starts runs and keeps its events on one machine."""
