"""Which checkpoints are removed: those of tables and topics that are no more, and from before a loss was accepted."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyarrow.fs import FileSelector

from music_lakehouse.defs.listening.tables import BRONZE, RAW
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.checkpoints import of_source, of_topic, remove_outdated
from music_lakehouse.lakehouse.inventory import CHECKPOINTS, remove_directories, store
from music_lakehouse.lakehouse.kafka import Topic
from music_lakehouse.lakehouse.kafka_positions import accept_losses, epoch, record_read_up_to
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.tables import Table

pytestmark = pytest.mark.thorough

TABLE, FOLLOWER = RAW["listen_events"], BRONZE["listen_events"]
# As Kafka's client writes them: base64, where a slash is a letter as any other.
TOPIC = Topic("listens", "w93pka+YQTaOwHm3/deadbe", {0: (0, 10)})
ANEW = Topic("listens", "Yai2cEnnTDy3P7DK/b/01ef", {0: (0, 10)})


class Place(LakePaths):
    """A lake with a raw table and bronze, and checkpoints as queries leave them."""

    def make(self, table: Table) -> str:
        """The table, empty; its id."""
        rows = pa.Table.from_pylist([], schema=table.arrow_schema)
        write_deltalake(self.path(table), rows, storage_options=delta.storage_options())
        state = self.state(table)
        assert state is not None
        return state.table_id

    def keep(self, *queries: str) -> None:
        """Checkpoints of these queries."""
        for query in queries:
            if "://" not in self.root:
                Path(self.checkpoint(query), "offsets").mkdir(parents=True)
            with store(self.checkpoint(query)).open_output_stream("offsets/0") as file:
                file.write(b"{}")

    @property
    def kept(self) -> set[str]:
        infos = store(self.root).get_file_info(FileSelector(CHECKPOINTS, recursive=True, allow_not_found=True))
        offsets = [info.path.removesuffix("/offsets/0") for info in infos if info.path.endswith("/offsets/0")]
        return {path.removeprefix(f"{CHECKPOINTS}/") for path in offsets}


@pytest.fixture(params=["disk", "object store"])
def lake(tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    on_disk = request.param == "disk"
    return Place(str(tmp_path) if on_disk else f"{request.getfixturevalue('bucket')}/lake")


def test_what_queries_of_the_present_tables_and_topics_ask_for_stays(lake: Place) -> None:
    raw, bronze = lake.make(TABLE), lake.make(FOLLOWER)
    record_read_up_to(lake, TABLE, TOPIC, {0: 10})
    used = {of_topic(TABLE, raw, TOPIC.topic_id, 0), of_source(FOLLOWER, bronze, raw)}
    lake.keep(*used)

    assert remove_outdated(lake) == 0
    assert lake.kept == used


def test_of_tables_that_were_made_anew_or_are_gone_all_go(lake: Place) -> None:
    raw, bronze = lake.make(TABLE), lake.make(FOLLOWER)
    lake.keep(
        of_topic(TABLE, str(uuid4()), TOPIC.topic_id, 0),
        of_source(FOLLOWER, str(uuid4()), raw),
        of_source(FOLLOWER, bronze, str(uuid4())),
        of_topic(RAW["auth_events"], raw, TOPIC.topic_id, 0),
    )

    assert remove_outdated(lake) == 4
    assert lake.kept == set()


def test_where_the_source_is_gone_nothing_of_it_can_be_gone_on_with(lake: Place) -> None:
    raw, bronze = lake.make(TABLE), lake.make(FOLLOWER)
    lake.keep(of_source(FOLLOWER, bronze, raw))
    remove_directories(lake.root, [lake.path(TABLE)])

    assert remove_outdated(lake) == 1


def test_of_a_topic_all_go_from_before_a_loss_and_so_those_of_one_that_was_made_anew(lake: Place) -> None:
    raw = lake.make(TABLE)
    record_read_up_to(lake, TABLE, TOPIC, {0: 10})
    before = of_topic(TABLE, raw, TOPIC.topic_id, epoch(lake, TOPIC))
    accept_losses(lake, TABLE, ANEW)
    after = of_topic(TABLE, raw, ANEW.topic_id, epoch(lake, ANEW))
    lake.keep(before, after)

    assert remove_outdated(lake) == 1
    assert lake.kept == {after}, "before anything of it was read"
    record_read_up_to(lake, TABLE, ANEW, {0: 10})
    assert remove_outdated(lake) == 0


def test_of_topics_of_other_names_or_that_nothing_is_known_of_all_stay(lake: Place) -> None:
    raw = lake.make(TABLE)
    record_read_up_to(lake, TABLE, TOPIC, {0: 10})
    accept_losses(lake, TABLE, ANEW)
    other = Topic("test-listens", "6QdlOez5SemEa9VY1SEJSg", {0: (0, 10)})
    record_read_up_to(lake, TABLE, other, {0: 10})
    kept = {of_topic(TABLE, raw, other.topic_id, 0), of_topic(TABLE, raw, "JAAgeSnGR46z30D/ab0123", 0)}
    lake.keep(*kept)

    assert remove_outdated(lake) == 0
    assert lake.kept == kept


def test_where_no_query_ever_ran_there_is_nothing_to_remove(lake: Place) -> None:
    lake.make(TABLE)
    assert remove_outdated(lake) == 0
