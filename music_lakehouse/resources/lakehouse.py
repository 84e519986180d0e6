"""The lake of a run."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field, PrivateAttr

from music_lakehouse.lakehouse.lake import Lake, LakePaths
from music_lakehouse.lakehouse.locks import SECONDS_BETWEEN_LOOKS, LakeLock, is_wanted, lock_file
from music_lakehouse.resources.spark import SparkResource


class LakehouseResource(dg.ConfigurableResource):
    """The lake, opened for writing at its first use in a run: then the run takes the lake's lock and Spark starts."""

    spark: dg.ResourceDependency[SparkResource]
    root: str = Field(description="where the Delta tables lie: an absolute path or a Hadoop URI")
    lock_wait_seconds: float = Field(default=30.0, description="how long a run waits while another holds the lake")
    _lake: Lake | None = PrivateAttr(default=None)
    _lock: LakeLock | None = PrivateAttr(default=None)
    _run_id: str = PrivateAttr(default="")

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        self._run_id = context.run.run_id if context.run else "without a run"

    @property
    def paths(self) -> LakePaths:
        """The lake for light reads: takes no lock and starts no JVM."""
        return LakePaths(self.root)

    def hold(self, *, lends: bool = False) -> LakeLock:
        """Take the lake's lock for this run, where it hasn't it yet; starts no JVM. Where it `lends` it, others get it
        from `lend`. Raises LakeLockedError where another run holds it."""
        if self._lock is None:
            lock = LakeLock(self.root)
            lock.acquire(self._run_id, wait_seconds=self.lock_wait_seconds, lends=lends)
            self._lock = lock
        return self._lock

    @contextmanager
    def still(self, *, wait_seconds: float) -> Iterator[None]:
        """Meanwhile no other run writes the lake, so that its tables agree. Where this run holds it, between two of its
        own steps, they agree as far as it has come. Raises LakeLockedError where another holds it for longer."""
        if self._lock is not None:
            yield
            return
        with LakeLock(self.root).held(self._run_id, wait_seconds=wait_seconds):
            yield

    @property
    def lake(self) -> Lake:
        """The lake for writing. Raises LakeLockedError where another run holds it."""
        if self._lake is None:
            lock = self.hold()
            lake = Lake(self.root, self.spark.spark_session, self.spark.large_change_settings)
            lock.add_children()
            if self.spark.remote_session is not None:
                lock.add_session(self.spark.remote_session)
            self._lake = lake
        return self._lake

    def between_batches(self) -> None:
        """Let go of what was kept for one micro-batch, in a run of many."""
        if self._lake is not None:
            self._lake.release()
            self._lake.join()

    def lend(self) -> bool:
        """Give the lock back, where somebody waits for it, who gets it then; say whether that was so. Before the lake
        is used again, `hold` has to be called."""
        if self._lock is None or not is_wanted(lock_file(self.root)):
            return False
        self.begin_again(with_spark=False)
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()
        time.sleep(2 * SECONDS_BETWEEN_LOOKS)
        return True

    def begin_again(self, *, with_spark: bool) -> None:
        """Forget what is known of the lake after an error; with Spark, the next use of the lake starts a session. The
        lock stays this run's."""
        lake, self._lake = self._lake, None
        if lake is not None:
            _let_go(lake)
            if with_spark:
                self.spark.close()
            lake.join()

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        lake, self._lake = self._lake, None
        lock, self._lock = self._lock, None
        if lock is not None:
            # The session first, and then the threads that used it: as long as they live they may still commit.
            try:
                if lake is not None:
                    _let_go(lake)
                self.spark.close()
                if lake is not None:
                    lake.join()
            except BaseException:
                # What a Spark Connect server was asked for may still be running: then the lock lapses with this
                # process, and whoever takes it over ends the session first.
                if self.spark.remote is None:
                    lock.release()
                raise
            lock.release()


def _let_go(lake: Lake) -> None:
    try:
        lake.release()
    except Exception as error:
        # Spark is gone, and what it kept with it.
        logging.getLogger(__name__).warning("what Spark kept for the run could not be let go: %s", error)
