"""The sensor of the landed heart rates and of the table of people."""

from music_lakehouse.defs.file_sensor import build_file_sensor
from music_lakehouse.defs.heart_rate.assets import PEOPLE, RECORDINGS
from music_lakehouse.defs.heart_rate.jobs import heart_rate_pipeline
from music_lakehouse.defs.heart_rate.tables import PEOPLE_DIRECTORY

heart_rate_files = build_file_sensor(
    "heart_rate_files", heart_rate_pipeline, [RECORDINGS], references={PEOPLE_DIRECTORY: PEOPLE}
)
