"""The sensor of the customers' landed files."""

from music_lakehouse.defs.customers.assets import SOURCES
from music_lakehouse.defs.customers.jobs import customers_pipeline
from music_lakehouse.defs.file_sensor import build_file_sensor

customers_files = build_file_sensor("customers_files", customers_pipeline, SOURCES.values())
