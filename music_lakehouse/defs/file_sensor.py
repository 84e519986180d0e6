"""A sensor of landed files, for the job that takes them."""

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import dagster as dg

from music_lakehouse.defs.job_runs import ended_runs, look_at_jobs, request_run
from music_lakehouse.defs.triggers import NotDue, decide_run
from music_lakehouse.lakehouse.file_ingest import FileSource, LandedFile, waiting_files
from music_lakehouse.lakehouse.files import file_digest
from music_lakehouse.lakehouse.reference import Reference, is_outdated
from music_lakehouse.resources.files import Landing
from music_lakehouse.resources.lakehouse import LakehouseResource

if TYPE_CHECKING:
    # What dg.define_asset_job returns, which Dagster doesn't export.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def build_file_sensor(
    name: str,
    job: "UnresolvedAssetJobDefinition",
    sources: Collection[FileSource],
    references: Mapping[str, Reference] = MappingProxyType({}),
) -> dg.SensorDefinition:
    """A sensor that requests a run of the job for files of the sources that their tables lack, or that changed, and for
    another content of the references' files, by their directories below LANDING_ROOT; again after a run that failed. It
    lists directories and reads the ledger and those files, nothing else."""

    @dg.sensor(
        name=name,
        job=job,
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Requests a run of {job.name} for landed files that the lake lacks, one at a time; again after a "
        "run that failed. Reports runs that were killed as failed.",
    )
    def file_sensor(
        context: dg.SensorEvaluationContext, landing: Landing, lakehouse: LakehouseResource
    ) -> dg.RunRequest | dg.SkipReason:
        busy = look_at_jobs(context, [job.name], lakehouse.root)
        if busy:
            return dg.SkipReason(busy)
        waiting = {source.directory: waiting_files(lakehouse.paths, source, landing.path) for source in sources}
        # A slash divides a tag's name from its namespace.
        tags = {f"files/{name.replace('/', '.')}": _digest(files) for name, files in waiting.items() if files}
        said = [f"{len(files)} new in {directory}" for directory, files in waiting.items() if files]
        for directory, reference in references.items():
            if is_outdated(lakehouse.paths, reference, landing.path / directory):
                path = f"{directory}/{reference.file_name}"
                tags[f"files/{path.replace('/', '.')}"] = (file_digest(landing.path / path) or "missing")[:16]
                said.append(f"{path} changed")
        described = ", ".join(said)
        ended = ended_runs(context.instance, job.name)
        decision = decide_run(described, tags, ended, time.time(), what="files", first_layer="bronze")
        if isinstance(decision, NotDue):
            return dg.SkipReason(decision.reason)
        context.log.info(decision.reason)
        return request_run(context.instance, job.name, tags)

    return file_sensor


def _digest(files: Sequence[LandedFile]) -> str:
    """What changes with the files, their sizes and times."""
    looks = "\n".join(f"{file.name} {file.size} {file.modified_ns}" for file in files)
    return hashlib.sha256(looks.encode()).hexdigest()[:16]
