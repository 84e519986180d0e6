"""Which checkpoints a query may go on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from music_lakehouse.lakehouse.streaming import without_damage

WHOLE = ("metadata", "offsets/8", "offsets/9", "offsets/10", "commits/8", "commits/9", "commits/10")


@pytest.mark.parametrize(
    ("lost", "added", "kept"),
    [
        ((), (), True),
        (("commits/10",), (), True),
        (("commits/8", "commits/9", "commits/10"), (), True),
        (("offsets/8", "commits/8"), (), True),
        (("commits/10",), ("commits/.11.crc", "commits/.11.5a3f.tmp"), True),
        (("metadata",), (), False),
        (("offsets/8", "offsets/9", "offsets/10"), (), False),
        (("offsets/10",), (), False),
        (("offsets/9", "offsets/10"), ("offsets/.9.crc", "offsets/.10.crc", "offsets/.10.5a3f.tmp"), False),
    ],
    ids=[
        "whole",
        "killed before the last batch was noted as done",
        "no commits",
        "old batches purged",
        "files that are on the way",
        "no id",
        "no offsets",
        "no newest offsets",
        "no newest offsets but what is not theirs",
    ],
)
def test_a_checkpoint_that_would_let_messages_be_skipped_is_removed(
    tmp_path: Path, lost: tuple[str, ...], added: tuple[str, ...], kept: bool
) -> None:
    checkpoint = tmp_path / "raw.x" / "1"
    for name in {*WHOLE, *added} - {*lost}:
        (checkpoint / name).parent.mkdir(parents=True, exist_ok=True)
        (checkpoint / name).touch()

    assert without_damage(str(checkpoint)) == str(checkpoint)

    assert checkpoint.exists() == kept
    assert checkpoint.parent.exists()
