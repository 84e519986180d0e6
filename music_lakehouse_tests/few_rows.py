"""Settings of Spark that halve the time of tests, which have a handful of rows."""

from __future__ import annotations

from music_lakehouse.resources.spark import java_options

QUICK_JAVA = {"spark.driver.defaultJavaOptions": java_options(for_little=True)}
"""As a run of the pipeline starts Spark itself where few messages wait."""

FOR_FEW_ROWS = {
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.databricks.delta.snapshotPartitions": "1",
    # To compile a plan costs several times what a handful of rows do.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    **QUICK_JAVA,
}
"""The session of this process; those of runs in processes of their own have the platform's own settings but Java's."""
