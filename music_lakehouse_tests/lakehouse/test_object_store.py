"""What Spark leaves in S3: it keeps directories as objects without content, which lie there until they are removed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pyarrow.fs import FileSelector, FileSystem

from music_lakehouse.lakehouse.inventory import find_tables, remove_directories
from music_lakehouse.lakehouse.streaming import without_damage

Put = Callable[..., None]


@pytest.fixture
def root(bucket: str) -> str:
    return f"s3a://{bucket.removeprefix('s3://')}/lake"


@pytest.fixture
def put(bucket: str) -> Put:
    """Puts objects into the lake; a name that ends in a slash is a directory, as Spark makes it."""
    store, place = FileSystem.from_uri(bucket)

    def into(*names: str) -> None:
        for name in names:
            if name.endswith("/"):
                store.create_dir(f"{place}/lake/{name}")
                continue
            with store.open_output_stream(f"{place}/lake/{name}") as file:
                file.write(b"x")

    return into


def left(bucket: str) -> list[str]:
    """The files that are in the lake."""
    store, place = FileSystem.from_uri(bucket)
    infos = store.get_file_info(FileSelector(f"{place}/lake", recursive=True, allow_not_found=True))
    return sorted(info.path.removeprefix(f"{place}/lake/") for info in infos if info.is_file)


def test_a_table_is_removed_with_its_empty_directories(bucket: str, root: str, put: Put) -> None:
    put("gold/facts/_delta_log/_staged_commits/", "gold/facts/_delta_log/00.json", "gold/wide/_delta_log/00.json")
    assert [*find_tables(root)] == ["gold.facts", "gold.wide"]

    remove_directories(root, ["gold/facts", "gold/nothing"])

    assert [*find_tables(root)] == ["gold.wide"]
    assert left(bucket) == ["gold/wide/_delta_log/00.json"]


def test_a_bucket_that_is_not_there_is_no_empty_lake(bucket: str) -> None:
    assert find_tables(f"{bucket}/nothing") == {}
    with pytest.raises(FileNotFoundError, match="there is no bucket none-of-ours"):
        find_tables("s3a://none-of-ours/lake")


@pytest.mark.parametrize(
    ("lacking", "whole"),
    [(None, True), ("metadata", False), ("offsets/0", False)],
    ids=["whole", "no id", "no offsets"],
)
def test_a_checkpoint_that_lacks_a_part_is_removed(
    bucket: str, root: str, put: Put, lacking: str | None, whole: bool
) -> None:
    parts = [name for name in ("offsets/", "offsets/.0.tmp", "offsets/0", "commits/0", "metadata") if name != lacking]
    put(*(f"_checkpoints/raw.x/1/{part}" for part in parts), "_checkpoints/raw.x/2/metadata")

    assert without_damage(f"{root}/_checkpoints/raw.x/1") == f"{root}/_checkpoints/raw.x/1"

    kept = [f"_checkpoints/raw.x/1/{part}" for part in parts if not part.endswith("/")] if whole else []
    assert left(bucket) == sorted([*kept, "_checkpoints/raw.x/2/metadata"])


def test_a_checkpoint_that_is_not_there_yet_is_none_to_remove(root: str) -> None:
    assert without_damage(f"{root}/_checkpoints/raw.x/1").endswith("/1")
